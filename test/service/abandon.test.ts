/** `rekeyd abandon`: a rotation that cannot go on ends at whichever key the server takes. */

import { expect, test } from 'vitest';
import { CHANGE } from '../emulator/fault-rules.ts';
import { rekeyd, statusOfClient } from '../support/command.ts';
import { putAhead } from '../support/fence.ts';
import { DEPLOYMENT, type Fleet, type FleetClient, PEM_APP, startFleet } from '../support/fleet.ts';
import { startLogins } from '../support/logins.ts';
import { thumbprints } from '../support/published.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

const FOR_EVER = { times: Number.POSITIVE_INFINITY };

/** Gives up by nothing but a person. */
const PATIENT = { ...PEM_APP, policy: { ...PEM_APP.policy, attempts: 100, prove_within: '1h' } };

/** The one key that the server holds is the one in use, and signs in. */
async function expectAt(fleet: Fleet, client: FleetClient, kid: string): Promise<void> {
  const [held] = await thumbprints(fleet.emulator.client(DEPLOYMENT, PEM_APP.slug, client.id));
  const active = (await fleet.record(client)).keys.find(({ state }) => state === 'active');
  expect([active?.kid, active?.thumbprint]).toEqual([kid, held]);
  const logins = await startLogins(client, fleet);
  await logins.more(3);
  expect(await logins.stop()).toMatchObject({ refused: [], fallback: 0 });
}

test('a rotation whose PATCH is never taken ends at the old key, and says why', async () => {
  const fleet = await startFleet({ apps: [PATIENT] });
  const client = await fleet.managed(PATIENT);
  fleet.emulator.faults.add({ kind: 'status', status: 503, match: CHANGE, ...FOR_EVER });
  await fleet.start();
  const rotation = await fleet.rotate(client);
  await until('it was tried', async () => ((await fleet.record(client)).rotation?.tries.failed ?? 0) > 2);
  await rekeyd(fleet, 'abandon', client.ref, '--reason', 'the API is under repair');
  const { error, kid } = await fleet.reached(client, rotation, 'rolled_back');
  expect(error).toContain('abandoned: the API is under repair');
  expect(await statusOfClient(fleet, client)).toMatchObject({ state: 'failed', rotation: null });
  expect((await fleet.record(client)).failure).toBe(error);
  expect((await fleet.audit()).map(({ type }) => type)).toContain('rotation.abandoned');
  await expectAt(fleet, client, client.key.kid);

  // The new key may have been published: it is destroyed when it is shown to be refused.
  fleet.emulator.faults.clear();
  await until('the new key is gone', async (saw) =>
    saw(await fleet.record(client)).former.some((key) => key.kid === kid),
  );
  await expectAt(fleet, client, client.key.kid);
  await fleet.reached(client, await fleet.rotate(client));
  await expectSound(fleet, [client]);
});

test('a rotation whose new key cannot be proven ends at the old key, which is put back', async () => {
  const fleet = await startFleet({ apps: [PATIENT] });
  const client = await fleet.managed(PATIENT);
  await fleet.start({
    hooks: {
      // Before a cutover the issuer is asked whether it answers: it goes away after that.
      onPoint(point) {
        if (point !== 'patch:after effect' || fleet.patches(client).length !== 1) return;
        fleet.emulator.faults.add({ kind: 'status', status: 503, match: { path: /introspect/ }, ...FOR_EVER });
      },
    },
  });
  const rotation = await fleet.rotate(client);
  await until('it was tried', async () => {
    const { phase, tries } = (await fleet.record(client)).rotation ?? {};
    return phase?.name === 'cut_over' && (tries?.failed ?? 0) > 2;
  });
  await rekeyd(fleet, 'abandon', client.ref);
  await fleet.reached(client, rotation, 'rolled_back');
  fleet.emulator.faults.clear();
  await expectAt(fleet, client, client.key.kid);
  await fleet.reached(client, await fleet.rotate(client));
  await expectSound(fleet, [client]);
});

test('while nobody tells which key the server takes, an abandoned rotation waits and says why', async () => {
  const app = { ...PEM_APP, policy: { attempts: 1_000, prove_within: '1h' } };
  const fleet = await startFleet({ apps: [app] });
  const client = await fleet.managed(app);
  const away = (message: string, match: object) =>
    fleet.emulator.faults.add({ kind: 'status', status: 503, message, match, ...FOR_EVER });
  await fleet.start({
    hooks: {
      onPoint(point) {
        if (point !== 'patch:after effect' || fleet.patches(client).length !== 1) return;
        away('no sign-in', { path: /introspect/ });
        away('no look', { path: /clients/ });
      },
    },
  });
  const rotation = await fleet.rotate(client);
  await until('it was tried', async () => ((await fleet.record(client)).rotation?.tries.failed ?? 0) > 1);
  await rekeyd(fleet, 'abandon', client.ref);
  await until('it says why', async () => {
    const { error } = (await fleet.record(client)).rotation?.tries ?? {};
    return /not known which key the server takes: .*no sign-in.*no look/.test(error ?? '');
  });
  // Sign-ins work again before looks do. A look that is answered after a sign-in that was not would put the old key back.
  fleet.emulator.faults.clear();
  away('no look', { path: /clients/ });
  await fleet.reached(client, rotation, 'active');
  fleet.emulator.faults.clear();
  await expectSound(fleet, [client]);
});

test('a rotation whose new key is proven, and cannot be handed to signers, ends at the new key', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  let isContested = true;
  await fleet.start({
    hooks: {
      // Another store delivers to the same folder, once this one has its new key there.
      async onPoint(point) {
        if (point !== 'deliver:before effect' || !isContested) return;
        if ((await fleet.record(client)).rotation?.phase.name !== 'stored') await putAhead(client, 3_600_000);
      },
    },
  });
  const rotation = await fleet.rotate(client);
  await until('it goes no further', async () => {
    const { phase, tries } = (await fleet.record(client)).rotation ?? {};
    return phase?.name === 'proven' && (tries?.failed ?? 0) > 2;
  });
  await rekeyd(fleet, 'abandon', client.ref);
  const { kid } = await fleet.reached(client, rotation, 'active');
  isContested = false;
  await fleet.reached(client, rotation);
  await expectAt(fleet, client, kid ?? '');
  await expectSound(fleet, [client]);
});

test('a rotation of which nothing was sent ends at once, with its key', async () => {
  const app = { ...PEM_APP, policy: { attempts: 1_000 } };
  const fleet = await startFleet({ apps: [app] });
  const client = await fleet.managed(app);
  fleet.emulator.faults.add({ kind: 'status', status: 503, match: { path: /introspect/ }, ...FOR_EVER });
  await fleet.start();
  const rotation = await fleet.rotate(client);
  const { kid } = await until('its key is delivered, and goes no further', async () => {
    const { phase, tries } = (await fleet.record(client)).rotation ?? {};
    return phase?.name === 'delivered' && (tries?.failed ?? 0) > 2 && phase;
  });
  await rekeyd(fleet, 'abandon', client.ref);
  expect((await fleet.reached(client, rotation, 'failed')).error).toContain('abandoned');
  await until('its key is gone', async (saw) => saw(await fleet.record(client)).former.some((key) => key.kid === kid));
  expect((await fleet.record(client)).signers.delivered).toMatchObject({ current: client.key.kid, next: null });
  expect(fleet.patches(client)).toEqual([]);
});
