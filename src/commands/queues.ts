/** The queues of BullMQ, for as long as a command needs them. */
import { openQueues, type Queues } from '../../jobs/queues.ts';
import { sleep } from '../time.ts';

/** How long closing them may take, in ms: BullMQ takes leave of Redis, and one that is away would keep the command for ever. */
const CLOSING_MS = 1_000;

/** @param deployments of the clients that are to be woken; most commands wake none */
export async function withQueues<T>(
  place: Parameters<typeof openQueues>[0],
  work: (queues: Queues) => Promise<T>,
  deployments: readonly string[] = [],
): Promise<T> {
  const queues = openQueues(place, deployments, () => {}); // the store's own connection reports what is wrong with Redis
  try {
    return await work(queues);
  } finally {
    const closed = new AbortController();
    const closing = queues.close().finally(() => closed.abort());
    await Promise.race([closing, sleep(CLOSING_MS, closed.signal)]);
  }
}
