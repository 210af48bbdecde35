/** `adopt: overlap`: a key is offered to applications that sign with keys of their own. They sign in all the time, and nothing is asked of them. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { noteOffers } from '../../jobs/due-times.ts';
import { apply } from '../../jobs/start.ts';
import { sweep } from '../../jobs/sweep.ts';
import { enroll } from '../../src/core/adoption.ts';
import { clientPolicy } from '../../src/rotation/policy.ts';
import { goodClaims, introspect, makeKey, sign, withPem } from '../emulator/testing.ts';
import { rekeyd } from '../support/command.ts';
import { contextOf } from '../support/context.ts';
import { DEPLOYMENT, type Fleet, type FleetApp, type FleetClient, KID_APP, startFleet } from '../support/fleet.ts';
import { startLogins } from '../support/logins.ts';
import { probeOn } from '../support/probing.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

const OFFER = { strategy: 'overlap', adopt: 'overlap' };
const APP: FleetApp = { ...KID_APP, policy: OFFER };
/** The policy says that it takes several keys, and it takes the first. */
const MISTAKEN: FleetApp = { slug: 'kid-app', selection: 'first_pem', policy: OFFER };

/** An application that signs in all the time with its own key, until the test ends. Resolves with what was refused. */
function signInAsBefore({ emulator }: Fleet, { app, clientId, key }: FleetClient) {
  const host = `${app.slug}.example.com`;
  const refused: string[] = [];
  let [count, stopped] = [0, false];
  async function run(): Promise<void> {
    while (!stopped) {
      const assertion = await sign(key, goodClaims(clientId, host, '/oauth/introspect'), { kid: key.kid });
      const { status, body } = await introspect(emulator, host, clientId, assertion);
      if (status !== 200) refused.push(`${status} ${JSON.stringify(body)}`);
      count += 1;
      await delay(50);
    }
  }
  const running = run();
  running.catch(() => {}); // reported by `stop`
  const stop = async () => {
    const before = count;
    await until('it signs in once more', (saw) => saw(count) > before + 1);
    stopped = true;
    await running;
    return refused;
  };
  onTestFinished(async () => {
    stopped = true;
    await running.catch(() => {});
  });
  return { stop };
}

function shownKids({ emulator }: Fleet, { app, id }: FleetClient): readonly unknown[] {
  return emulator.client(DEPLOYMENT, app.slug, id).jwks?.keys.map(({ kid }) => kid) ?? [];
}

async function untilOffered(fleet: Fleet, client: FleetClient): Promise<string> {
  return until('our key is offered', async () => {
    const phase = (await fleet.resources.store.load(client.ref))?.record.rotation?.phase;
    return phase?.name === 'offered' && phase.kid;
  });
}

const typesOf = async (fleet: Fleet, { ref }: FleetClient) =>
  (await fleet.audit()).filter(({ client }) => client === ref).map(({ type }) => type);

/** A tick that is asked for by hand. */
async function tick(fleet: Fleet, slot: string, config = fleet.config, reindex = true): Promise<number> {
  return (await sweep({ v: 1, policy: APP.slug, slot, reindex }, contextOf(fleet, config))).started;
}

function policyOf({ resources }: Fleet, { ref }: FleetClient) {
  const policy = clientPolicy(resources, ref);
  if (policy === null) throw new Error(`${ref} has no policy`);
  return policy;
}

test('an application takes the key that it is offered, and is rotated from then on', async () => {
  const fleet = await startFleet({ apps: [APP], config: { reconcile_every: '200ms' } });
  const client = await fleet.foreign(APP);
  const own = signInAsBefore(fleet, client);
  const first = await fleet.start({ schedule: true });
  const kid = await untilOffered(fleet, client);
  expect(shownKids(fleet, client)).toEqual([client.key.kid, kid]);
  expect(JSON.parse(await readFile(join(client.folder, 'meta.json'), 'utf8'))).toMatchObject({
    current: kid,
    next: null,
  });
  expect(await fleet.record(client)).toMatchObject({ enrolment: 'found' });
  await until(
    'nothing is left to do but to wait',
    async (saw) => saw(await fleet.resources.store.openWork()).length === 0,
  );

  const [fleetTold, told] = await Promise.all([rekeyd(fleet, 'status'), rekeyd(fleet, 'status', client.ref)]);
  expect(fleetTold).toContain('Clients that are offered our key: when their applications read their key folders');
  expect(fleetTold).not.toContain('Import its key');
  expect(told).toContain(`What to do: When its application reads its key folder: \`rekeyd enroll ${client.ref}\`.\n`);
  expect(told).not.toContain('Clients that are offered');

  // A restart, and a config that is applied again, change nothing of that.
  await first.stop();
  const before = fleet.patches(client).length;
  await fleet.start({ schedule: true });
  expect(await tick(fleet, 'again')).toBe(0);
  expect(await untilOffered(fleet, client)).toBe(kid);
  expect(fleet.patches(client)).toHaveLength(before);

  // The application reads its folder now, beside an instance of it that does not yet.
  const logins = await startLogins(client, fleet);
  await logins.more(3);
  const { store } = fleet.resources;
  // Its signer reports which key it signs with.
  await until('it is enrolled', async (saw) => saw(await fleet.record(client)).enrolment === 'enrolled');
  expect(await fleet.record(client)).toMatchObject({ rotation: null });
  expect(await store.offeredRefs()).toEqual([]);
  expect((await fleet.audit()).find(({ type }) => type === 'client.enrolled')).toMatchObject({
    actor: expect.stringMatching(/^signer:/),
  });
  await until('its overlap is over', async (saw) => saw(await store.history(client.ref))[0]?.state === 'finished');
  expect([...shownKids(fleet, client)].sort(), 'foreign keys are kept').toEqual([client.key.kid, kid].sort());

  await fleet.reached(client, await fleet.rotate(client));
  expect(await own.stop()).toEqual([]);
  expect((await logins.stop()).refused).toEqual([]);
  await expectSound(fleet, [client]);
});

test('a key that nobody takes in time is withdrawn and destroyed, and not offered again by itself', async () => {
  const app = { ...APP, policy: { ...OFFER, adopt_timeout: '1s' } };
  const fleet = await startFleet({ apps: [app] });
  const client = await fleet.foreign(app);
  const own = signInAsBefore(fleet, client);
  const first = await fleet.start({ schedule: true });
  const [ended] = await until('it is withdrawn', async () => {
    const history = await fleet.resources.store.history(client.ref);
    return history.length > 0 && history;
  });
  expect(ended).toMatchObject({ state: 'rolled_back', error: expect.stringContaining('within 1 s') });
  await until('it is destroyed', async (saw) => saw(await typesOf(fleet, client)).includes('key.destroyed'));
  expect((await fleet.resources.store.sealedHalves(client.ref)).size).toBe(0);
  expect(shownKids(fleet, client)).toEqual([client.key.kid]);
  expect(await fleet.record(client)).toMatchObject({ enrolment: 'found', keys: [], rotation: null, failure: null });
  expect((await typesOf(fleet, client)).filter((type) => type === 'client.found')).toHaveLength(2);

  await first.stop();
  await fleet.start({ schedule: true });
  expect(await tick(fleet, 'again'), 'the same config').toBe(0);
  const longer = await fleet.configOf(
    JSON.parse(JSON.stringify(fleet.file).replace('"adopt_timeout":"1s"', '"adopt_timeout":"2d"')),
  );
  expect(fleet.patches(client), 'there and back').toHaveLength(2);
  expect(await own.stop()).toEqual([]);
  // Another policy, or a person, and it is offered again.
  expect(await tick(fleet, 'another policy', longer)).toBe(1);
});

test('an offered key that leaked is withdrawn, and its application is not told to take another one', async () => {
  const fleet = await startFleet({ apps: [APP] });
  const [client, named] = [await fleet.foreign(APP), await fleet.foreign(APP)];
  await fleet.start({ schedule: true });
  const leak = async (offered: FleetClient, select: object) => {
    await untilOffered(fleet, offered);
    const rotations = [{ id: (await fleet.record(offered)).rotation?.id, client: offered.ref }];
    const { rotations: begun, ...told } = await fleet.request({ compromised: true, confirm: true, select });
    expect(begun).toEqual(rotations);
    return told;
  };
  // A person who names the client means the key in use, which is the application's own.
  expect(await leak(named, { clients: [named.ref] })).toEqual({
    taken_over: [{ client: named.ref, enrolment: 'found' }],
  });
  await until('it is replaced', async (saw) => saw(await fleet.record(named)).enrolment === 'enrolled');
  expect(await leak(client, { kid: await untilOffered(fleet, client) })).toEqual({});
  await until('only its own key is shown', (saw) => `${saw(shownKids(fleet, client))}` === client.key.kid);
  expect(await fleet.record(client)).toMatchObject({ enrolment: 'found' });
});

test('a server that takes one key at a time goes on with theirs, and ours is withdrawn as soon as that shows', async () => {
  const fleet = await startFleet({ apps: [MISTAKEN] });
  const client = await fleet.foreign(MISTAKEN);
  const own = signInAsBefore(fleet, client);
  await fleet.start({ schedule: true });
  await until('it is withdrawn', async (saw) => saw(await typesOf(fleet, client)).includes('key.destroyed'));
  expect(shownKids(fleet, client)).toEqual([client.key.kid]);
  for (const { body } of fleet.patches(client)) {
    expect(Object(body).jwks.keys[0].kid, 'theirs is always the first').toBe(client.key.kid);
  }
  expect((await fleet.record(client)).declined?.why).toContain('the server refuses the new key');
  expect(await tick(fleet, 'again')).toBe(0);
  expect(await own.stop()).toEqual([]);
});

test('what its owner does to a client while a key is offered stays, and the key comes back', async () => {
  const fleet = await startFleet({ apps: [APP], config: { reconcile_every: '200ms' } });
  const client = await fleet.foreign(APP);
  await fleet.start({ schedule: true });
  const kid = await untilOffered(fleet, client);
  const { jwks } = fleet.emulator.client(DEPLOYMENT, APP.slug, client.id);
  const theirs = { ...withPem(makeKey('ES256')), kid: 'theirs' };
  fleet.emulator.edit(DEPLOYMENT, APP.slug, client.id, { jwks: { keys: [...(jwks?.keys.slice(0, 1) ?? []), theirs] } });
  await until('it is published again', () => shownKids(fleet, client).includes(kid));
  expect(shownKids(fleet, client)).toEqual([client.key.kid, 'theirs', kid]);
  await until('it waits again', async (saw) => saw(await fleet.resources.store.openWork()).length === 0);
  // A person says that the application has moved to its folder.
  const policy = policyOf(fleet, client);
  const cause = { actor: 'test', reason: 'a test', request: null };
  await apply(fleet.resources.store, client.ref, policy, (record, now) => enroll(record, cause, { policy, now }));
  await fleet.queues.wake(client.ref, false);
  await until('it is enrolled', async (saw) => saw(await fleet.record(client)).retirements.length === 0);
  expect(await fleet.record(client)).toMatchObject({ enrolment: 'enrolled', keys: [{ kid, state: 'active' }] });
});

test('under strategy auto nothing is offered before a probe has seen several keys accepted', async () => {
  const app: FleetApp = { ...KID_APP, policy: { strategy: 'auto', adopt: 'overlap' } };
  const fleet = await startFleet({ apps: [app] });
  const client = await fleet.foreign(app);
  const service = await fleet.start({ schedule: true });
  await until('it is found', async (saw) => saw(await fleet.resources.store.clientCount()) === 1);
  await service.stop();
  expect(await tick(fleet, 'unprobed')).toBe(0);
  expect((await probeOn(fleet, app)).strategy).toBe('overlap');
  // As `rekeyd probe` does: the client is due from now on, and no commit has noted it.
  await noteOffers(`${DEPLOYMENT}/${app.slug}`, fleet.resources);
  expect(await tick(fleet, 'probed', fleet.config, false)).toBe(1);
  expect((await fleet.record(client)).rotation).toMatchObject({ adopting: true, strategy: 'overlap' });
});
