/** PATCHes whose outcome nobody knows. */

import { expect, test } from 'vitest';
import { CHANGE } from '../emulator/fault-rules.ts';
import type { FaultRule } from '../emulator/faults.ts';
import { KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { startLogins } from '../support/logins.ts';
import { expectSound } from '../support/sound.ts';

const LOST: Readonly<Record<string, FaultRule>> = {
  '500 after it was applied': { kind: 'status', status: 500, when: 'after' },
  '504 from the proxy after it was applied': { kind: 'status', status: 504, when: 'after' },
  '409 before it was applied': { kind: 'status', status: 409, when: 'before' },
  'connection dropped after it was applied': { kind: 'drop', when: 'after' },
  'connection dropped before it was applied': { kind: 'drop', when: 'before' },
  'no answer until the deadline, after it was applied': { kind: 'stall', when: 'after' },
  'no answer until the deadline, before it was applied': { kind: 'stall', when: 'before' },
  'an answer that is no JSON': { kind: 'tamper', tamper: () => 'OK' },
  'an answer larger than 1 MiB': { kind: 'tamper', tamper: { client_name: 'x'.repeat(2 ** 20) } },
};

test.each([PEM_APP, KID_APP])('$slug: the same bytes are sent again, whatever became of the answer', async (app) => {
  // Also an answer that nothing is wrong with must come within it, on a busy machine too: PATCHes are counted.
  const fleet = await startFleet({ apps: [app], deployment: { timeout: '3s' } });
  await fleet.start();
  const runs = await Promise.all(
    Object.entries(LOST).map(async ([name, rule]) => {
      const client = await fleet.managed(app);
      const fault = fleet.emulator.faults.add({ ...rule, match: { ...CHANGE, client: client.id } });
      const logins = await startLogins(client, { ...fleet, everyMs: 50 });
      return { name, client, fault, logins, rotation: await fleet.rotate(client) };
    }),
  );
  for (const { name, client, fault, logins, rotation } of runs) {
    const { kid } = await fleet.reached(client, rotation);
    expect(fault.fired, name).toBe(1);
    const [first, second, ...more] = fleet.patches(client).map(({ body }) => JSON.stringify(body));
    expect(second, name).toBe(first);
    expect(more, name).toHaveLength(app === KID_APP ? 1 : 0);
    const intents = (await fleet.audit()).filter(
      ({ type, client: ref }) => type === 'key.publishing' && ref === client.ref,
    );
    expect(intents.slice(0, 2).map(({ data }) => data.attempt)).toEqual([1, 2]);
    expect((await fleet.record(client)).keys.find(({ state }) => state === 'active')?.kid).toBe(kid);
    expect((await logins.stop()).refused, name).toEqual([]);
  }
  await expectSound(
    fleet,
    runs.map(({ client }) => client),
  );
});

test('a PATCH that is never answered is given up after the attempts of the policy, and the old key stays', async () => {
  const app = { ...PEM_APP, policy: { attempts: 3 } };
  const fleet = await startFleet({ apps: [app], deployment: { timeout: '1s' } });
  const client = await fleet.managed(app);
  await fleet.start();
  const logins = await startLogins(client, fleet);
  const match = { ...CHANGE, client: client.id };
  fleet.emulator.faults.add({ kind: 'status', status: 503, when: 'before', match, times: 3 });
  const { error } = await fleet.reached(client, await fleet.rotate(client), 'rolled_back');
  expect(error).toContain('gave up after 3 attempts');
  await logins.more(3);
  expect((await logins.stop()).refused).toEqual([]);
});
