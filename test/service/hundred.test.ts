/** One request replaces the keys of a hundred clients that have a standby key, and a worker that is killed on the way does no harm. */
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { inParallel } from '../../src/parallel.ts';
import { CHANGE } from '../emulator/fault-rules.ts';
import { isChange } from '../emulator/log.ts';
import { DEPLOYMENT, type Fleet, type FleetClient, PEM_APP, startFleet } from '../support/fleet.ts';
import { LOCK_MS } from '../support/killing.ts';
import { thumbprints } from '../support/published.ts';
import { until } from '../support/until.ts';
import { startWorker } from '../support/worker-process.ts';

const APP = { ...PEM_APP, policy: { standby: true, overlap: '0s' } };
const CLIENTS = 100;
const CONCURRENCY = 10;
const PATIENCE_MS = 60_000;

/** By client: the key in use, and the one that is kept ready, once signers have both. */
async function allReady(fleet: Fleet, clients: readonly FleetClient[]) {
  const ready = new Map<FleetClient, { readonly active: string; readonly standby: string }>();
  await until(
    'every client has a standby key',
    async (saw) => {
      await inParallel(
        clients.filter((client) => !ready.has(client)),
        8,
        async (client) => {
          const { keys, standby, signers, retirements } = await fleet.record(client);
          const kid = standby?.kid ?? null;
          if (kid === null || signers.delivered?.next !== kid || retirements.length > 0) return;
          ready.set(client, { active: keys.find(({ state }) => state === 'active')?.kid ?? '', standby: kid });
        },
      );
      return saw(ready.size) === clients.length;
    },
    PATIENCE_MS,
  );
  return ready;
}

const EVERY = { select: { all: true }, compromised: true, keep_standby: true, confirm: true };

test('100 clients with a standby key, and a worker killed in the middle', { timeout: 180_000 }, async () => {
  const fleet = await startFleet({
    apps: [APP],
    deployment: { concurrency: CONCURRENCY, rate_limit: { max: 10_000, per: '1s' } },
  });
  const clients: FleetClient[] = [];
  await inParallel(Array(CLIENTS).keys(), 8, async () => void clients.push(await fleet.managed(APP)));
  const worker = await startWorker(fleet, fleet.file, { stopAt: {}, lockMs: LOCK_MS, signal: 'SIGKILL' });

  const before = await allReady(fleet, clients);
  const { rotations } = await fleet.request(EVERY);
  expect(rotations).toHaveLength(CLIENTS);
  const idOf = (client: FleetClient) => rotations.find(({ client: ref }) => ref === client.ref)?.id ?? '';
  for (const client of clients) {
    const { kid, replaces, exposure } = await fleet.reached(client, idOf(client));
    const ready = before.get(client);
    expect([kid, replaces]).toEqual([ready?.standby, ready?.active]);
    expect(exposure?.refusedAt).toBeGreaterThan(exposure?.reportedAt ?? Number.POSITIVE_INFINITY);
    expect(await Promise.all(fleet.patches(client).map(({ body }) => thumbprints(body)))).toEqual([[kid]]);
  }
  const audit = await fleet.audit();
  const proofs = audit.filter(({ type, data }) => type === 'key.proven' && data.verdict === 'refused');
  expect(proofs.map(({ data }) => data.kid).sort()).toEqual([...before.values()].map(({ active }) => active).sort());
  // No key was made for it.
  expect(audit.filter(({ type, data }) => type === 'key.generated' && data.standby !== true)).toEqual([]);

  const again = await allReady(fleet, clients);
  const sent = fleet.emulator.log.filter(isChange).length;
  const ended = once(worker, 'exit');
  const { promise, resolve } = Promise.withResolvers<void>();
  const every = { match: CHANGE, times: Number.POSITIVE_INFINITY };
  const hold = fleet.emulator.faults.add({ kind: 'hold', until: promise, when: 'after', skip: 30, ...every });
  const second = fleet.request(EVERY);
  await until('it is in the middle', (saw) => saw(hold.fired) === CONCURRENCY, PATIENCE_MS);
  worker.kill('SIGKILL');
  await ended;
  fleet.emulator.faults.clear();
  resolve();
  await fleet.start({ lockMs: LOCK_MS });
  const answer = await second;
  expect(answer.rotations).toHaveLength(CLIENTS);
  for (const { id, client: ref } of answer.rotations) {
    const client = clients.find((one) => one.ref === ref);
    if (client === undefined) throw new Error(`who is ${ref}`);
    const { kid } = await fleet.reached(client, id);
    expect(kid).toBe(again.get(client)?.standby);
    expect(await thumbprints(fleet.emulator.client(DEPLOYMENT, APP.slug, client.id))).toEqual([kid]);
    const [, ...bodies] = fleet.patches(client).map(({ body }) => JSON.stringify(body));
    expect(new Set(bodies).size, 'the same bytes again').toBe(1);
  }
  // At most those that were under way were sent once more.
  expect(fleet.emulator.log.filter(isChange).length - sent).toBeLessThanOrEqual(CLIENTS + CONCURRENCY);
});
