/** What is found from the index and from the lists of the servers, and how little of both is read. */
import { expect, test } from 'vitest';
import { discover } from '../../jobs/discover.ts';
import { reconcile } from '../../jobs/reconcile.ts';
import { sweep } from '../../jobs/sweep.ts';
import type { ClientRef } from '../../src/core/client.ts';
import { foreignKeys } from '../../src/core/desired.ts';
import { CHANGE } from '../emulator/fault-rules.ts';
import { contextOf } from '../support/context.ts';
import { DEPLOYMENT, type Fleet, type FleetClient, KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

function lists({ emulator }: Fleet): number {
  return emulator.log.filter(({ method, path }) => method === 'GET' && path.endsWith('/clients')).length;
}

/** Every client is due whenever somebody looks. */
const ALWAYS_DUE = { rotate_every: '1ms' };
const DUE_APP = { ...PEM_APP, policy: { ...ALWAYS_DUE } };
const SWEEP = { v: 1, policy: PEM_APP.slug, slot: 'one', reindex: false } as const;
const DISCOVER = { v: 1, policy: PEM_APP.slug, slot: 'one' } as const;

async function rotationOf(fleet: Fleet, client: FleetClient) {
  return (await fleet.record(client)).rotation;
}

test('what is due is started without any list, and new clients are looked for afterwards', async () => {
  const fleet = await startFleet({ apps: [DUE_APP] });
  const clients = [await fleet.managed(DUE_APP), await fleet.managed(DUE_APP)];
  const before = lists(fleet);
  expect(await sweep(SWEEP, contextOf(fleet))).toEqual({ started: 2 });
  expect(lists(fleet)).toBe(before);
  expect(await sweep(SWEEP, contextOf(fleet)), 'asked twice').toEqual({ started: 0 });
  const jobs = await fleet.queues.upkeep.getJobs();
  expect(jobs.map(({ name, data }) => [name, data])).toEqual([['discover', DISCOVER]]);
  const started = await Promise.all(clients.map((client) => rotationOf(fleet, client)));
  await fleet.start();
  for (const [index, client] of clients.entries()) await fleet.reached(client, started[index]?.id ?? '');
  await expectSound(fleet, clients);
});

test('while a deployment does not answer nothing of it is started, and the others go on', async () => {
  const away = { ...DUE_APP, slug: 'away', deployment: '2' };
  const fleet = await startFleet({ apps: [DUE_APP, away] });
  const [here, there] = [await fleet.managed(DUE_APP), await fleet.managed(away)];
  fleet.emulator.faults.add({
    kind: 'status',
    status: 503,
    match: { deployment: '2' },
    times: Number.POSITIVE_INFINITY,
  });
  // One policy for both.
  const text = JSON.stringify(fleet.file).replaceAll('"policy":"away"', `"policy":"${SWEEP.policy}"`);
  const config = await fleet.configOf(JSON.parse(text));
  const context = contextOf(fleet, config);
  await expect(sweep(SWEEP, context)).rejects.toMatchObject({ code: 'api_failed' });
  expect(await rotationOf(fleet, here)).not.toBeNull();
  expect(await rotationOf(fleet, there)).toBeNull();
  fleet.emulator.faults.clear();
  expect(await sweep(SWEEP, context)).toEqual({ started: 1 });
  expect(await rotationOf(fleet, there)).not.toBeNull();
});

test.each([
  ['failed', { kind: 'status', status: 400, match: CHANGE }],
  ['finished', null],
] as const)(
  'a sweep that is tried again begins no second rotation of a client whose first one %s meanwhile',
  async (end, fault) => {
    const fleet = await startFleet({ apps: [DUE_APP] });
    const client = await fleet.managed(DUE_APP);
    if (fault !== null) fleet.emulator.faults.add(fault);
    const context = contextOf(fleet);
    expect(await sweep(SWEEP, context)).toEqual({ started: 1 });
    const first = await rotationOf(fleet, client);
    const service = await fleet.start();
    await fleet.reached(client, first?.id ?? '', end);
    expect(await sweep(SWEEP, context)).toEqual({ started: 0 });
    expect(await rotationOf(fleet, client)).toBeNull();
    // It is due all the same: that is for the next run.
    expect(await sweep({ ...SWEEP, slot: 'two' }, context)).toEqual({ started: 1 });
    const second = await until('the second one has ended', async () => {
      const [latest, before] = await fleet.resources.store.history(client.ref);
      return before !== undefined && latest;
    });
    expect(second.id).not.toBe(first?.id);
    await service.stop();
  },
);

test.each(['deactivated', 'no longer listed'])('a client that is %s is left alone until it is back', async (how) => {
  const fleet = await startFleet({ apps: [DUE_APP] });
  const [kept, gone] = [await fleet.managed(DUE_APP), await fleet.managed(DUE_APP)];
  if (how === 'deactivated') await fleet.resources.deployments.get(DEPLOYMENT)?.wacht.deactivateClient(gone.ref);
  else hideRow(fleet, gone.id);
  await reconcile(contextOf(fleet));
  expect((await fleet.record(gone)).server.observed.client).toMatchObject({
    active: false,
    keys: [{ jwk: { kid: gone.key.kid } }],
  });
  expect(await sweep(SWEEP, contextOf(fleet))).toEqual({ started: 1 });
  expect(await rotationOf(fleet, kept)).not.toBeNull();
  expect(await rotationOf(fleet, gone)).toBeNull();
  const size = await fleet.resources.store.auditSize();
  await reconcile(contextOf(fleet));
  expect(await fleet.resources.store.auditSize(), 'nothing new').toBe(size);

  fleet.emulator.faults.clear();
  if (how === 'deactivated') tamperRows(fleet, (row) => ({ ...row, is_active: true }));
  await reconcile(contextOf(fleet));
  expect(await sweep(SWEEP, contextOf(fleet))).toEqual({ started: 1 });
  expect(await rotationOf(fleet, gone)).not.toBeNull();
});

test('a list that fails is not one without clients', async () => {
  const fleet = await startFleet({ apps: [DUE_APP] });
  const client = await fleet.managed(DUE_APP);
  const match = { method: 'GET', path: /clients$/ };
  fleet.emulator.faults.add({ kind: 'status', status: 500, match, times: Number.POSITIVE_INFINITY });
  await reconcile(contextOf(fleet));
  await expect(discover(DISCOVER, contextOf(fleet))).rejects.toMatchObject({ code: 'api_failed' });
  expect((await fleet.record(client)).server.observed.client.active).toBe(true);
});

test('a row that cannot be read hides no other, and its client is neither gone nor written to', async () => {
  const fleet = await startFleet({ apps: [DUE_APP] });
  const odd = await fleet.managed(DUE_APP);
  const fresh = await fleet.foreign(DUE_APP);
  const strange = await fleet.foreign(DUE_APP);
  const ids = [odd.id, strange.id];
  tamperRows(fleet, (row) => (ids.includes(String(row.id)) ? { ...row, jwks: { keys: [{ x: 1 }] } } : row));
  const before = await fleet.record(odd);
  expect(await discover(DISCOVER, contextOf(fleet))).toMatchObject({ found: 1 });
  await reconcile(contextOf(fleet));
  expect(await fleet.resources.store.clientRefs()).toEqual([odd.ref, fresh.ref].sort());
  expect(await fleet.record(odd)).toEqual(before);
  const warnings = fleet.lines.map((line) => JSON.parse(line)).filter(({ level }) => level === 'warn');
  expect(warnings).toContainEqual(
    expect.objectContaining({
      app: DUE_APP.slug,
      count: 2,
      rows: expect.arrayContaining([expect.objectContaining({ id: odd.id })]),
    }),
  );
});

test.each([
  ['are only noted', 'import', 0],
  ['are rotated at once where the policy takes them over', 'take_over', 1],
])('new clients are found once, of their own policy alone, and %s', async (_, adopt, started) => {
  const app = { ...DUE_APP, policy: { ...DUE_APP.policy, adopt } };
  const fleet = await startFleet({ apps: [app, KID_APP] });
  const known = await fleet.managed(app);
  const fresh = await fleet.foreign(app);
  await fleet.foreign(KID_APP);
  const before = lists(fleet);
  expect(await discover(DISCOVER, contextOf(fleet))).toEqual({ found: 1, started });
  expect(lists(fleet)).toBe(before + 1);
  expect(await fleet.resources.store.clientRefs()).toEqual([known.ref, fresh.ref].sort());
  expect((await rotationOf(fleet, fresh)) !== null).toBe(started === 1);
  expect(await rotationOf(fleet, known), 'that is the sweep’s to start').toBeNull();
  expect(await discover(DISCOVER, contextOf(fleet))).toEqual({ found: 0, started: 0 });
});

test('what somebody changed is taken in once, by the upkeep, also where nothing has to be put right', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const clients = [await fleet.managed(PEM_APP), await fleet.managed(PEM_APP)];
  const [edited] = clients;
  if (edited === undefined) throw new Error('no client');
  const { jwks } = fleet.emulator.client(DEPLOYMENT, PEM_APP.slug, edited.id);
  const added = { kty: 'EC', crv: 'P-256', x: 'x', y: 'y', kid: 'theirs' };
  fleet.emulator.edit(DEPLOYMENT, PEM_APP.slug, edited.id, { jwks: { keys: [...(jwks?.keys ?? []), added] } });
  const before = lists(fleet);
  const loaded: ClientRef[] = [];
  const { store } = fleet.resources;
  const loadMany = (refs: readonly ClientRef[]) => {
    loaded.push(...refs);
    return store.loadMany(refs);
  };
  const context = { ...contextOf(fleet), resources: { ...fleet.resources, store: { ...store, loadMany } } };
  expect(await reconcile(context)).toMatchObject({ drifted: 0 });
  expect(lists(fleet)).toBe(before + 1);
  const versions = () => Promise.all(clients.map(async ({ ref }) => (await fleet.resources.store.load(ref))?.version));
  const after = await versions();
  expect(foreignKeys(await fleet.record(edited)).map(({ jwk }) => jwk.kid)).toEqual(['theirs']);
  await reconcile(context);
  expect(await versions()).toEqual(after);
  expect(loaded, 'of a large fleet, only what changed is loaded').toEqual([edited.ref]);
});

interface Row {
  readonly [member: string]: unknown;
}

/** Every list from now on shows its rows changed. */
function tamperRows({ emulator }: Fleet, change: (row: Row) => Row | null): void {
  const tamper = (body: unknown) => ({ clients: (body as { clients: Row[] }).clients.map(change).filter(Boolean) }); // the emulator's own list
  emulator.faults.add({
    kind: 'tamper',
    tamper,
    match: { method: 'GET', path: /clients$/ },
    times: Number.POSITIVE_INFINITY,
  });
}

function hideRow(fleet: Fleet, id: string): void {
  tamperRows(fleet, (row) => (row.id === id ? null : row));
}
