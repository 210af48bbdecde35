/** Drift from the edit at the server to what a person makes of it: upkeep notes it, `rekeyd drift` shows it, a decision goes through the ordinary loop. */
import { expect, test } from 'vitest';
import { reconcile } from '../../jobs/reconcile.ts';
import { apply } from '../../jobs/start.ts';
import { repair } from '../../src/core/settling.ts';
import { clientPolicy } from '../../src/rotation/policy.ts';
import { makeKey, withPem } from '../emulator/testing.ts';
import { caller, makeToken } from '../support/api.ts';
import { ran, rekeyd, statusOf } from '../support/command.ts';
import { contextOf } from '../support/context.ts';
import { DEPLOYMENT, type Fleet, type FleetClient, KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { scraper } from '../support/metrics.ts';
import { until } from '../support/until.ts';

const THEIRS = makeKey('ES256');
const WHY = ['--reason', 'a test'];
const LIST = { method: 'GET', path: /clients$/ };

function kidsOn({ emulator }: Fleet, { app, id }: FleetClient) {
  return emulator.client(DEPLOYMENT, app.slug, id).jwks?.keys.map(({ kid }) => kid) ?? [];
}

function publish({ emulator }: Fleet, { app, id }: FleetClient, ...keys: readonly object[]): void {
  emulator.edit(DEPLOYMENT, app.slug, id, { jwks: { keys } });
}

const calls = ({ emulator }: Fleet, method: string) =>
  emulator.log.filter((call) => call.method === method && call.api === 'management').length;

async function driftOf(fleet: Fleet, ...args: readonly string[]) {
  const { code, stdout, stderr } = await ran(fleet, 'drift', ...args, '--json');
  return { code, document: JSON.parse(stdout), stderr };
}

const drifts = async (fleet: Fleet) =>
  (await fleet.audit()).filter(({ type }) => type === 'client.drifted').map(({ client, data }) => [client, data.what]);

test('each kind is noted once by upkeep and shown everywhere, with no call that reconcile does not make anyway', async () => {
  const fleet = await startFleet({
    apps: [KID_APP],
    config: { http: { listen: '127.0.0.1:0' }, reconcile_every: '1h' },
  });
  const [calm, added, replaced, gone, found] = [
    await fleet.managed(KID_APP),
    await fleet.managed(KID_APP),
    await fleet.managed(KID_APP),
    await fleet.managed(KID_APP),
    await fleet.foreign(KID_APP),
  ];
  await reconcile(contextOf(fleet));
  publish(fleet, added, withPem(added.key), withPem(THEIRS));
  publish(fleet, replaced, withPem(THEIRS));
  publish(fleet, found, withPem(THEIRS));
  await fleet.resources.deployments.get(DEPLOYMENT)?.wacht.deactivateClient(gone.ref);

  // Before upkeep has looked, the command tells the same, and writes nothing.
  const [lists, patches, size] = [calls(fleet, 'GET'), calls(fleet, 'PATCH'), await fleet.resources.store.auditSize()];
  const early = await driftOf(fleet);
  expect([early.code, early.document.drifted]).toEqual([1, 3]);
  expect([calls(fleet, 'GET') - lists, calls(fleet, 'PATCH'), await fleet.resources.store.auditSize()]).toEqual([
    1,
    patches,
    size,
  ]);

  const before = calls(fleet, 'GET');
  await reconcile(contextOf(fleet));
  await reconcile(contextOf(fleet));
  expect(calls(fleet, 'GET') - before).toBe(2);
  const noted = [
    [added.ref, ['foreign_added']],
    [replaced.ref, ['document', 'foreign_added']],
    [gone.ref, ['vanished']],
  ];
  expect((await drifts(fleet)).sort()).toEqual(noted.sort());
  expect((await fleet.record(gone)).keys).toMatchObject([{ state: 'active' }]);

  const { document } = await driftOf(fleet);
  const shown = new Map(document.clients.map((view: { client: string }) => [view.client, view]));
  expect(shown.get(replaced.ref)).toMatchObject({
    since: expect.any(String),
    what: [{ kind: 'document' }, { kind: 'foreign_added' }],
    ours: {
      keys: [
        { kid: replaced.key.kid, origin: 'ours' },
        { kid: THEIRS.kid, origin: 'foreign', pem: 'same' },
      ],
    },
    server: { alg: 'ES256', keys: [{ kid: THEIRS.kid, origin: 'foreign' }] },
  });
  const text = (await ran(fleet, 'drift', added.ref, calm.ref)).stdout;
  expect(text).toContain(`the foreign key ${THEIRS.kid} was added`);
  expect(text).toContain('not drifted');
  const { clients } = await statusOf(fleet);
  expect(
    clients
      .filter(({ drift }) => drift !== null)
      .map(({ client, state }) => [client, state])
      .sort(),
  ).toEqual(
    [
      [added.ref, 'healthy'],
      [replaced.ref, 'failed'],
      [gone.ref, 'healthy'],
    ].sort(),
  );

  const { url = '' } = await fleet.start({ http: true });
  const ask = caller(url ?? '', await makeToken(fleet));
  expect((await ask(`/v1/clients/${replaced.ref}/drift`)).body).toEqual(shown.get(replaced.ref));
  expect((await ask(`/v1/clients/${DEPLOYMENT}/kid-app/none/drift`)).status).toBe(404);
  const samples = await scraper(fleet, url);
  await until('the numbers are told', async (saw) => {
    const told = await samples();
    saw([...told]);
    const of = (kind: string) => told.get(`rekeyd_clients_drifted{kind="${kind}"}`);
    return of('vanished') === 1 && of('foreign_added') === 2 && of('document') === 1 && of('registration') === 0;
  });
});

test('a decision is made on what the server shows now, goes through the loop, and is undone by the other', async () => {
  const fleet = await startFleet({ apps: [KID_APP], config: { reconcile_every: '1h' } });
  const [replaced, added] = [await fleet.managed(KID_APP), await fleet.managed(KID_APP)];
  publish(fleet, replaced, withPem(THEIRS));
  publish(fleet, added, withPem(added.key), withPem(THEIRS));
  // Only a person knows which key is right: theirs stays unless it is given up.
  const refused = await ran(fleet, 'drift', 'repair', replaced.ref, added.ref, ...WHY);
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain('an application may sign with it');
  expect(refused.stderr).toContain('nothing of ours is missing');
  expect(kidsOn(fleet, replaced)).toEqual([THEIRS.kid]);

  expect(await rekeyd(fleet, 'drift', 'accept', replaced.ref, ...WHY)).toContain('the client is found');
  expect(await fleet.record(replaced)).toMatchObject({ enrolment: 'found', keys: [] });
  expect((await fleet.resources.store.sealedHalves(replaced.ref)).size, 'its private half is kept').toBe(1);
  const again = JSON.parse(await rekeyd(fleet, 'drift', 'accept', replaced.ref, ...WHY, '--json'));
  expect(again).toEqual({ clients: [{ client: replaced.ref, error: null, done: null }] });
  expect(
    (await ran(fleet, 'drift', 'accept', replaced.ref, ...WHY, '--limit', '1')).code,
    'an option of another command',
  ).toBe(2);
  expect(fleet.patches(replaced)).toEqual([]);

  const { kid = '' } = THEIRS;
  for (const { ref } of [replaced, added]) {
    const said = await rekeyd(fleet, 'drift', 'repair', ref, '--drop-foreign', kid, ...WHY);
    expect(said).toContain('No worker is connected');
  }
  await fleet.start();
  for (const client of [replaced, added]) {
    await until(
      'our document is back',
      async () => (await fleet.record(client)).drift === undefined && kidsOn(fleet, client).join() === client.key.kid,
    );
    expect(fleet.patches(client)).toHaveLength(1);
    expect(await fleet.record(client)).toMatchObject({
      enrolment: 'enrolled',
      keys: [{ kid: client.key.kid }],
      halted: null,
    });
  }
  await rekeyd(fleet, 'drift', 'accept', added.ref, ...WHY);
  await until('their key is back', async () => kidsOn(fleet, added).join() === [added.key.kid, kid].join());
  await until('nothing is left to do', async () => (await fleet.record(added)).restores === undefined);
  const types = (await fleet.audit()).filter(({ client }) => client === added.ref).map(({ type }) => type);
  expect(types.filter((type) => type.startsWith('drift.'))).toEqual(['drift.repairing', 'drift.accepted']);
  const decided = (await fleet.audit()).find(({ type }) => type === 'drift.accepted');
  expect(decided).toMatchObject({
    reason: 'a test',
    actor: expect.stringMatching(/^cli:/),
    claimed_by: expect.stringMatching(/^os:/),
  });
});

test('a repair is done though its command died before it woke a worker, and sent again as it was where no answer comes', async () => {
  const fleet = await startFleet({ apps: [KID_APP], config: { reconcile_every: '200ms' } });
  const client = await fleet.managed(KID_APP);
  publish(fleet, client, withPem(client.key), withPem(THEIRS));
  await reconcile(contextOf(fleet));
  const policy = clientPolicy(fleet.resources, client.ref);
  if (policy === null) throw new Error('no policy');
  const decision = { cause: { actor: 'test', reason: 'a test', request: null }, drop: [THEIRS.kid ?? ''] };
  await apply(fleet.resources.store, client.ref, policy, (record, now) => repair(record, decision, { policy, now }));
  expect(await fleet.resources.store.openWork()).toEqual([client.ref]);
  // The answer to the first PATCH is lost: the same bytes are sent again.
  fleet.emulator.faults.add({ kind: 'drop', when: 'after', match: { method: 'PATCH', isLook: false } });
  await fleet.start();
  await until('their key is gone', async () => kidsOn(fleet, client).join() === client.key.kid);
  await until('it is confirmed', async () => (await fleet.record(client)).drift === undefined);
  const bodies = fleet.patches(client).map(({ body }) => JSON.stringify(body));
  expect(new Set(bodies).size).toBe(1);
  expect(await fleet.record(client)).toMatchObject({ halted: null, keys: [{ state: 'active' }] });
});

test('a list that fails, is cut off or has an odd row says nothing of its clients: nothing is noted, accepted or repaired', async () => {
  const fleet = await startFleet({ apps: [KID_APP, PEM_APP], deployment: { timeout: '1s' } });
  const [odd, other, elsewhere] = [
    await fleet.managed(KID_APP),
    await fleet.managed(KID_APP),
    await fleet.managed(PEM_APP),
  ];
  publish(fleet, elsewhere, withPem(elsewhere.key), withPem(THEIRS));
  const before = await fleet.record(odd);
  const forever = { match: { ...LIST, app: KID_APP.slug }, times: Number.POSITIVE_INFINITY };
  for (const fault of [{ kind: 'status', status: 500 }, { kind: 'cut' }] as const) {
    fleet.emulator.faults.add({ ...fault, ...forever });
    await reconcile(contextOf(fleet));
    const { code, document } = await driftOf(fleet);
    expect([code, document.unread]).toEqual([3, [{ app: `${DEPLOYMENT}/${KID_APP.slug}`, error: expect.any(String) }]]);
    expect(document.clients).toMatchObject([{ client: elsewhere.ref }]);
    const accepted = await ran(fleet, 'drift', 'accept', odd.ref, ...WHY);
    expect([accepted.code, accepted.stdout]).toEqual([3, '']);
    fleet.emulator.faults.clear();
  }
  const tamper = (body: unknown) =>
    JSON.parse(JSON.stringify(body), (_, row) => (row?.id === odd.id ? { ...row, jwks: { keys: [{ x: 1 }] } } : row));
  fleet.emulator.faults.add({ kind: 'tamper', tamper, ...forever });
  await reconcile(contextOf(fleet));
  expect((await driftOf(fleet, '--app', `${DEPLOYMENT}/${KID_APP.slug}`)).document).toMatchObject({
    drifted: 0,
    unread: [{ client: odd.ref }],
  });
  expect((await ran(fleet, 'drift', 'accept', odd.ref, other.ref, ...WHY)).stderr).toContain('cannot be read');
  expect(await fleet.record(odd)).toEqual(before);
  expect((await drifts(fleet)).map(([ref]) => ref)).toEqual([elsewhere.ref]);
});
