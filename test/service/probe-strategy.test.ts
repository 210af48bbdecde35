/** What rotations make of findings: which strategy, which algs, and when somebody has to probe first. */
import { expect, onTestFinished, test } from 'vitest';
import { probeAgain, probeJob } from '../../jobs/probing.ts';
import { sweep } from '../../jobs/sweep.ts';
import { NOTHING_KNOWN } from '../../src/core/findings.ts';
import { storeKeys } from '../../src/store/keys.ts';
import { connectRedis } from '../../src/store/redis/connection.ts';
import { beginRotation } from '../support/begin.ts';
import { contextOf } from '../support/context.ts';
import { DEPLOYMENT, type Fleet, type FleetApp, KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { startLogins } from '../support/logins.ts';
import { apiCalls, disposables, probeOn } from '../support/probing.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

const keys = storeKeys('rekeyd');

const AUTO: FleetApp = { slug: 'app', selection: 'first_pem', policy: { strategy: 'auto' } };
const PLACE = `${DEPLOYMENT}/${AUTO.slug}`;

const factsOf = ({ resources }: Fleet, { slug }: FleetApp) => resources.store.appFacts(`${DEPLOYMENT}/${slug}`);

const strategiesTold = async (fleet: Fleet) =>
  (await fleet.audit()).filter(({ type }) => type === 'app.strategy').map(({ data }) => [data.from, data.to]);

test('a server that changes from first-PEM to by-kid and back: the fleet moves to overlap and back, and nobody is refused', async () => {
  const fleet = await startFleet({ apps: [AUTO] });
  const client = await fleet.managed(AUTO);
  await fleet.start();
  const logins = await startLogins(client, fleet);
  const strategyOf = async () => (await fleet.reached(client, await fleet.rotate(client))).strategy;
  expect(await strategyOf(), 'nobody has probed').toBe('cutover');
  await probeOn(fleet, AUTO);
  expect(await strategyOf()).toBe('cutover');
  expect(await strategiesTold(fleet)).toEqual([]);

  fleet.become(AUTO, 'jwks_kid');
  expect(await strategyOf(), 'nobody has noticed').toBe('cutover');
  expect((await probeOn(fleet, AUTO)).strategy).toBe('overlap');
  expect(await strategyOf()).toBe('overlap');
  expect(fleet.lines.join('')).toContain('takes several keys at a time');

  fleet.become(AUTO, 'first_pem');
  expect((await probeOn(fleet, AUTO)).strategy).toBe('cutover');
  expect(await strategyOf()).toBe('cutover');
  expect(await strategiesTold(fleet)).toEqual([
    ['cutover', 'overlap'],
    ['overlap', 'cutover'],
  ]);
  await logins.more(2);
  expect((await logins.stop()).refused).toEqual([]);
  await expectSound(fleet, [client]);
});

test('a server that takes one key again, and nobody has probed since: one rotation is rolled back, the next one is a cutover', async () => {
  const fleet = await startFleet({ apps: [{ ...AUTO, selection: 'jwks_kid' }] });
  const client = await fleet.managed(AUTO);
  const other = await fleet.managed(AUTO);
  await probeOn(fleet, AUTO);
  await fleet.start();
  const logins = await startLogins(client, fleet);
  fleet.become(AUTO, 'first_pem');
  const { strategy } = await fleet.reached(client, await fleet.rotate(client), 'rolled_back');
  expect(strategy).toBe('overlap');
  expect((await fleet.reached(other, await fleet.rotate(other))).strategy).toBe('cutover');
  expect((await fleet.reached(client, await fleet.rotate(client))).strategy).toBe('cutover');
  expect(await strategiesTold(fleet)).toEqual([
    ['cutover', 'overlap'],
    ['overlap', 'cutover'],
  ]);
  await logins.more(2);
  expect((await logins.stop()).refused).toEqual([]);

  fleet.become(AUTO, 'jwks_kid');
  expect((await probeOn(fleet, AUTO)).strategy).toBe('overlap');
  expect((await fleet.reached(client, await fleet.rotate(client))).strategy).toBe('overlap');
  await expectSound(fleet, [client, other]);
});

test('an alg that nobody was seen to sign in with is refused until a probe saw it', async () => {
  const app = { ...PEM_APP, policy: { alg: 'ES384' } };
  const fleet = await startFleet({ apps: [app] });
  const client = await fleet.managed(app);
  await fleet.start();
  const { error } = await fleet.reached(client, await fleet.rotate(client), 'failed');
  expect(error).toMatch(/nobody was seen to sign in with ES384 at .*rekeyd probe .*--try-alg/);
  expect(fleet.patches(client)).toEqual([]);
  await probeOn(fleet, app);
  await fleet.reached(client, await fleet.rotate(client));
  expect(fleet.emulator.client(DEPLOYMENT, app.slug, client.id).token_endpoint_auth_signing_alg).toBe('ES384');
  await expectSound(fleet, [client]);
});

test('or until a client that somebody names has tried it: then the others may follow', async () => {
  const app = { ...KID_APP, policy: { alg: 'EdDSA' } };
  const fleet = await startFleet({ apps: [app] });
  const [first, second] = [await fleet.managed(app), await fleet.managed(app)];
  await fleet.start();
  await fleet.reached(second, await fleet.rotate(second), 'failed');
  await fleet.reached(first, await fleet.rotate(first, { try_alg: true }));
  expect((await factsOf(fleet, app)).proven).toMatchObject({ EdDSA: { client: first.ref } });
  await fleet.reached(second, await fleet.rotate(second));
  await expectSound(fleet, [first, second]);
});

test('an alg that a probe saw refused is refused with the finding, also when somebody wants it tried', async () => {
  const app: FleetApp = { slug: 'app', selection: 'wacht', policy: { alg: 'ES512' } };
  const fleet = await startFleet({ apps: [app] });
  const client = await fleet.managed(app);
  await probeOn(fleet, app);
  await fleet.start();
  const { error } = await fleet.reached(client, await fleet.rotate(client, { try_alg: true }), 'failed');
  expect(error).toMatch(
    /does not verify ES512: the probe of 20.* found .*Unsupported algorithm: ES512.*Name another alg/,
  );
  expect(fleet.patches(client)).toEqual([]);
  // A leaked key is replaced nevertheless, by what is known to work.
  const { kid } = await fleet.reached(client, await fleet.rotate(client, { compromised: true }));
  expect((await fleet.record(client)).keys).toMatchObject([{ kid, alg: 'ES256', state: 'active' }]);
});

test('an overlap is refused with the finding where the server takes one key', async () => {
  const app: FleetApp = { ...PEM_APP, policy: { strategy: 'overlap' } };
  const fleet = await startFleet({ apps: [app] });
  const client = await fleet.managed(app);
  await probeOn(fleet, app);
  await fleet.start();
  const { error } = await fleet.reached(client, await fleet.rotate(client), 'failed');
  expect(error).toMatch(/takes one key at a time: .*of \[A, B\], A is accepted and B is refused.*strategy: auto/);
  expect(fleet.patches(client)).toEqual([]);
});

test('a request to try an alg names its clients', async () => {
  const fleet = await startFleet({ apps: [AUTO] });
  await fleet.start();
  await expect(fleet.request({ select: { all: true }, try_alg: true })).rejects.toThrow(
    /try_alg goes with select\.clients/,
  );
});

test('algs that clients signed in with before this was noted are noted at the next start', async () => {
  const app = { ...KID_APP, policy: { alg: 'ES256' } };
  const fleet = await startFleet({ apps: [app] });
  const [first, second] = [await fleet.managed(app), await fleet.managed(app, { alg: 'RS256' })];
  const service = await fleet.start();
  await fleet.reached(first, await fleet.rotate(first));
  await service.stop();
  const redis = await connectRedis({ socketPath: fleet.redis.socketPath }, { name: 'test' });
  onTestFinished(() => redis.disconnect());
  await redis.del(keys.app(`${DEPLOYMENT}/${app.slug}`));
  expect(await factsOf(fleet, app)).toEqual(NOTHING_KNOWN);
  await fleet.start({ schedule: true });
  await until('it is noted', async (saw) => saw(await factsOf(fleet, app)).proven.ES256 !== undefined);
  await fleet.reached(second, await fleet.rotate(second));
  await expectSound(fleet, [first, second]);
});

const EAGER: FleetApp = {
  ...AUTO,
  selection: 'jwks_kid',
  policy: { strategy: 'auto', probe: 'auto', rotate_every: '1ms' },
};
const SWEEP = { v: 1, policy: AUTO.slug, slot: 'one', reindex: false } as const;

test('probe: auto: the first rotations of an app wait for a probe, those of a schedule and those that are asked for', async () => {
  const fleet = await startFleet({ apps: [EAGER] });
  const [due, asked] = [await fleet.managed(EAGER), await fleet.managed(EAGER)];
  expect(await sweep(SWEEP, contextOf(fleet))).toEqual({ started: 0 });
  const waiting = (await fleet.queues.upkeep.getJobs()).filter(({ name }) => name === 'probe');
  expect(waiting.map(({ data }) => data)).toEqual([{ v: 1, app: PLACE }]);
  await fleet.start();
  const { strategy } = await fleet.reached(asked, await fleet.rotate(asked));
  expect(strategy).toBe('overlap');
  // The probe was followed by a sweep.
  const summary = await until(
    'the other one is rotated',
    async () => (await fleet.resources.store.history(due.ref))[0],
  );
  expect(summary).toMatchObject({ state: 'finished', strategy: 'overlap' });
  expect(disposables(fleet, EAGER).map(({ is_active }) => is_active)).toEqual([false]);
  expect((await fleet.audit()).filter(({ type }) => type === 'app.probed')).toMatchObject([
    { actor: 'rekeyd', reason: 'probe: auto' },
  ]);
});

test('probe: auto: a probe that fails holds nothing up, and a compromise does not wait for one', async () => {
  const fleet = await startFleet({ apps: [EAGER] });
  const [leaked, client] = [await fleet.managed(EAGER), await fleet.managed(EAGER)];
  fleet.emulator.faults.add({
    kind: 'status',
    status: 403,
    match: { api: 'management', method: 'POST' },
    times: Number.POSITIVE_INFINITY,
  });
  const probing = fleet.queues.upkeep;
  await probing.pause();
  await fleet.start();
  await fleet.reached(leaked, await fleet.rotate(leaked, { compromised: true }));
  await probing.resume();
  expect((await fleet.reached(client, await fleet.rotate(client))).strategy).toBe('cutover');
  expect((await factsOf(fleet, EAGER)).failed?.error).toContain('HTTP 403');
  expect(fleet.lines.join('')).toContain('rotations go on as if nobody had probed');
});

test('probe: auto: apps are probed again after a day, after a failure sooner; manual: never', async () => {
  const manual: FleetApp = { ...PEM_APP, slug: 'manual' };
  const fleet = await startFleet({ apps: [EAGER, manual] });
  const context = contextOf(fleet);
  const redis = await connectRedis({ socketPath: fleet.redis.socketPath }, { name: 'test' });
  onTestFinished(() => redis.disconnect());
  const asked = async () => {
    await probeAgain(context);
    const jobs = (await fleet.queues.upkeep.getJobs()).filter(({ name }) => name === 'probe');
    await Promise.all(jobs.map((job) => job.remove()));
    return jobs.map(({ data }) => data.app);
  };
  /** Lets so many hours pass for all that is known of the app. */
  const age = async (hours: number) => {
    const ago = (at: number) => at - hours * 3_600_000;
    const { findings, failed } = await factsOf(fleet, EAGER);
    if (findings !== null)
      await redis.hset(keys.app(PLACE), 'findings', JSON.stringify({ ...findings, at: ago(findings.at) }));
    if (failed !== null) await redis.hset(keys.app(PLACE), 'failed', `${ago(failed.at)} ${failed.error}`);
  };
  expect(await asked(), 'the first one comes with a rotation').toEqual([]);
  await Promise.all([probeOn(fleet, EAGER), probeOn(fleet, manual)]);
  expect(await asked()).toEqual([]);
  await age(23);
  expect(await asked()).toEqual([]);
  await age(2);
  expect(await asked()).toEqual([PLACE]);

  const signal = new AbortController().signal;
  fleet.emulator.faults.add({ kind: 'status', status: 403, match: { api: 'management', method: 'POST' } });
  const calls = apiCalls(fleet, EAGER).length;
  expect(await probeJob({ v: 1, app: PLACE }, signal, context)).toEqual({ probed: true });
  expect(await asked(), 'it has just failed').toEqual([]);
  expect(await probeJob({ v: 1, app: PLACE }, signal, context), 'a second job').toEqual({ probed: false });
  expect(apiCalls(fleet, EAGER).length).toBe(calls + 2);
  await age(2);
  expect(await asked()).toEqual([PLACE]);
  expect(await probeJob({ v: 1, app: PLACE }, signal, context)).toEqual({ probed: true });
  expect(await factsOf(fleet, EAGER)).toMatchObject({ findings: { picks: { result: 'by_kid' } }, failed: null });
  expect(await asked()).toEqual([]);
});

test('what was begun while several keys were accepted goes on when a probe says that they are not', async () => {
  const app: FleetApp = { ...AUTO, selection: 'jwks_kid', policy: { strategy: 'auto', overlap: '3s' } };
  const fleet = await startFleet({ apps: [app] });
  const client = await fleet.managed(app);
  await probeOn(fleet, app);
  const rotation = await beginRotation(fleet, client);
  await fleet.start();
  await fleet.reached(client, rotation, 'active');
  fleet.become(app, 'first_pem');
  await probeOn(fleet, app);
  expect((await fleet.reached(client, rotation)).strategy).toBe('overlap');
  await expectSound(fleet, [client]);
});
