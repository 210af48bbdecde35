/** `rekeyd rollback`: the previous key is put back while its private half exists, and nobody's login is refused. */
import { expect, test } from 'vitest';
import { rekeyd, statusOfClient } from '../support/command.ts';
import {
  DEPLOYMENT,
  type Fleet,
  type FleetApp,
  type FleetClient,
  KID_APP,
  PEM_APP,
  startFleet,
} from '../support/fleet.ts';
import { killAtEach, NEXT_LOCK_MS, pointsOf } from '../support/killing.ts';
import { startLogins } from '../support/logins.ts';
import { thumbprints } from '../support/published.ts';
import { beginRollbacks, lasting } from '../support/rolling-back.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

const FOR_EVER = { times: Number.POSITIVE_INFINITY };

const onServer = ({ emulator }: Fleet, { app, id }: FleetClient) =>
  thumbprints(emulator.client(DEPLOYMENT, app.slug, id));

const activeOf = async (fleet: Fleet, client: FleetClient) =>
  (await fleet.record(client)).keys.find(({ state }) => state === 'active')?.kid;

/** A client whose key was just replaced by another; the old one stays for an hour. The service has stopped. */
async function replaced(fleet: Fleet, app: FleetApp) {
  const client = await fleet.managed(app);
  const service = await fleet.start({}, await lasting(fleet));
  const rotation = await fleet.rotate(client);
  const { kid } = await fleet.reached(client, rotation, 'active');
  await service.stop();
  return { client, rotation, kid: kid ?? '' };
}

test.each([
  ['one key at a time', PEM_APP],
  ['several keys', KID_APP],
])('the previous key comes back on a server that takes %s, while its application signs in', async (_, app) => {
  const fleet = await startFleet({ apps: [app] });
  const { client, rotation, kid } = await replaced(fleet, app);
  const logins = await startLogins(client, fleet);
  await fleet.start();
  const args = ['rollback', client.ref, '--reason', 'the partner refuses the new key', '--wait', '--json'];
  const { clients } = JSON.parse(await rekeyd(fleet, ...args));
  expect(clients).toMatchObject([{ client: client.ref, error: null, kid: client.key.kid, replaces: kid }]);
  await fleet.reached(client, clients[0].rotation);
  await logins.more(5);
  const { refused, fallback } = await logins.stop();
  expect(refused).toEqual([]);
  if (app === KID_APP) expect(fallback).toBe(0);
  expect(await activeOf(fleet, client)).toBe(client.key.kid);
  expect((await onServer(fleet, client)).length).toBe(1);
  expect(await fleet.rotation(client, rotation)).toMatchObject({
    state: 'rolled_back',
    error: expect.stringContaining('the partner refuses the new key'),
  });
  // Its schedule would replace it again at once, as it did before.
  expect(await statusOfClient(fleet, client)).toMatchObject({
    state: 'paused',
    active: { kid: client.key.kid },
    paused: { client: client.ref, reason: 'rolled back: the partner refuses the new key', until: null },
  });
  await expect(rekeyd(fleet, 'rollback', client.ref)).rejects.toThrow(/no previous key that could be put back/);
  await expectSound(fleet, [client]);
});

test('a second rollback is refused, while the first is under way and while its key is on its way out', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const { client } = await replaced(fleet, PEM_APP);
  await rekeyd(fleet, 'rollback', client.ref);
  await expect(rekeyd(fleet, 'rollback', client.ref)).rejects.toThrow(/is being put back already/);
  await expect(rekeyd(fleet, 'abandon', client.ref, '--json')).resolves.toContain(client.ref);
  await fleet.start({}, await lasting(fleet));
  await until('it has ended', async (saw) => saw(await fleet.record(client)).rotation === null);
  // Once more, and to its end.
  await rekeyd(fleet, 'rollback', client.ref, '--wait');
  await expect(rekeyd(fleet, 'rollback', client.ref)).rejects.toThrow(/was put back already.*`rekeyd rotate/);
  expect(await activeOf(fleet, client)).toBe(client.key.kid);
  await fleet.reached(client, await fleet.rotate(client), 'active');
  expect(await activeOf(fleet, client)).not.toBe(client.key.kid);
});

test('a previous key that the server refuses leaves the newer one in use, and the reason in the status', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const { client, kid } = await replaced(fleet, PEM_APP);
  let isRefused = true;
  await fleet.start({
    hooks: {
      // Not before the cutover, where the issuer is asked whether it answers.
      onPoint(point) {
        if (point !== 'prove_new:before effect' || !isRefused) return;
        isRefused = false;
        const { clientId } = client;
        fleet.emulator.faults.add({
          kind: 'sign_in_refused',
          reason: 'invalid_signature',
          match: { client: clientId, path: /introspect/ },
        });
      },
    },
  });
  const { clients } = JSON.parse(await rekeyd(fleet, 'rollback', client.ref, '--json'));
  const { error } = await fleet.reached(client, clients[0].rotation, 'rolled_back');
  expect(error).toContain(`refuses the new key ${client.key.kid}`);
  expect(await activeOf(fleet, client)).toBe(kid);
  expect(await onServer(fleet, client)).toEqual([kid]);
  await until('the previous key is gone', async (saw) => saw(await fleet.record(client)).retirements.length === 0);
  const logins = await startLogins(client, fleet);
  await logins.more(3);
  expect(await logins.stop()).toMatchObject({ refused: [], fallback: 0 });
  await expectSound(fleet, [client]);
});

test('during a compromise, and to the key that was reported, there is no way back', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  const service = await fleet.start();
  const fault = fleet.emulator.faults.add({
    kind: 'status',
    status: 503,
    match: { method: 'PATCH', isLook: false, client: client.id },
    ...FOR_EVER,
  });
  const rotation = await fleet.rotate(client, { compromised: true });
  await until('it is tried', (saw) => saw(fault.fired) > 0);
  await expect(rekeyd(fleet, 'rollback', client.ref)).rejects.toThrow(/reported as compromised, so it is not put back/);
  await service.stop();

  // The new key is proven; then the issuer is away, so that nothing shows yet that the old one is refused.
  fleet.emulator.faults.clear();
  const away = { kind: 'status', status: 503, match: { path: /introspect/ }, skip: 2, ...FOR_EVER } as const;
  fleet.emulator.faults.add(away);
  await fleet.start();
  await fleet.reached(client, rotation, 'active');
  await expect(rekeyd(fleet, 'rollback', client.ref)).rejects.toThrow(
    /was reported as compromised and is never put back/,
  );
  fleet.emulator.faults.clear();
  await fleet.reached(client, rotation);
  await expect(rekeyd(fleet, 'rollback', client.ref)).rejects.toThrow(/its private half is destroyed/);
  await expectSound(fleet, [client]);
});

test('a compromise of the key in use ends a rollback: neither of the two keys stays', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const { client, kid } = await replaced(fleet, PEM_APP);
  const { clients } = JSON.parse(await rekeyd(fleet, 'rollback', client.ref, '--json'));
  // The issuer is away, so the rollback has not been sent when the compromise is reported.
  const fault = fleet.emulator.faults.add({ kind: 'status', status: 503, match: { path: /introspect/ }, ...FOR_EVER });
  await fleet.start();
  await until('it is tried', (saw) => saw(fault.fired) > 0);
  const rotation = await fleet.rotate(client, { compromised: { kid } });
  expect(rotation).toBe(clients[0].rotation);
  fleet.emulator.faults.clear();
  await fleet.reached(client, rotation);
  await until('nothing is left to do', async (saw) => saw(await fleet.record(client)).retirements.length === 0);
  const active = await activeOf(fleet, client);
  expect([kid, client.key.kid]).not.toContain(active);
  expect(await onServer(fleet, client)).toEqual([active]);
});

test.each([
  ['an overlap', { slug: 'app', selection: 'jwks_kid', policy: { strategy: 'overlap' } }],
  ['a cutover', { slug: 'app', selection: 'first_pem' }],
] as const)(
  'a worker killed at any point of a rollback by %s: the next one goes on',
  { timeout: 240_000 },
  async (_, app) => {
    const points = await pointsOf(app, beginRollbacks);
    expect(points).toContain('patch:intent:after commit 0');
    const [fleet, killed] = await killAtEach(app, points, beginRollbacks);
    await fleet.start({ lockMs: NEXT_LOCK_MS });
    for (const { point, client, rotation, logins } of killed) {
      await fleet.reached(client, rotation);
      await logins.more(1);
      expect((await logins.stop()).refused, point).toEqual([]);
      expect(await activeOf(fleet, client), point).toBe(client.key.kid);
    }
    await expectSound(
      fleet,
      killed.map(({ client }) => client),
    );
  },
);
