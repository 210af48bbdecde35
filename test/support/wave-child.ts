/**
 * Entry point of a child process: a worker that sweeps some policies, where the wave of each stops at a step of its own. The process kills itself once all of
 * them have stopped. Its one argument is a {@link WaveOrder} as JSON.
 */
import { readFile } from 'node:fs/promises';
import { openQueues } from '../../jobs/queues.ts';
import { startWorkers } from '../../jobs/workers.ts';
import { loadConfig } from '../../src/config/load.ts';
import { splitReference } from '../../src/core/client.ts';
import { keksOf } from '../../src/rotation/policy.ts';
import { createLog } from '../../src/runtime/log.ts';
import { openResources } from '../../src/runtime/resources.ts';
import type { Commit } from '../../src/store/records.ts';
import type { Store } from '../../src/store/store.ts';
import { systemClock } from '../../src/time.ts';
import type { Order } from './worker-process.ts';

/**
 * What a worker does to a wave in the store. `begin N` is the commit that begins the Nth rotation of the wave, `count` the one that says what a rotation
 * of it came to.
 */
export type WaveStep = 'beginWave' | 'chooseFirst' | `begin ${number}` | 'count' | 'follow' | 'endWave' | 'stopWave';

export type WavePoint = `${'before' | 'after'} ${WaveStep}`;

export interface WaveOrder extends Order {
  /** By policy, which is named after its app. */
  readonly stopAt: Readonly<Record<string, WavePoint>>;
  readonly lockMs: number;
}

const order: WaveOrder = JSON.parse(process.argv[2] ?? '');
const env: Record<string, string> = JSON.parse(await readFile(order.env, 'utf8'));
const config = await loadConfig(order.config, env);
const log = createLog({ level: 'fatal' });
const resources = await openResources(config, { log, clock: systemClock });
const ids = config.deployments.map(({ id }) => id);
const queues = openQueues(resources, ids, () => {});
const context = {
  resources: { ...resources, store: stopping(resources.store) },
  queues,
  keks: keksOf(config),
  log,
  lockMs: order.lockMs,
};
await startWorkers(context, {}).connected();
for (const policy of Object.keys(order.stopAt)) {
  await queues.addUpkeep('sweep', { v: 1, policy, slot: 'one', reindex: false }, `sweep.${policy}.one`);
}
await queues.reconcileEvery(config.reconcileEveryMs);

function stopping(store: Store): Store {
  const awaited = new Set(Object.keys(order.stopAt));
  const begun = new Map<string, number>();

  async function at(policy: string, point: WavePoint): Promise<void> {
    if (order.stopAt[policy] !== point) return;
    awaited.delete(policy);
    if (awaited.size === 0) process.kill(process.pid, 'SIGKILL');
    await new Promise(() => {});
  }

  async function around<T>(policy: string, step: WaveStep, work: () => Promise<T>): Promise<T> {
    await at(policy, `before ${step}`);
    const answer = await work();
    await at(policy, `after ${step}`);
    return answer;
  }

  function stepOf(policy: string, { entries, counted }: Commit): WaveStep | null {
    if (counted !== undefined) return 'count';
    if (!entries.some(({ type }) => type === 'rotation.started')) return null;
    const count = (begun.get(policy) ?? 0) + 1;
    begun.set(policy, count);
    return `begin ${count}`;
  }

  return {
    ...store,
    beginWave: (wave, size) => around(wave.policy, 'beginWave', () => store.beginWave(wave, size)),
    chooseFirst: (wave, clients) => around(wave.policy, 'chooseFirst', () => store.chooseFirst(wave, clients)),
    follow: (wave) => around(wave.policy, 'follow', () => store.follow(wave)),
    endWave: (wave) => around(wave.policy, 'endWave', () => store.endWave(wave)),
    stopWave: (wave, why, entries) => around(wave.policy, 'stopWave', () => store.stopWave(wave, why, entries)),
    commit(change) {
      const { app } = splitReference(change.ref);
      const step = stepOf(app, change);
      return step === null ? store.commit(change) : around(app, step, () => store.commit(change));
    },
  };
}
