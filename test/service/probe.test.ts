/** What a probe finds out of each kind of server, and what it costs. */
import { expect, onTestFinished, test } from 'vitest';
import { makeReference } from '../../src/core/client.ts';
import { type Findings, NOTHING_KNOWN, takesSeveral } from '../../src/core/findings.ts';
import { ALGORITHMS } from '../../src/core/keys.ts';
import { openResources } from '../../src/runtime/resources.ts';
import { storeKeys } from '../../src/store/keys.ts';
import { connectRedis } from '../../src/store/redis/connection.ts';
import { systemClock } from '../../src/time.ts';
import { CHANGE } from '../emulator/fault-rules.ts';
import { DEPLOYMENT, type FleetApp, startFleet } from '../support/fleet.ts';
import { type Issuer, type IssuerOptions, startIssuer } from '../support/issuer.ts';
import { startServedFleet } from '../support/key-server.ts';
import { apiCalls, disposables, probeOn } from '../support/probing.ts';

const keys = storeKeys('rekeyd');

const WACHT: FleetApp = { slug: 'app', selection: 'wacht' };
const PEM: FleetApp = { slug: 'app', selection: 'first_pem' };
const KID: FleetApp = { slug: 'app', selection: 'jwks_kid' };

/** What Wacht verifies, as recorded. */
const VERIFIED = ['RS256', 'RS384', 'RS512', 'ES256', 'ES384'];

function answers({ picks, pemMember, forms, algs, fit }: Findings) {
  return {
    picks: picks.result,
    pemMember: pemMember.result,
    forms: Object.fromEntries(Object.entries(forms).map(([form, { result }]) => [form, result])),
    algs: ALGORITHMS.filter((alg) => algs[alg].result === 'accepted'),
    refused: ALGORITHMS.filter((alg) => algs[alg].result === 'refused'),
    fit: fit.keys,
  };
}

const FIRST = {
  picks: 'first',
  pemMember: 'decides',
  forms: { jwk_with_pem: 'accepted', jwk: 'refused', pem: 'accepted', jwks_uri: 'refused' },
  algs: VERIFIED,
  refused: ALGORITHMS.filter((alg) => !VERIFIED.includes(alg)),
  fit: 32,
};
const BY_KID = {
  picks: 'by_kid',
  pemMember: 'ignored',
  forms: { jwk_with_pem: 'accepted', jwk: 'accepted', pem: 'accepted', jwks_uri: 'accepted' },
  algs: [...ALGORITHMS],
  refused: [],
  fit: 32,
};

test.each([
  { what: 'the real server', app: WACHT, expected: FIRST },
  { what: 'a server that takes the first PEM', app: PEM, expected: FIRST },
  { what: 'a server that goes by kid', app: KID, expected: BY_KID },
])('of $what, a probe finds out how it picks keys and what it verifies', async ({ app, expected }) => {
  const fleet = await startServedFleet(app);
  const { findings, strategy, removed, leftover } = await probeOn(fleet, app);
  expect(answers(findings), JSON.stringify(findings, null, 2)).toEqual(expected);
  expect([removed, leftover]).toEqual([0, null]);
  expect(strategy).toBe(expected === BY_KID ? 'overlap' : null);
  expect(findings.issuer).toBe('https://app.example.com');
  expect(findings.effectMs).toBeGreaterThanOrEqual(0);
  expect(findings.removalMs).toBeGreaterThanOrEqual(findings.effectMs);
  expect(findings.forms.jwks_uri.evidence).toContain('https://keys.example.com/');

  const [client, ...others] = disposables(fleet, app);
  expect(others).toEqual([]);
  expect(client?.is_active).toBe(false);
  // Nothing of it stays where our sets are served.
  const setOf = await fleet.resources.folder?.sets(`${DEPLOYMENT}/${app.slug}`);
  expect(await setOf?.(makeReference(DEPLOYMENT, app.slug, client?.id ?? ''))).toBeNull();

  expect((await fleet.resources.store.appFacts(`${DEPLOYMENT}/${app.slug}`)).findings).toEqual(findings);
  const [probed] = (await fleet.audit()).filter(({ type }) => type === 'app.probed');
  expect(probed).toMatchObject({
    actor: 'test',
    client: null,
    data: { app: `${DEPLOYMENT}/${app.slug}`, picks: expected.picks, algs: expected.algs, keys: 32 },
  });
});

test('without a place to serve a set from, nothing is said of jwks_uri', async () => {
  const fleet = await startFleet({ apps: [KID] });
  const { findings } = await probeOn(fleet, KID);
  expect(findings.forms.jwks_uri).toEqual({
    result: 'unknown',
    evidence: expect.stringContaining('no publish section'),
  });
});

test('every call of a probe counts in the API budget', async () => {
  const fleet = await startFleet({ apps: [KID], deployment: { rate_limit: { max: 1000, per: '3650d' } } });
  await probeOn(fleet, KID);
  const redis = await connectRedis({ socketPath: fleet.redis.socketPath }, { name: 'test' });
  const tokens = Number(await redis.hget(keys.deployment(DEPLOYMENT), 'tokens'));
  redis.disconnect();
  const calls = apiCalls(fleet, KID);
  expect(calls.length).toBeGreaterThan(15);
  expect(1000 - Math.round(tokens)).toBe(calls.length);
});

test('a probe does not wait behind the budget for ever: it fails, and its client is deactivated', async () => {
  const fleet = await startFleet({ apps: [KID], deployment: { rate_limit: { max: 5, per: '30d' } } });
  await expect(probeOn(fleet, KID)).rejects.toThrow(/rate limit of the deployment is used up/);
  expect(disposables(fleet, KID).map(({ is_active }) => is_active)).toEqual([false]);
});

test('a server with room for few keys is seen to have no more', async () => {
  const fleet = await startFleet({ apps: [KID] });
  const sizes = () =>
    apiCalls(fleet, KID)
      .filter(({ method }) => method === 'PATCH')
      .map(({ body }) => (body as { jwks?: { keys: unknown[] } }).jwks?.keys.length ?? 0);
  await probeOn(fleet, KID);
  const before = sizes();
  // The two largest sets are refused.
  const skip = before.indexOf(Math.max(...before));
  fleet.emulator.faults.add({ kind: 'status', status: 413, match: CHANGE, skip, times: 2 });
  const { findings } = await probeOn(fleet, KID);
  expect(findings.fit).toEqual({
    keys: 8,
    evidence: expect.stringMatching(/a set of 32 is not taken \(413: .*a set of 16 is not taken/),
  });
  expect(sizes().slice(before.length)).toEqual(before.flatMap((size) => (size === 32 ? [32, 16, 8] : [size])));
});

/** The same fleet, whose clients sign in somewhere else. */
async function probeAt(options: IssuerOptions) {
  let issuer: Issuer | null = null;
  const fleet = await startFleet({ apps: [KID], emulator: { onAnswered: (call) => issuer?.onAnswered(call) } });
  issuer = await startIssuer(fleet.emulator, KID.slug, options);
  const { origin } = issuer;
  const text = JSON.stringify(fleet.file).replace(/"app\.example\.com":"[^"]*"/, `"app.example.com":"${origin}"`);
  const config = await fleet.configOf(JSON.parse(text));
  const resources = await openResources(config, { log: fleet.resources.log, clock: systemClock });
  onTestFinished(() => resources.close());
  const { findings } = await probeOn({ resources }, KID);
  expect(disposables(fleet, KID).map(({ is_active }) => is_active)).toEqual([false]);
  return findings;
}

test.each<[string, IssuerOptions, Partial<ReturnType<typeof answers>>, boolean]>([
  ['tries every key', { choose: (keys) => keys }, { picks: 'any', pemMember: 'ignored' }, true],
  ['takes the last key', { choose: (keys) => keys.slice(-1) }, { picks: 'last', pemMember: 'ignored' }, false],
  [
    'takes two keys for none',
    { choose: (keys) => (keys.length === 1 ? keys : []) },
    { picks: 'unknown', pemMember: 'unknown' },
    false,
  ],
  [
    'goes by kid, and hears of changes late',
    { choose: (keys, kid) => keys.filter((key) => key.kid === kid || keys.length === 1), delayMs: 200 },
    { picks: 'by_kid', pemMember: 'ignored', algs: [...ALGORITHMS], refused: [] },
    true,
  ],
])('of a server that %s, a probe finds that out', async (_, options, expected, several) => {
  const findings = await probeAt(options);
  expect(answers(findings), JSON.stringify(findings, null, 2)).toMatchObject(expected);
  expect(takesSeveral({ ...NOTHING_KNOWN, findings })).toBe(several);
  expect(findings.effectMs).toBeGreaterThanOrEqual(options.delayMs ?? 0);
});

test('a server that takes one key in a set is seen to have room for no more', async () => {
  const fleet = await startFleet({ apps: [KID] });
  // The first PATCH changes over to another key, the second one has two.
  fleet.emulator.faults.add({ kind: 'status', status: 400, message: 'one key only', match: CHANGE, skip: 1 });
  const { findings } = await probeOn(fleet, KID);
  expect(answers(findings)).toMatchObject({ picks: 'one', pemMember: 'unknown', fit: 1 });
  expect(findings.picks.evidence).toContain('400: one key only');
  expect(takesSeveral({ ...NOTHING_KNOWN, findings })).toBe(false);
});

test('an issuer that proves nothing stops the probe, and nothing is stored', async () => {
  const fleet = await startFleet({ apps: [KID] });
  const all = { times: Number.POSITIVE_INFINITY };
  fleet.emulator.faults.add({
    kind: 'page',
    status: 200,
    body: '{"active":false}',
    type: 'application/json',
    match: { path: /introspect/ },
    ...all,
  });
  await expect(probeOn(fleet, KID)).rejects.toMatchObject({
    code: 'probe_failed',
    message: expect.stringContaining('nobody registered'),
  });
  const { findings, failed } = await fleet.resources.store.appFacts(`${DEPLOYMENT}/${KID.slug}`);
  expect(findings).toBeNull();
  expect(failed?.error).toContain('nobody registered');
  expect(disposables(fleet, KID).map(({ is_active }) => is_active)).toEqual([false]);
});

test('an app where nobody can sign in is told as such', async () => {
  const fleet = await startFleet({ apps: [KID] });
  fleet.emulator.faults.add({ kind: 'sign_in_refused', reason: 'invalid_signature', times: Number.POSITIVE_INFINITY });
  await expect(probeOn(fleet, KID, { patienceMs: 200 })).rejects.toThrow(
    /No key of the disposable client signs in at https:\/\/app\.example\.com: ES256 refused \(400: .*RS256 refused/,
  );
});

test('a policy that says never is kept to', async () => {
  const app = { ...KID, policy: { probe: 'never' } };
  const fleet = await startFleet({ apps: [app] });
  await expect(probeOn(fleet, app)).rejects.toThrow(/Policy app .* says probe: never.*Write probe: manual/);
  expect(apiCalls(fleet, app)).toEqual([]);
});
