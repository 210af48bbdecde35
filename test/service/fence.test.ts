/** A key folder whose set was delivered under a later claim than the record knows: by a clock that was ahead, or by another store. */
import { expect, test } from 'vitest';
import { importKey } from '../../src/rotation/import.ts';
import { keksOf } from '../../src/rotation/policy.ts';
import { statusOfClient } from '../support/command.ts';
import { epochOf, putAhead } from '../support/fence.ts';
import { type Fleet, type FleetClient, PEM_APP, startFleet } from '../support/fleet.ts';
import { startLogins } from '../support/logins.ts';
import { expectSound } from '../support/sound.ts';

const HOUR = 3_600_000;

test('a folder that is ahead of the record once is taken back, and the rotation goes on', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  const ahead = await putAhead(client, HOUR);
  await fleet.start();
  const logins = await startLogins(client, fleet);
  const { kid } = await fleet.reached(client, await fleet.rotate(client));
  expect(await epochOf(client)).toBeGreaterThan(ahead);
  expect((await fleet.audit()).filter(({ type }) => type === 'rotation.failed')).toEqual([]);
  await logins.more(2);
  expect((await logins.stop()).refused).toEqual([]);
  expect((await fleet.record(client)).signers).toMatchObject({ delivered: { current: kid }, tries: { failed: 0 } });
  await expectSound(fleet, [client]);
});

/** Another store delivers to the same folder, each time later than we have claimed the client. */
async function startContested(fleet: Fleet, client: FleetClient) {
  let isContested = true;
  await fleet.start({
    hooks: {
      async onPoint(point) {
        if (point === 'deliver:before effect' && isContested) await putAhead(client, HOUR);
      },
    },
  });
  return {
    agree() {
      isContested = false;
    },
  };
}

test('a folder that is ahead again and again is counted and shown, and the rotation fails', async () => {
  const app = { ...PEM_APP, policy: { attempts: 4 } };
  const fleet = await startFleet({ apps: [app] });
  const client = await fleet.managed(app);
  const { agree } = await startContested(fleet, client);
  const rotation = await fleet.rotate(client);
  const { error } = await fleet.reached(client, rotation, 'failed');
  expect(error).toMatch(/gave up after 4 attempts: .* under a later claim/);
  expect(await statusOfClient(fleet, client)).toMatchObject({ state: 'failed', last_error: expect.any(String) });
  expect(fleet.patches(client)).toEqual([]);
  expect(fleet.lines.some((line) => line.includes('the rotation failed') && line.includes('later claim'))).toBe(true);

  agree();
  await fleet.reached(client, await fleet.rotate(client));
  await expectSound(fleet, [client]);
});

test('a key is imported where another store had delivered, and its client is rotated', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.foreign(PEM_APP);
  const { resources, config } = fleet;
  const keys = { alg: null, current: null, next: null, previous: null };
  const ahead = Date.now() + HOUR;
  const set = { ref: client.ref, clientId: client.clientId, issuer: null, ...keys, updatedAt: 0, epoch: ahead };
  for (const sink of resources.sinks) await sink.deliver(set);
  await importKey(resources, keksOf(config), {
    ref: client.ref,
    text: client.key.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
    enroll: true,
    cause: { actor: 'test', reason: 'import', request: null },
  });
  expect(await epochOf(client)).toBeGreaterThan(ahead);
  const logins = await startLogins(client, fleet);
  await logins.more(1);
  await fleet.start();
  await fleet.reached(client, await fleet.rotate(client));
  expect((await logins.stop()).refused).toEqual([]);
  await expectSound(fleet, [client]);
});
