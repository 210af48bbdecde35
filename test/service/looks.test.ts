/** How a rotation finds out what the server shows of its one client. */
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { FRESH_MS, outdated, SLOW_MS } from '../../src/core/server.ts';
import { amend, type RecordStore, rotate } from '../../src/rotation/loop.ts';
import type { FaultRule } from '../emulator/fault-rules.ts';
import { isLook } from '../emulator/log.ts';
import { makeKey, withPem } from '../emulator/testing.ts';
import { beginRotation } from '../support/begin.ts';
import { DEPLOYMENT, type Fleet, type FleetClient, KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { handsOf } from '../support/hands.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

const FOR_EVER = { times: Number.POSITIVE_INFINITY };
const CALM = { config: { reconcile_every: '1h' } };
const THEIRS = makeKey('ES256');

const lists = ({ emulator }: Fleet) =>
  emulator.log.filter(({ method, path }) => method === 'GET' && path.endsWith('/clients')).length;
const looks = ({ emulator }: Fleet) => emulator.log.filter(isLook).length;

/** As if the client had not been seen for long. */
async function forget(fleet: Fleet, client: FleetClient): Promise<void> {
  const { policy } = handsOf(fleet, client);
  await amend(client.ref, (record) => ({ ...record, server: outdated(record.server) }), policy, fleet.resources.store);
}

async function rotated(fleet: Fleet, client: FleetClient): Promise<void> {
  await forget(fleet, client);
  await fleet.reached(client, await fleet.rotate(client));
}

test('a rotation reads no list, once the first look was compared with one, also after a restart', async () => {
  const fleet = await startFleet({ apps: [KID_APP], ...CALM });
  const client = await fleet.managed(KID_APP);
  const before = lists(fleet);
  // Upkeep reads none for a while.
  await fleet.resources.store.noteList(DEPLOYMENT, KID_APP.slug, 60_000);
  const service = await fleet.start();
  await rotated(fleet, client);
  expect([lists(fleet), looks(fleet)]).toEqual([before + 1, 1]);
  await service.stop();
  await fleet.start();
  await rotated(fleet, client);
  expect([lists(fleet), looks(fleet)]).toEqual([before + 1, 2]);
  await expectSound(fleet, [client]);
});

test.each<[string, FaultRule]>([
  [
    'does not know such a PATCH',
    { kind: 'status', status: 422, match: { method: 'PATCH', isLook: true }, ...FOR_EVER },
  ],
  [
    'shows another client by it',
    {
      kind: 'tamper',
      tamper: { jwks_uri: 'https://keys.example.com/all' },
      match: { method: 'PATCH', isLook: true },
      ...FOR_EVER,
    },
  ],
])('a server that %s is looked at by lists', async (_what, rule) => {
  const fleet = await startFleet({ apps: [PEM_APP], ...CALM });
  const client = await fleet.managed(PEM_APP);
  fleet.emulator.faults.add(rule);
  await fleet.start();
  for (let round = 0; round < 2; round += 1) await rotated(fleet, client);
  expect(looks(fleet)).toBe(1);
  expect(await fleet.resources.store.lookedBy(DEPLOYMENT)).toBe('list');
  await expectSound(fleet, [client]);
});

test('a key that somebody adds while the store makes the intent durable is kept', async () => {
  const fleet = await startFleet({ apps: [KID_APP], ...CALM });
  const client = await fleet.managed(KID_APP);
  await beginRotation(fleet, client);
  const { store } = fleet.resources;
  const { policy, ...hands } = handsOf(fleet, client);
  let isSlow = true;
  const slow: RecordStore = {
    load: (ref) => store.load(ref),
    claim: (ref, leastEpoch) => store.claim(ref, leastEpoch),
    async commit(change) {
      const committed = await store.commit(change);
      if (!isSlow || change.record.server.inFlight === null) return committed;
      isSlow = false;
      const jwks = { keys: [withPem(client.key), withPem(THEIRS)] };
      fleet.emulator.edit(DEPLOYMENT, client.app.slug, client.id, { jwks });
      await delay(FRESH_MS + 100);
      return committed;
    },
  };
  const stop = new AbortController();
  const onPoint = (point: string) => {
    if (point === 'patch:after effect' && fleet.patches(client).length > 0) stop.abort(new Error('seen enough'));
  };
  await expect(rotate(client.ref, policy, { ...hands, store: slow, onPoint }, stop.signal)).rejects.toThrow(
    'seen enough',
  );
  expect(isSlow).toBe(false);
  expect(fleet.patches(client)).toHaveLength(1);
  for (const { body } of fleet.patches(client)) expect(JSON.stringify(body)).toContain(THEIRS.kid);
});

test('an API that is too slow to show a client as it is gets no PATCH built on that, unless it presses', async () => {
  const fleet = await startFleet({ apps: [PEM_APP], ...CALM });
  const client = await fleet.managed(PEM_APP);
  await fleet.resources.store.noteLookedBy(DEPLOYMENT, 'patch');
  const match = { method: 'PATCH', isLook: true };
  const slow = fleet.emulator.faults.add({ kind: 'latency', when: 'before', ms: SLOW_MS + 200, match, ...FOR_EVER });
  const rotation = await beginRotation(fleet, client);
  await forget(fleet, client);
  await fleet.start();
  await until('the look was too slow', async () =>
    /s to show the client/.test((await fleet.record(client)).rotation?.tries.error ?? ''),
  );
  expect(fleet.patches(client)).toEqual([]);
  expect(await fleet.rotate(client, { compromised: true })).toBe(rotation);
  await fleet.reached(client, rotation);
  expect(slow.fired).toBeGreaterThan(1);
});

test('an issuer that accepts every key proves none: nothing is cut over', async () => {
  const app = { ...PEM_APP, policy: { attempts: 2 } };
  const fleet = await startFleet({ apps: [app], ...CALM });
  const client = await fleet.managed(app);
  const page = { kind: 'page', status: 200, type: 'application/json', body: '{"active":false}' } as const;
  fleet.emulator.faults.add({ ...page, match: { path: /introspect/ }, ...FOR_EVER });
  await fleet.start();
  const { error } = await fleet.reached(client, await fleet.rotate(client), 'failed');
  expect(error).toContain('accepts a key that nobody registered');
  expect(fleet.patches(client)).toEqual([]);
});

test('a look that has its turn has one for its PATCH too, however scarce turns are', async () => {
  const fleet = await startFleet({ apps: [PEM_APP], deployment: { rate_limit: { max: 4, per: '6s' } }, ...CALM });
  const clients = await Promise.all(Array.from({ length: 4 }, () => fleet.managed(PEM_APP)));
  await fleet.resources.store.noteLookedBy(DEPLOYMENT, 'patch');
  const begun = await Promise.all(
    clients.map(async (client) => {
      const rotation = await beginRotation(fleet, client);
      await forget(fleet, client);
      return [client, rotation] as const;
    }),
  );
  await fleet.start();
  for (const [client, rotation] of begun) await fleet.reached(client, rotation);
  // None was too old when its PATCH could go, and made again.
  expect(looks(fleet)).toBe(clients.length);
});
