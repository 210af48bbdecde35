/** Entry point of a child process: a worker like any other, which writes down where it is, and has its sentences carried out there. */
import { openSync, writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { loadConfig } from '../../../src/config/load.ts';
import { createLog } from '../../../src/runtime/log.ts';
import { startService } from '../../../src/runtime/service.ts';
import { realNow, setMachineClock } from '../trouble/machine-clock.ts';
import type { Confession, Sentence } from '../trouble/sentence.ts';

export interface WorkerOrder {
  readonly config: string;
  readonly env: Readonly<Record<string, string>>;
  /** Where the points that it passes are appended, one JSON line each. */
  readonly points: string;
  readonly sentences: readonly Sentence[];
  readonly lockMs: number;
  /** How wrong its machine's clock is at first, in ms. */
  readonly clockOffset: number;
  /** With the ticks of its policies. */
  readonly schedule: boolean;
  /** It serves the HTTP API where its config says, and logs what it is asked. */
  readonly http: boolean;
}

/** To a worker. */
export type Word = { readonly say: 'clock'; readonly offset: number } | { readonly say: 'go on' };

const order: WorkerOrder = JSON.parse(process.argv[2] ?? '');
const file = openSync(order.points, 'a');
const passed = new Map<string, number>();
let allowed = Promise.withResolvers<void>();

process.on('message', (word: Word) => {
  if (word.say === 'clock') setMachineClock(word.offset);
  else allowed.resolve();
});
if (order.clockOffset !== 0) setMachineClock(order.clockOffset);

function confess(confession: Confession): void {
  process.send?.(confession);
}

async function carryOut({ deed, ms = 0, point }: Sentence, ref: string): Promise<void> {
  switch (deed) {
    case 'kill':
      process.kill(process.pid, 'SIGKILL');
      return;
    case 'throw':
      confess({ deed, point, ref });
      throw new Error(`sentenced to fail at ${point}`);
    case 'delay':
      confess({ deed, point, ref });
      await delay(ms);
      return;
    case 'drop':
    case 'hold':
      allowed = Promise.withResolvers();
      confess({ deed, point, ref });
      await allowed.promise;
  }
}

const service = startService(await loadConfig(order.config, order.env), {
  log: createLog({ level: order.http ? 'info' : 'error' }),
  schedule: order.schedule,
  worker: true,
  http: order.http,
  lockMs: order.lockMs,
  hooks: {
    async onPoint(point, ref) {
      // In the kernel's hands before anything can happen to this process.
      writeSync(file, `${JSON.stringify({ at: realNow(), ref, point })}\n`);
      const count = (passed.get(point) ?? 0) + 1;
      passed.set(point, count);
      const due = order.sentences.filter((sentence) => sentence.point === point && sentence.nth === count);
      // The kill last: nothing else would come of the others.
      for (const sentence of due.sort((a, b) => Number(a.deed === 'kill') - Number(b.deed === 'kill')))
        await carryOut(sentence, ref);
    },
  },
});

let stopping = false;
process.on('disconnect', async () => {
  if (stopping) return;
  stopping = true;
  setTimeout(() => process.exit(1), 8_000); // Redis may be gone already, and then nothing closes
  await service.then(({ stop }) => stop()).catch(() => undefined);
  process.exit();
});
// Redis may be away. The pool starts this worker again.
await service.catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`);
  process.exit(1);
});
process.send?.('ready');
