/** A server that wants to be left alone for a while. */

import { expect, test } from 'vitest';
import { CHANGE } from '../emulator/fault-rules.ts';
import { beginRotation } from '../support/begin.ts';
import { PEM_APP, startFleet } from '../support/fleet.ts';
import { startLogins } from '../support/logins.ts';
import { expectSound } from '../support/sound.ts';

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
  await fleet.start();
  for (const [client, rotation] of rotations) await fleet.reached(client, rotation);
  const log = fleet.emulator.log.filter(({ api }) => api === 'management');
  const refused = log.findIndex(({ status }) => status === 429);
  const [before, after] = [log[refused]?.at ?? 0, log[refused + 1]?.at ?? 0];
  expect(after - before).toBeGreaterThanOrEqual(2_000);
  const intents = (await fleet.audit()).filter(({ type }) => type === 'key.publishing');
  expect(intents.map(({ data }) => data.attempt)).toEqual([1, 1, 1, 1]);
  await expectSound(fleet, clients);
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
