/** Entry point of a child process: a worker like any other, which writes down where it is and may end itself with SIGKILL there. */
import { openSync, writeSync } from 'node:fs';
import { loadConfig } from '../../src/config.ts';
import { createLog } from '../../src/log.ts';
import { startService } from '../../src/service.ts';
import { systemClock } from '../../src/time.ts';

export interface WorkerOrder {
  readonly config: string;
  readonly env: Readonly<Record<string, string>>;
  /** Where the points that it passes are appended, one JSON line each. */
  readonly points: string;
  /** Dies when it comes to this point for the `nth` time, counted from 1. */
  readonly dieAt: { readonly point: string; readonly nth: number } | null;
  readonly lockMs: number;
  /** How wrong its clock is, in ms. */
  readonly clockOffset: number;
}

const order: WorkerOrder = JSON.parse(process.argv[2] ?? '');
const { dieAt, clockOffset } = order;
const file = openSync(order.points, 'a');
let seen = 0;

const service = startService(await loadConfig(order.config, order.env), {
  log: createLog({ level: 'error' }),
  schedule: false,
  worker: true,
  http: false,
  lockMs: order.lockMs,
  clock: { now: () => systemClock.now() + clockOffset },
  hooks: {
    onPoint(point, ref) {
      // In the kernel's hands before anything can happen to this process.
      writeSync(file, `${JSON.stringify({ at: Date.now(), ref, point })}\n`);
      if (dieAt?.point !== point) return;
      seen += 1;
      if (seen === dieAt.nth) process.kill(process.pid, 'SIGKILL');
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
// Redis may be away: whoever keeps workers running starts it again.
await service.catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`);
  process.exit(1);
});
process.send?.('ready');
