import { openQueues } from '../../../jobs/queues.ts';
import { putOffRequests } from '../../../jobs/waiting.ts';
import type { Resources } from '../../rotation/resources.ts';
import type { PutOffRequests } from '../../status/model.ts';

/** Requests that a worker began, and put off. */
export async function requestsOf(resources: Resources): Promise<PutOffRequests> {
  const queues = openQueues(resources, [], () => {}); // the store's own connection reports what is wrong with Redis
  try {
    return await putOffRequests(queues);
  } finally {
    await queues.close();
  }
}
