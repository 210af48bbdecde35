/** One HTTP call replaces the RSA keys of a hundred clients that have a standby key, and a worker that is killed on the way does no harm. */
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { inParallel } from '../../src/parallel.ts';
import { CHANGE } from '../emulator/fault-rules.ts';
import { goodClaims, introspect, makePair, sign } from '../emulator/testing.ts';
import { type Caller, caller, makeToken } from '../support/api.ts';
import { DEPLOYMENT, type Fleet, type FleetClient, PEM_APP, startFleet } from '../support/fleet.ts';
import { LOCK_MS, NEXT_LOCK_MS } from '../support/killing.ts';
import { type Saw, until } from '../support/until.ts';
import { startWorker } from '../support/worker-process.ts';

const APP = { ...PEM_APP, policy: { standby: true, overlap: '0s', modulus_length: 2048 } };
const HOST = `${APP.slug}.example.com`;
const CLIENTS = 100;
const CONCURRENCY = 10;
const PATIENCE_MS = 90_000;

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

const EVERY = {
  select: { all: true },
  compromised: true,
  keep_standby: true,
  confirm: true,
  reason: 'a copy of the log server',
};

/** One call; where no worker has begun it within the time of an answer, what it came to is asked for later. */
async function compromiseAll(api: Caller): Promise<readonly { readonly id: string; readonly client: string }[]> {
  const { status, headers, body } = await api('/v1/rotations', { json: EVERY });
  expect(status, JSON.stringify(body)).toBe(202);
  const begun = async (saw: Saw) => {
    const answer = saw(await api(headers.get('location') ?? ''));
    return answer.body.pending === false && answer.body;
  };
  return (body.pending ? await until('the request is answered', begun, PATIENCE_MS) : body).rotations;
}

async function signsIn({ emulator }: Fleet, { clientId, key }: FleetClient): Promise<boolean> {
  const assertion = await sign(key, goodClaims(clientId, HOST, '/oauth/introspect'));
  return (await introspect(emulator, HOST, clientId, assertion)).status === 200;
}

test('100 RS256 clients with a standby key, and a worker killed in the middle', { timeout: 240_000 }, async () => {
  const fleet = await startFleet({
    apps: [APP],
    config: { http: { listen: '127.0.0.1:0' } },
    deployment: { concurrency: CONCURRENCY, rate_limit: { max: 10_000, per: '1s' } },
  });
  const clients: FleetClient[] = [];
  const pairs = Array.from({ length: 4 }, () => makePair('RS256'));
  await inParallel(Array(CLIENTS).keys(), 8, async (index) => {
    const pair = pairs[index % pairs.length];
    clients.push(await fleet.managed(APP, { alg: 'RS256', ...(pair && { pair }) }));
  });
  const { url } = await fleet.start({ http: true, worker: false });
  const api = caller(url ?? '', await makeToken(fleet));
  const worker = await startWorker(fleet, fleet.file, { stopAt: {}, lockMs: LOCK_MS, signal: 'SIGKILL' });
  const before = await allReady(fleet, clients);
  for (const client of clients) expect(await signsIn(fleet, client), `the key of ${client.ref}`).toBe(true);

  const ended = once(worker, 'exit');
  const going = Promise.withResolvers<void>();
  const every = { match: CHANGE, times: Number.POSITIVE_INFINITY };
  const hold = fleet.emulator.faults.add({ kind: 'hold', until: going.promise, when: 'after', skip: 45, ...every });
  const asked = compromiseAll(api);
  await until('it is in the middle', (saw) => saw(hold.fired) >= CONCURRENCY, PATIENCE_MS);
  worker.kill('SIGKILL');
  await ended;
  fleet.emulator.faults.clear();
  going.resolve();
  await fleet.start({ lockMs: NEXT_LOCK_MS });

  const rotations = await asked;
  expect(rotations).toHaveLength(CLIENTS);
  const again = new Set<FleetClient>();
  for (const client of clients) {
    const id = rotations.find(({ client: ref }) => ref === client.ref)?.id ?? '';
    const { kid, replaces, exposure } = await fleet.reached(client, id);
    const ready = before.get(client);
    expect([kid, replaces]).toEqual([ready?.standby, ready?.active]);
    expect(exposure?.refusedAt).toBeGreaterThan(exposure?.reportedAt ?? Number.POSITIVE_INFINITY);
    expect(await signsIn(fleet, client), `the old key of ${client.ref}`).toBe(false);
    const { jwks } = fleet.emulator.client(DEPLOYMENT, APP.slug, client.id);
    expect(jwks?.keys).toMatchObject([{ kty: 'RSA', alg: 'RS256', kid }]);
    const [body, ...same] = fleet.patches(client).map((patch) => JSON.stringify(patch.body));
    expect(new Set([body, ...same]).size, 'the same bytes again').toBe(1);
    if (same.length > 0) again.add(client);
  }
  // One PATCH each. Those that were under way when the worker was killed are sent again: what became of them is not known.
  expect(again.size).toBeGreaterThan(0);
  expect(again.size).toBeLessThanOrEqual(CONCURRENCY);
  const audit = await fleet.audit();
  const proofs = audit.filter(({ type, data }) => type === 'key.proven' && data.verdict === 'refused');
  expect(proofs.map(({ data }) => data.kid).sort()).toEqual([...before.values()].map(({ active }) => active).sort());
  // No key was made for it.
  expect(audit.filter(({ type, data }) => type === 'key.generated' && data.standby !== true)).toEqual([]);
});
