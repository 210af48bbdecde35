/** What goes wrong, and when: drawn from the seed. */
import { setTimeout as delay } from 'node:timers/promises';
import type { FaultRule } from '../../emulator/faults.ts';
import { DEPLOYMENT } from '../stage/fleet.ts';
import { LOCK_MS } from '../stage/pool.ts';
import type { Scene } from '../stage/scenario.ts';
import type { Stage } from '../stage/stage.ts';
import { RETRY_AFTER_S } from '../stage/testbed.ts';

/** Everything that can be reached, and broken. */
type Reach = Scene<Stage>;

type Act = (reach: Reach) => Promise<void>;

const killWorker: Act = async ({ pool }) => void pool.kill();

/** A worker that stands still beyond its locks, and then goes on with what it was about to do. */
const freezeWorker: Act = async ({ pool, history, chance }) => {
  if (await pool.freeze(chance.between(LOCK_MS + 500, LOCK_MS + 2_500)))
    history.note({ kind: 'lock_loss', job: 'all of a frozen worker' });
};

/** Of one job under way, if there is one soon. */
export const loseLock: Act = async ({ raw, history, chance }) => {
  for (let look = 0; look < 40; look += 1) {
    const locks = await raw.keys(`{rekeyd}:rotate-${DEPLOYMENT}:*:lock`);
    if (locks.length > 0) {
      const lock = chance.pick(locks);
      await raw.del(lock);
      history.note({ kind: 'lock_loss', job: lock });
      return;
    }
    await delay(10);
  }
};

/** In one of the ways in which it breaks. Resolves when it is whole again. */
export const breakRedis: Act = async ({ redis, proxy, disk, watch, history, chance }) => {
  const fault = chance.pick(['kill', 'power cut', 'power cut', 'pause', 'cut', 'stall', 'half-close', 'slow'] as const);
  const ms = chance.between(100, 1_200);
  history.note({ kind: 'redis', fault: `${fault} (${ms} ms)` });
  switch (fault) {
    case 'kill':
      return proxy.cut(async () => {
        await redis.kill();
        await delay(ms);
        await redis.restart();
        await watch.attach();
      });
    case 'power cut':
      return proxy.cut(async () => {
        const lost = await disk.powerCut(() => delay(ms));
        history.note({ kind: 'redis', fault: `the power cut lost ${lost} bytes` });
        await watch.attach();
      });
    case 'pause':
      redis.pause();
      await delay(ms);
      redis.resume();
      return;
    case 'cut':
      return proxy.cut(() => delay(ms));
    case 'stall':
      return proxy.stall(ms);
    case 'half-close':
      return proxy.halfClose();
    case 'slow':
      return proxy.slow(ms, chance.between(5, 60));
  }
};

const PATCH = { method: 'PATCH' };
const READ = { method: 'GET' };
const PROOF = { path: /introspect$/ };

const breakApi: Act = async ({ emulator, history, chance }) => {
  const times = chance.between(1, 4);
  const ms = chance.between(100, 1_500);
  const rule = chance.pick<FaultRule>([
    { kind: 'status', status: 500, when: 'before', match: PATCH },
    { kind: 'status', status: 500, when: 'after', match: PATCH },
    { kind: 'status', status: 504, when: 'after', match: PATCH },
    { kind: 'status', status: 409, match: PATCH },
    {
      kind: 'status',
      status: 429,
      retryAfter: RETRY_AFTER_S,
      message: `Rate limit exceeded. Retry after ${RETRY_AFTER_S} seconds`,
      match: PATCH,
    },
    { kind: 'drop', when: 'before', match: PATCH },
    { kind: 'drop', when: 'after', match: PATCH },
    { kind: 'drop', when: 'after', match: PATCH },
    { kind: 'stall', when: 'after', match: PATCH },
    { kind: 'latency', ms, when: 'before', match: PATCH },
    { kind: 'latency', ms, when: 'after', match: PATCH },
    { kind: 'status', status: 500, match: READ },
    { kind: 'drop', when: 'after', match: READ },
    { kind: 'latency', ms, match: READ },
    { kind: 'status', status: 503, match: PROOF },
    { kind: 'drop', when: 'after', match: PROOF },
    { kind: 'latency', ms, when: 'after', match: PROOF },
  ]);
  emulator.faults.add({ ...rule, times });
  history.note({ kind: 'api', fault: `${JSON.stringify(rule)} × ${times}` });
};

/** As often as they stand here. */
const ACTS: readonly Act[] = [
  killWorker,
  killWorker,
  freezeWorker,
  loseLock,
  loseLock,
  breakRedis,
  breakRedis,
  breakApi,
  breakApi,
  breakApi,
];

/** Breaks `acts` things, one after the other. Once it resolves, what was broken is mended, but for what the API still has in store. */
export async function breakThings(reach: Reach, acts: number): Promise<void> {
  const { chance } = reach;
  const frozen: Promise<void>[] = [];
  for (let count = 0; count < acts; count += 1) {
    const act = chance.pick(ACTS);
    const done = act(reach);
    // While a worker stands still, the next thing breaks.
    if (act === freezeWorker) frozen.push(done);
    else await done;
    await delay(chance.between(20, 300));
  }
  await Promise.all(frozen);
}
