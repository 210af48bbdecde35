/** Probes that come to nothing: whatever happens, the disposable client is gone in the end, and what was known stays known. */
import { once } from 'node:events';
import { expect, onTestFinished, test } from 'vitest';
import { discover } from '../../jobs/discover.ts';
import { reconcile } from '../../jobs/reconcile.ts';
import { makeReference } from '../../src/core/client.ts';
import { probeUri } from '../../src/wacht/mark.ts';
import type { FaultRule } from '../emulator/fault-rules.ts';
import { makeKey, withPem } from '../emulator/testing.ts';
import { contextOf } from '../support/context.ts';
import { whyPaused } from '../support/deployment.ts';
import { apiKeyOf, DEPLOYMENT, type Fleet, type FleetApp, startFleet } from '../support/fleet.ts';
import { apiCalls, disposables, probeOn } from '../support/probing.ts';
import { until } from '../support/until.ts';
import { startProgram } from '../support/worker-process.ts';
import type { ProbeOrder } from './probe-child.ts';

const APP: FleetApp = { slug: 'app', selection: 'jwks_kid' };
const FOR_EVER = { times: Number.POSITIVE_INFINITY };
const CHILD = new URL('probe-child.ts', import.meta.url);

const activeOf = (fleet: Fleet, app: FleetApp) => disposables(fleet, app).filter(({ is_active }) => is_active);
const deletes = ({ emulator }: Fleet) =>
  emulator.log.filter(({ method, status }) => method === 'DELETE' && status !== null).length;
const factsOf = ({ resources }: Fleet, { slug }: FleetApp) => resources.store.appFacts(`${DEPLOYMENT}/${slug}`);

/** How many calls of the API an undisturbed probe makes, and what they are. */
async function callsOfOne(): Promise<readonly string[]> {
  const fleet = await startFleet({ apps: [APP] });
  await probeOn(fleet, APP);
  return apiCalls(fleet, APP).map(({ method }) => method);
}

test('a probe that is killed at any step: the next one removes its client, and finds out everything', async () => {
  const methods = await callsOfOne();
  expect(methods.slice(0, 2)).toEqual(['GET', 'POST']);
  expect(methods.at(-1)).toBe('DELETE');
  // One app for each call after which the process dies, and one for the moment before the client is there.
  const apps = [...methods.keys(), methods.indexOf('POST')].map(
    (step, index): FleetApp & { readonly step: number; readonly when: 'before' | 'after' } => ({
      ...APP,
      slug: `app-${index}`,
      step,
      when: index < methods.length ? 'after' : 'before',
    }),
  );
  // Calls that are held keep their connections.
  const fleet = await startFleet({ apps, deployment: { timeout: '10m', concurrency: 2 * apps.length } });
  const held = Promise.withResolvers<void>();
  onTestFinished(() => held.resolve());
  const faults = apps.map(({ slug, step, when }) => {
    const match = { api: 'management', app: slug } as const;
    return fleet.emulator.faults.add({ kind: 'hold', until: held.promise, when, match, skip: step });
  });
  const slugs = apps.map(({ slug }) => slug);
  const child = await startProgram<ProbeOrder>(fleet, CHILD, { deployment: DEPLOYMENT, slugs, leaseMs: 4_000 });
  await until('each probe stands at its step', () => faults.every(({ fired }) => fired === 1), 100_000);
  const dead = once(child, 'exit');
  child.kill('SIGKILL');
  await dead;
  fleet.emulator.faults.clear();
  const left = apps.filter((app) => activeOf(fleet, app).length > 0).length;
  expect(left).toBeGreaterThan(10);

  const found = await Promise.all(apps.map((app) => probeOn(fleet, app)));
  for (const [index, app] of apps.entries()) {
    expect([app.slug, activeOf(fleet, app).length]).toEqual([app.slug, 0]);
    expect((await factsOf(fleet, app)).findings).toEqual(found[index]?.findings);
    expect(found[index]?.findings.picks.result).toBe('by_kid');
  }
  expect(found.reduce((sum, { removed }) => sum + removed, 0)).toBe(left);
});

test.each<[string, FaultRule, RegExp, readonly boolean[]]>([
  [
    'may not make clients (403)',
    { kind: 'status', status: 403, match: { api: 'management', method: 'POST' }, ...FOR_EVER },
    /Creating a client .* HTTP 403.*right to manage OAuth clients/,
    [],
  ],
  [
    'may not change them (403)',
    { kind: 'status', status: 403, match: { method: 'PATCH' }, ...FOR_EVER },
    /Changing the disposable client .* HTTP 403/,
    [false],
  ],
  [
    'is sent away in the middle (429)',
    { kind: 'rate_limited', match: { method: 'PATCH' }, skip: 4 },
    /Changing the disposable client .* HTTP 429/,
    [false],
  ],
  [
    'gets no answer in the middle',
    { kind: 'drop', when: 'after', match: { method: 'PATCH' }, skip: 4 },
    /Changing the disposable client .* failed/,
    [false],
  ],
  [
    'is not told that its client was made',
    { kind: 'drop', when: 'after', match: { api: 'management', method: 'POST' } },
    /Creating a client .* failed/,
    [false],
  ],
  [
    'cannot deactivate its client at first',
    { kind: 'status', status: 503, match: { method: 'DELETE' }, times: 2 },
    /^$/,
    [false],
  ],
  [
    'loses its app in the middle',
    {
      kind: 'status',
      status: 404,
      message: 'OAuth app not found',
      match: { api: 'management', app: APP.slug },
      skip: 5,
      ...FOR_EVER,
    },
    /Changing the disposable client .* HTTP 404.*OAuth app not found/,
    [true],
  ],
])('a probe that %s says so, and what was known stays known', async (_, rule, message, active) => {
  const fleet = await startFleet({ apps: [APP], deployment: { timeout: '2s' } });
  const { findings: before } = await probeOn(fleet, APP);
  const earlier = disposables(fleet, APP).length;
  fleet.emulator.faults.add(rule);
  const ended = await probeOn(fleet, APP).then(
    () => '',
    (error: Error) => error.message,
  );
  expect(ended).toMatch(message);
  expect(
    disposables(fleet, APP)
      .slice(earlier)
      .map(({ is_active }) => is_active),
  ).toEqual(active);
  const { findings, failed } = await factsOf(fleet, APP);
  if (ended === '') expect(failed).toBeNull();
  else {
    expect(findings).toEqual(before);
    expect(ended).toContain(failed?.error.slice(0, 200));
  }
  expect(await whyPaused(fleet)).toBeNull();

  fleet.emulator.faults.clear();
  const { removed } = await probeOn(fleet, APP);
  expect(removed).toBe(active.filter((isActive) => isActive).length);
  expect(activeOf(fleet, APP)).toEqual([]);
  expect((await factsOf(fleet, APP)).failed).toBeNull();
});

test('an API key that is refused pauses its deployment, as it does with every other call', async () => {
  const fleet = await startFleet({ apps: [APP] });
  fleet.emulator.revokeApiKey(apiKeyOf(DEPLOYMENT));
  await expect(probeOn(fleet, APP)).rejects.toThrow(/HTTP 401/);
  expect(await whyPaused(fleet)).toContain('the API key is refused');
  fleet.emulator.setApiKey(DEPLOYMENT, apiKeyOf(DEPLOYMENT));
  await expect(probeOn(fleet, APP)).rejects.toThrow(/the deployment is paused/);
});

test('a probe that is told to stop deactivates its client, and does not count as one that failed', async () => {
  const fleet = await startFleet({ apps: [APP] });
  const held = Promise.withResolvers<void>();
  onTestFinished(() => held.resolve());
  const match = { method: 'PATCH', app: APP.slug };
  const fault = fleet.emulator.faults.add({ kind: 'hold', until: held.promise, when: 'after', match, skip: 3 });
  const stop = new AbortController();
  const probing = probeOn(fleet, APP, { signal: stop.signal });
  probing.catch(() => {});
  await until('it is in the middle', (saw) => saw(fault.fired) === 1);
  stop.abort(new Error('told to stop'));
  await expect(probing).rejects.toThrow();
  held.resolve();
  expect(activeOf(fleet, APP)).toEqual([]);
  expect(await factsOf(fleet, APP)).toMatchObject({ findings: null, failed: null });
});

test('a probe that lost its lease takes no client by its mark: it may be that of the probe after it', async () => {
  const fleet = await startFleet({ apps: [APP] });
  const { store } = fleet.resources;
  let isTaken = false;
  const holdProbe: typeof store.holdProbe = async (...lease) => (isTaken ? 1_000 : store.holdProbe(...lease));
  const held = Promise.withResolvers<void>();
  onTestFinished(() => held.resolve());
  const match = { method: 'PATCH', app: APP.slug };
  fleet.emulator.faults.add({ kind: 'hold', until: held.promise, when: 'after', match });
  fleet.emulator.faults.add({ kind: 'status', status: 503, match: { method: 'DELETE' }, ...FOR_EVER });
  const losing = { resources: { ...fleet.resources, store: { ...store, holdProbe } } };
  const probing = probeOn(losing, APP, { leaseMs: 300 });
  probing.catch(() => {});
  await until('its client is there', (saw) => saw(activeOf(fleet, APP).length) === 1);
  const other = fleet.emulator.addClient({
    deployment: DEPLOYMENT,
    app: APP.slug,
    jwks: { keys: [withPem(makeKey('ES256'))] },
    redirect_uris: [probeUri(store.id, 'n2')],
  });
  isTaken = true;
  await until('its own client cannot be deactivated', (saw) => saw(deletes(fleet)) >= 4);
  fleet.emulator.faults.clear();
  await expect(probing).rejects.toThrow(/another one may have begun/);
  expect(fleet.emulator.client(DEPLOYMENT, APP.slug, other.id).is_active).toBe(true);
});

test('of two probes at once, one waits for the other, and neither takes the other’s client for a leftover', async () => {
  const fleet = await startFleet({ apps: [APP] });
  const waits: number[] = [];
  const onWait = (ms: number) => void waits.push(ms);
  // The one that waits looks again when the lease of the other would be over.
  const options = { leaseMs: 3_000, onWait };
  const both = await Promise.all([probeOn(fleet, APP, options), probeOn(fleet, APP, options)]);
  expect(both.map(({ removed }) => removed)).toEqual([0, 0]);
  expect(waits.length).toBeGreaterThan(0);
  expect(disposables(fleet, APP).map(({ is_active }) => is_active)).toEqual([false, false]);
});

test('the client of a probe of another store is left alone while that probe may be under way', async () => {
  let ahead = 0;
  const fleet = await startFleet({ apps: [APP], emulator: { now: () => Date.now() + ahead } });
  const made = fleet.emulator.addClient({
    deployment: DEPLOYMENT,
    app: APP.slug,
    jwks: { keys: [withPem(makeKey('ES256'))] },
    redirect_uris: [probeUri('another-store', 'n1')],
  });
  const isActive = () => fleet.emulator.client(DEPLOYMENT, APP.slug, made.id).is_active;
  expect((await probeOn(fleet, APP)).removed).toBe(0);
  expect(isActive()).toBe(true);
  // Two hours later, on the clock of the server.
  ahead = 2 * 3_600_000;
  expect((await probeOn(fleet, APP)).removed).toBe(1);
  expect(isActive()).toBe(false);
});

test('a disposable client is never found, taken over or rotated, and a request for it says what it is', async () => {
  const app = { ...APP, policy: { adopt: 'take_over', rotate_every: '1ms' } };
  const fleet = await startFleet({ apps: [app] });
  const made = fleet.emulator.addClient({
    deployment: DEPLOYMENT,
    app: app.slug,
    alg: 'ES256',
    jwks: { keys: [withPem(makeKey('ES256'))] },
    redirect_uris: [probeUri(fleet.resources.store.id, 'n1')],
  });
  const other = await fleet.managed(app);
  const { resources } = fleet;
  const context = contextOf(fleet);
  await reconcile(context);
  expect(await discover({ v: 1, policy: app.slug, slot: 'one' }, context)).toEqual({ found: 0, started: 0 });
  await fleet.start();
  const ref = makeReference(DEPLOYMENT, app.slug, made.id);
  const { errors } = await fleet.request({ select: { clients: [ref] }, take_over: true, compromised: true });
  expect(errors).toEqual([{ client: ref, message: expect.stringContaining('a disposable client that a probe made') }]);
  const { rotations } = await fleet.request({ select: { all: true }, take_over: true, compromised: true });
  expect(rotations.map(({ client }) => client)).toEqual([other.ref]);
  expect(await resources.store.clientRefs()).toEqual([other.ref]);
  const patched = (id: string) =>
    fleet.emulator.log.filter(({ method, client }) => method === 'PATCH' && client === id);
  await until('the one that no probe made is rotated', (saw) => saw(patched(other.id).length) > 0);
  expect(patched(made.id)).toEqual([]);
  // The same without the mark of a probe is found.
  const ordinary = await fleet.foreign(app);
  // By this run, or by one of the service that came first.
  await discover({ v: 1, policy: app.slug, slot: 'two' }, context);
  expect(await resources.store.clientRefs()).toContain(ordinary.ref);
});
