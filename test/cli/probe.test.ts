/** `rekeyd probe`, and what other commands make of what it found. */
import { afterEach, expect, test } from 'vitest';
import { probeOf } from '../../src/wacht/mark.ts';
import { CHANGE } from '../emulator/fault-rules.ts';
import { until } from '../support/until.ts';
import { documentOf, openWorld, type World } from './fixture.ts';

const DEPLOYMENT = '185019846023';
const [PEM, KID] = [`${DEPLOYMENT}/pem-app`, `${DEPLOYMENT}/kid-app`];

let world: World;
afterEach(() => world.close());

const madeIn = (app: string) =>
  world.emulator.clients(DEPLOYMENT, app).filter(({ redirect_uris: uris }) => probeOf(uris) !== null);

test('prints what it found with evidence, as a table and as a document, and leaves no client behind', async () => {
  world = await openWorld();
  const told = await world.run(['probe', PEM]);
  expect(told.code, told.stderr).toBe(0);
  expect(told.stdout).toMatch(
    /^which of two keys signs in +first +of \[A, B\], A is accepted and B is refused \(400: /m,
  );
  expect(told.stdout).toMatch(/^plain JWK +refused +.*requires a registered PEM key/m);
  expect(told.stdout).toMatch(/^ES384 +accepted /m);
  expect(told.stdout).toMatch(/^EdDSA +refused /m);
  expect(told.stdout).toMatch(/^keys that fit +at least 32 /m);
  expect(told.stdout).toContain('strategy: auto is a cutover here.');

  const listed = await world.run(['probe', KID, '--json']);
  expect(listed.code, listed.stderr).toBe(0);
  expect(documentOf(listed)).toMatchObject({
    app: KID,
    at: expect.stringMatching(/^20.*Z$/),
    issuer: 'https://kid-app.example.com',
    picks: { result: 'by_kid', evidence: expect.any(String) },
    pem_member: { result: 'ignored' },
    forms: { jwk: { result: 'accepted' }, jwks_uri: { result: 'unknown' } },
    algs: { EdDSA: { result: 'accepted' } },
    keys_that_fit: { result: 32 },
    effect_ms: expect.any(Number),
    removal_ms: expect.any(Number),
    strategy_auto: 'overlap',
    strategy_changed: true,
    leftovers_removed: 0,
    leftover: null,
  });
  for (const app of ['pem-app', 'kid-app']) expect(madeIn(app).map(({ is_active }) => is_active)).toEqual([false]);
  const [last] = documentOf(await world.run(['audit', 'tail', '-n', '1', '--json']));
  expect(last).toMatchObject({ type: 'app.strategy', data: { app: KID, from: 'cutover', to: 'overlap' } });
});

test('ends with 1 when the server refuses, with 3 when it does not answer, and says what to do', async () => {
  world = await openWorld({}, { timeout: '1s' });
  world.emulator.faults.add({ kind: 'status', status: 403, match: { api: 'management', method: 'POST' } });
  const refused = await world.run(['probe', PEM, '--json']);
  expect([refused.code, documentOf(refused).error.code]).toEqual([1, 'api_failed']);
  expect(refused.stderr).toContain('right to manage OAuth clients');
  world.emulator.faults.add({ kind: 'status', status: 503, match: CHANGE });
  const lost = await world.run(['probe', PEM]);
  expect(lost).toMatchObject({ code: 3, stdout: '' });
  expect(madeIn('pem-app').map(({ is_active }) => is_active)).toEqual([false]);
  const { checks } = documentOf(await world.run(['doctor', '--json']));
  const check = checks.find(({ name }: { name: string }) => name === `probe ${PEM}`);
  expect(check).toMatchObject({ ok: true, detail: expect.stringContaining('the last probe failed: Changing the') });
});

test('SIGINT deactivates its client before the command ends', async () => {
  world = await openWorld();
  const held = Promise.withResolvers<void>();
  const fault = world.emulator.faults.add({ kind: 'hold', until: held.promise, when: 'after', match: CHANGE, skip: 2 });
  const running = world.spawn(['probe', KID]);
  await until('it is in the middle', (saw) => saw(fault.fired) === 1);
  running.kill('SIGINT');
  const { code } = await running.ended;
  held.resolve();
  expect(code).toBe(1);
  expect(running.stderr()).toContain('Stopped: nothing was learned');
  expect(madeIn('kid-app').map(({ is_active }) => is_active)).toEqual([false]);
});

test('a policy that asks for what the server does not do is refused with the finding: by plan, doctor and start', async () => {
  world = await openWorld();
  const policies = {
    'pem-app': { schedule: '0 0 1 1 *', strategy: 'cutover', alg: 'ES512', format: 'jwks', embed_pem: false },
    'kid-app': { schedule: '0 0 1 1 *', alg: 'PS256' },
  };
  await world.writeConfig({ ...world.config, policies });
  const [pem, kid] = [await world.enrolledClient('pem-app'), await world.enrolledClient('kid-app')];
  const planned = await world.run(['plan', kid.ref]);
  expect(planned.stdout).toMatch(/! It would fail at once: nobody was seen to sign in with PS256 at .*\/kid-app/);
  expect((await world.run(['probe', PEM])).code).toBe(0);

  const refused = await world.run(['plan', pem.ref]);
  expect(refused.stdout).toMatch(/! It would fail at once: .*\/pem-app does not verify ES512: the probe of 20/);
  const doctor = await world.run(['doctor', '--json']);
  expect(doctor.code).toBe(1);
  const { checks } = documentOf(doctor);
  const of = (name: string) => checks.filter((check: { name: string }) => check.name === name);
  expect(of(`probe ${PEM}`)).toMatchObject([
    { ok: true, fix: null, detail: expect.stringContaining('auto is a cutover') },
  ]);
  expect(of(`probe ${KID}`)).toMatchObject([{ ok: true, fix: expect.stringContaining(`rekeyd probe ${KID}`) }]);
  expect(of(`policy pem-app at ${PEM}`)).toMatchObject([
    { ok: false, detail: expect.stringContaining('does not verify ES512') },
    { ok: false, detail: expect.stringContaining('does not accept keys as plain JWK') },
  ]);
  expect(of(`policy kid-app at ${KID}`)).toMatchObject([{ ok: true, detail: expect.stringContaining('--try-alg') }]);

  const service = await world.start();
  expect(service.stderr()).toMatch(
    /"level":"error".*the policy asks for what the server does not do: .*does not verify ES512/,
  );
  expect(service.stderr()).toMatch(/"level":"warn".*nobody was seen to sign in with PS256/);
  service.kill('SIGTERM');
  await service.ended;
});

test('plan shows an overlap where auto is one, and counts its calls', async () => {
  world = await openWorld({}, { rate_limit: { max: 1000, per: '1000s' } });
  const policies = { ...Object(world.config.policies), 'kid-app': { schedule: '0 0 1 1 *' } };
  await world.writeConfig({ ...world.config, policies });
  const client = await world.enrolledClient('kid-app');
  const planned = async () => {
    const [whole, one] = await Promise.all([world.run(['plan', '--json']), world.run(['plan', client.ref, '--json'])]);
    return [documentOf(one).clients[0].strategy, documentOf(whole).deployments[0].rotate_all_seconds];
  };
  expect(await planned()).toEqual(['cutover', 2]);
  expect((await world.run(['probe', KID])).code).toBe(0);
  expect(await planned()).toEqual(['overlap', 4]);
});

test('an alg is tried on a client that is named, and on no other', async () => {
  world = await openWorld();
  const policies = {
    ...Object(world.config.policies),
    'kid-app': { schedule: '0 0 1 1 *', propagation: '0ms', overlap: '200ms', alg: 'ES384' },
  };
  await world.writeConfig({ ...world.config, policies });
  const client = await world.enrolledClient('kid-app');
  await world.start();
  const refused = await world.run(['rotate', client.ref, '--wait']);
  expect(refused.code).toBe(1);
  expect(refused.stderr + refused.stdout).toContain('--try-alg');
  const tried = await world.run(['rotate', client.ref, '--try-alg', '--wait']);
  expect(tried.code, tried.stderr).toBe(0);
});
