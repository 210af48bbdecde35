/** A key is taken in when somebody was seen to sign in with it, and a refused one leaves nothing behind. */
import { expect, test } from 'vitest';
import { discover } from '../../jobs/discover.ts';
import { reconcile } from '../../jobs/reconcile.ts';
import { RekeydError } from '../../src/errors.ts';
import { openResources } from '../../src/runtime/resources.ts';
import type { FaultRule } from '../emulator/fault-rules.ts';
import { makeKey, withPem } from '../emulator/testing.ts';
import { contextOf } from '../support/context.ts';
import { DEPLOYMENT, type Fleet, type FleetApp, KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { importing, privatePem } from '../support/importing.ts';

const REAL_APP: FleetApp = { slug: 'real-app', selection: 'wacht' };

/** Sign-ins that the server answered. */
function signIns({ emulator }: Fleet): number {
  return emulator.log.filter(({ api }) => api === 'runtime').length;
}

/** @param told types of the entries in the audit log */
async function expectUntouched(fleet: Fleet, told: readonly string[]): Promise<void> {
  expect(await fleet.resources.store.clientRefs()).toEqual([]);
  expect((await fleet.audit()).map(({ type }) => type)).toEqual(told);
}

test('a key that signs in is imported with its proof, and no PATCH is sent', async () => {
  const fleet = await startFleet({ apps: [REAL_APP, KID_APP] });
  for (const app of [REAL_APP, KID_APP]) {
    const client = await fleet.foreign(app);
    const done = await importing(fleet, client);
    expect(done).toMatchObject({
      outcome: 'imported',
      enrolment: 'held',
      key: { kid: client.key.kid, proof: 'accepted' },
    });
    const record = await fleet.record(client);
    expect(record.keys).toMatchObject([{ state: 'active', proof: 'accepted' }]);
    expect(record.signers.delivered).toEqual({ current: client.key.kid, next: null, previous: null });
  }
  expect(fleet.emulator.log.filter(({ method }) => method === 'PATCH')).toEqual([]);
});

/** Clients of the real server that nobody can sign in as, as it lets them be registered. */
test.each([
  ['without a PEM', 'ES256', { plain: true }, /requires a registered PEM key/],
  ['for an alg that is never verified', 'PS256', {}, /invalid_client/],
  ['for ES512', 'ES512', {}, /Unsupported algorithm: ES512/],
  ['with another key first', 'ES256', { before: makeKey('ES256') }, /InvalidSignature/],
] as const)('a client that is registered %s is refused in the server’s own words', async (_, alg, how, says) => {
  const fleet = await startFleet({ apps: [REAL_APP] });
  const client = await fleet.foreign(REAL_APP, {
    alg,
    members: (key) => {
      const own = 'plain' in how ? key.jwk : withPem(key);
      return { jwks: { keys: 'before' in how ? [withPem(how.before), own] : [own] } };
    },
  });
  await expect(importing(fleet, client)).rejects.toMatchObject({
    code: 'key_refused',
    message: expect.stringMatching(new RegExp(`${says.source}[^]*Nothing was imported\\.`)),
  });
  await expectUntouched(fleet, ['key.import_refused']);
});

test('a key that is not the published one, or a client that has no keys, is refused without a sign-in', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.foreign(PEM_APP);
  const other = privatePem(makeKey('ES256'));
  await expect(importing(fleet, client, { text: other })).rejects.toMatchObject({ code: 'key_invalid' });
  const secret = { client_auth_method: 'client_secret_basic' };
  const odd = await fleet.foreign(PEM_APP, { members: secret });
  await expect(importing(fleet, odd)).rejects.toMatchObject({ code: 'not_eligible' });
  expect(signIns(fleet)).toBe(0);
  await expectUntouched(fleet, []);
});

const ALWAYS = Number.POSITIVE_INFINITY;

test.each<[string, FaultRule, RegExp]>([
  ['does not answer', { kind: 'drop', when: 'before', times: ALWAYS }, /gives no answer that says so/],
  ['has a fault', { kind: 'status', status: 503, times: ALWAYS }, /gives no answer that says so/],
  [
    'says yes to everybody',
    { kind: 'page', status: 200, body: '{"active":false}', type: 'application/json', times: ALWAYS },
    /proves nothing/,
  ],
])('while the issuer %s nothing is imported, unless --unproven says so', async (_, fault, says) => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.foreign(PEM_APP);
  fleet.emulator.faults.add({ ...fault, match: { api: 'runtime' } });
  await expect(importing(fleet, client)).rejects.toMatchObject({
    code: 'key_unproven',
    message: expect.stringMatching(new RegExp(`${says.source}[^]*--unproven`)),
  });
  await expectUntouched(fleet, ['key.import_refused']);
  const before = signIns(fleet);
  expect(await importing(fleet, client, { unproven: true })).toMatchObject({
    outcome: 'imported',
    key: { proof: null },
  });
  expect(signIns(fleet)).toBe(before);
  expect((await fleet.audit()).find(({ type }) => type === 'key.imported')?.data).toMatchObject({ proof: 'none' });
});

test('an issuer that asks to be left alone once is asked again', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.foreign(PEM_APP);
  fleet.emulator.faults.add({ kind: 'status', status: 429, retryAfter: 1, match: { api: 'runtime' } });
  expect(await importing(fleet, client)).toMatchObject({ outcome: 'imported', key: { proof: 'accepted' } });
});

test('where the policy asks for no proofs, nobody signs in', async () => {
  const app = { ...PEM_APP, policy: { prove: 'read_back' } };
  const fleet = await startFleet({ apps: [app] });
  expect(await importing(fleet, await fleet.foreign(app))).toMatchObject({ outcome: 'imported', key: { proof: null } });
  expect(signIns(fleet)).toBe(0);
});

test('a client whose issuer moved to another domain is not signed in anywhere', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const [deployment] = Object(fleet.file.deployments);
  const apps = [{ slug: PEM_APP.slug, policy: PEM_APP.slug, resolve: { 'pem-app.example.com': fleet.emulator.url } }];
  const config = await fleet.configOf({ ...fleet.file, deployments: [{ ...deployment, apps }] });
  await fleet.resources.store.firstDomain(DEPLOYMENT, PEM_APP.slug, 'before.example.com');
  const resources = await openResources(config, { log: fleet.resources.log, clock: fleet.resources.clock });
  try {
    const client = await fleet.foreign(PEM_APP);
    await expect(importing({ ...fleet, resources, config }, client)).rejects.toMatchObject({ code: 'issuer_changed' });
    expect(signIns(fleet)).toBe(0);
  } finally {
    await resources.close();
  }
});

test('the same key again changes nothing; after a rotation it is told that it was replaced', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.foreign(PEM_APP);
  await importing(fleet, client);
  const size = await fleet.resources.store.auditSize();
  const before = signIns(fleet);
  expect(await importing(fleet, client)).toMatchObject({ outcome: 'active', enrolment: 'held' });
  expect([await fleet.resources.store.auditSize(), signIns(fleet)]).toEqual([size, before]);
  expect(await importing(fleet, client, { enroll: true })).toMatchObject({ outcome: 'active', enrolment: 'enrolled' });

  await fleet.start();
  const { kid } = await fleet.reached(client, await fleet.rotate(client));
  const record = await fleet.record(client);
  expect(await importing(fleet, client)).toMatchObject({ outcome: 'replaced', key: { kid } });
  expect(await fleet.record(client)).toEqual(record);
});

test('clients are imported while sweeps and upkeep find them: each once, and none is lost', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const context = contextOf(fleet);
  const clients = await Promise.all(Array.from({ length: 24 }, () => fleet.foreign(PEM_APP)));
  let isDone = false;
  const looking = (async () => {
    for (let round = 0; !isDone; round += 1) {
      await discover({ v: 1, policy: PEM_APP.slug, slot: `${round}` }, context);
      await reconcile(context);
    }
  })();
  await Promise.all(clients.map((client) => importing(fleet, client)));
  isDone = true;
  await looking;
  for (const client of clients) {
    const { enrolment, keys, signers } = await fleet.record(client);
    expect([enrolment, keys.length, signers.delivered?.current]).toEqual(['held', 1, client.key.kid]);
  }
  const told = (await fleet.audit()).filter(({ type }) => type === 'client.found' || type === 'key.imported');
  expect(told.map(({ type, client }) => `${type} ${client}`).sort()).toEqual(
    ['client.found', 'key.imported'].flatMap((type) => clients.map(({ ref }) => `${type} ${ref}`)).sort(),
  );
  expect(await fleet.resources.store.enrolmentCounts()).toEqual({ clients: 24, found: 0, held: 24 });
});

test('an import whose last try delivers the keys has delivered them, however often another process was faster', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.foreign(PEM_APP);
  const { store } = fleet.resources;
  let outrun = 0;
  const claim: typeof store.claim = async (ref, leastEpoch) => {
    outrun += 1;
    if (outrun < 10) throw new RekeydError('store_fenced', 'another process has it');
    return store.claim(ref, leastEpoch);
  };
  const contended = { ...fleet, resources: { ...fleet.resources, store: { ...store, claim } } };
  expect(await importing(contended, client)).toMatchObject({ outcome: 'imported' });
  expect(outrun).toBe(10);
});
