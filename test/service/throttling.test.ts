/** A server that wants to be left alone for a while. */

import { expect, test } from 'vitest';
import { CHANGE, type FaultRule } from '../emulator/fault-rules.ts';
import { beginRotation } from '../support/begin.ts';
import { DEPLOYMENT, type FleetApp, KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { startLogins } from '../support/logins.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

test.each([
  ['the header', { retryAfter: 2, message: 'Rate limit exceeded' }],
  ['the message', { message: 'Rate limit exceeded. Retry after 2 seconds' }],
  ['the longer of both', { retryAfter: 1, message: 'Rate limit exceeded. Retry after 2 seconds' }],
])('a 429 keeps the whole deployment quiet for as long as %s says, and costs no attempt', async (_name, words) => {
  const app = { ...PEM_APP, policy: { attempts: 1 } };
  const fleet = await startFleet({ apps: [app], deployment: { concurrency: 1 }, config: { reconcile_every: '1h' } });
  const clients = await Promise.all([fleet.managed(app), fleet.managed(app), fleet.managed(app)]);
  const rotations = await Promise.all(
    clients.map(async (client) => [client, await beginRotation(fleet, client)] as const),
  );
  fleet.emulator.faults.add({ kind: 'status', status: 429, match: CHANGE, ...words });
  // A read is sent away too: it is about everybody.
  fleet.emulator.faults.add({ kind: 'status', status: 429, match: { method: 'GET', path: /\/apps$/ }, ...words });
  await fleet.start();
  for (const [client, rotation] of rotations) await fleet.reached(client, rotation);
  const log = fleet.emulator.log.filter(({ api }) => api === 'management');
  const refused = log.findIndex(({ status }) => status === 429);
  const [before, after] = [log[refused]?.at ?? 0, log[refused + 2]?.at ?? 0];
  expect(after - before).toBeGreaterThanOrEqual(2_000);
  const intents = (await fleet.audit()).filter(({ type }) => type === 'key.publishing');
  expect(intents.map(({ data }) => data.attempt)).toEqual([1, 1, 1, 1]);
  await expectSound(fleet, clients);
});

test('a 429 that is about one client alone keeps no other waiting', async () => {
  const fleet = await startFleet({ apps: [PEM_APP], deployment: { concurrency: 1, throttle_max: '1s' } });
  const [limited, free] = [await fleet.managed(PEM_APP), await fleet.managed(PEM_APP)];
  const match = { method: 'PATCH', client: limited.id };
  fleet.emulator.faults.add({ kind: 'rate_limited', match, times: Number.POSITIVE_INFINITY });
  const rotation = await beginRotation(fleet, limited);
  await fleet.start();
  await until('it was sent away', () => fleet.emulator.log.some(({ status }) => status === 429));
  await fleet.reached(free, await fleet.rotate(free));
  const states = await fleet.resources.store.deploymentStates([DEPLOYMENT]);
  expect(states.get(DEPLOYMENT)).toEqual({ paused: null, throttledUntil: null });
  expect((await fleet.audit()).map(({ type }) => type)).not.toContain('deployment.throttled');
  fleet.emulator.faults.clear();
  await fleet.reached(limited, rotation);
  await expectSound(fleet, [limited, free]);
});

test('a compromise of a client that is not known yet reads its list while others leave the API alone', async () => {
  const fleet = await startFleet({ apps: [PEM_APP], config: { reconcile_every: '1h' } });
  const client = await fleet.foreign(PEM_APP);
  await fleet.start();
  await fleet.resources.store.throttle(DEPLOYMENT, 3_600_000, []);
  const { rotations } = await fleet.request({ select: { clients: [client.ref] }, compromised: true });
  expect(rotations).toMatchObject([{ client: client.ref }]);
  const state = (await fleet.resources.store.deploymentStates([DEPLOYMENT])).get(DEPLOYMENT);
  expect(state?.throttledUntil).toBeGreaterThan(await fleet.resources.store.now());
});

const LIMITED = { kind: 'rate_limited' } as const;
const SOON = { throttle_max: '2s' };

/** The words of the real server, which ask for 60,000 seconds; the longest wait is that of the config, and what is pressing waits much less. */
test.each<[string, FleetApp, FaultRule, Readonly<Record<string, unknown>>, 'finished' | 'rolled_back']>([
  ['the look', PEM_APP, { ...LIMITED, match: { method: 'PATCH', isLook: true } }, SOON, 'finished'],
  ['the cutover', PEM_APP, { ...LIMITED, match: CHANGE }, SOON, 'finished'],
  [
    'the proof after a cutover',
    PEM_APP,
    { kind: 'status', status: 429, match: { path: /introspect/ }, skip: 1 },
    {},
    'finished',
  ],
  ['the rollback', { ...PEM_APP, policy: { alg: 'EdDSA' } }, { ...LIMITED, match: CHANGE, skip: 1 }, {}, 'rolled_back'],
  ['the publication of a second key', KID_APP, { ...LIMITED, match: CHANGE }, SOON, 'finished'],
  ['the withdrawal of the old key', KID_APP, { ...LIMITED, match: CHANGE, skip: 1 }, SOON, 'finished'],
])('a 429 that meets %s stops nothing for long', async (_name, app, rule, deployment, end) => {
  const fleet = await startFleet({ apps: [app], deployment });
  const client = await fleet.managed(app);
  const fault = fleet.emulator.faults.add(rule);
  // An application would meet the one that is meant for the proof.
  const logins = rule.match?.path === undefined ? await startLogins(client, fleet) : null;
  await fleet.start();
  await fleet.reached(client, await beginRotation(fleet, client, { tryAlg: true }), end);
  expect(fault.fired).toBe(1);
  await logins?.more(5);
  // Only where the server takes one key, and the new one cannot be verified, there is none until the old one is back.
  const refused = (await logins?.stop())?.refused ?? [];
  if (end === 'finished') expect(refused).toEqual([]);
  await expectSound(fleet, [client]);
});

test('a 429 to a rotation that reads the list is waited out too, and costs no attempt', async () => {
  const app = { ...PEM_APP, policy: { attempts: 1 } };
  const fleet = await startFleet({ apps: [app], config: { reconcile_every: '1h' } });
  const client = await fleet.managed(app);
  const rotation = await beginRotation(fleet, client);
  // The upkeep at the start may be the first to ask.
  const match = { method: 'GET', path: /clients$/ };
  const fault = fleet.emulator.faults.add({
    kind: 'status',
    status: 429,
    retryAfter: 1,
    message: 'slow',
    match,
    times: 3,
  });
  await fleet.start();
  await fleet.reached(client, rotation);
  expect(fault.fired).toBe(3);
  await expectSound(fleet, [client]);
});

test('a storm of 5xx passes, and every rotation ends well', async () => {
  const app = { ...PEM_APP, policy: { attempts: 100 } };
  const fleet = await startFleet({ apps: [app], deployment: { timeout: '1s' } });
  const clients = await Promise.all(Array.from({ length: 5 }, () => fleet.managed(app)));
  const streams = await Promise.all(clients.map((client) => startLogins(client, { ...fleet, everyMs: 50 })));
  const rotations = await Promise.all(
    clients.map(async (client) => [client, await beginRotation(fleet, client)] as const),
  );
  const match = { path: /\/oauth\/apps/ };
  const storm = [500, 502, 503, 504].map((status, index) =>
    fleet.emulator.faults.add({
      kind: 'status',
      status,
      match,
      times: 10,
      skip: index, // fewer than there are clients: each of these is met by somebody
      when: index % 2 ? 'after' : 'before',
    }),
  );
  await fleet.start();
  for (const [client, rotation] of rotations) await fleet.reached(client, rotation);
  expect(storm.every(({ fired }) => fired > 0)).toBe(true);
  for (const stream of streams) expect((await stream.stop()).refused).toEqual([]);
  for (const client of clients) {
    expect(new Set(fleet.patches(client).map(({ body }) => JSON.stringify(body))).size).toBe(1);
  }
  await expectSound(fleet, clients);
});
