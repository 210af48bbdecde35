/** A part of a wave goes first, and what that costs the rest when the part cannot sign in: nothing. */
import { describe, expect, test } from 'vitest';
import { discover } from '../../jobs/discover.ts';
import { sweep } from '../../jobs/sweep.ts';
import { resumePolicy, watchWave } from '../../jobs/wave.ts';
import { type ClientRef, makeReference } from '../../src/core/client.ts';
import { ALGORITHMS } from '../../src/core/keys.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { commitOf } from '../../src/rotation/commit.ts';
import { clientPolicy } from '../../src/rotation/policy.ts';
import { enrolledRecord } from '../core/support.ts';
import { CHANGE } from '../emulator/fault-rules.ts';
import { beginRotation } from '../support/begin.ts';
import { contextOf } from '../support/context.ts';
import { DEPLOYMENT, type Fleet, type FleetApp, type FleetClient, PEM_APP, startFleet } from '../support/fleet.ts';
import { type Logins, startLogins } from '../support/logins.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

const POLICY = PEM_APP.slug;

/** Every client is due: it signs another alg than the policy says. */
function changingTo(alg: string, first: string, more: Readonly<Record<string, unknown>> = {}): FleetApp {
  return { ...PEM_APP, policy: { alg, cohort: { first, then: '0s' }, ...more } };
}

const tick = (slot: string) => ({ v: 1, policy: POLICY, slot, reindex: false }) as const;

/** In the order of the due index, where all are due at the same time. Somebody was seen to sign in with every alg here: otherwise no key is made. */
async function fleetOf(fleet: Fleet, app: FleetApp, count: number): Promise<readonly FleetClient[]> {
  const somebody = makeReference(DEPLOYMENT, app.slug, 'somebody');
  for (const alg of ALGORITHMS) await fleet.resources.facts.noteProven(somebody, alg);
  const clients: FleetClient[] = [];
  for (let made = 0; made < count; made += 1) clients.push(await fleet.managed(app));
  return clients.sort((a, b) => (a.ref < b.ref ? -1 : 1));
}

const ofType = async (fleet: Fleet, type: string) => (await fleet.audit()).filter((entry) => entry.type === type);
const startedOf = async (fleet: Fleet) => (await ofType(fleet, 'rotation.started')).map(({ client }) => client);
const waveOf = async (fleet: Fleet) => (await fleet.resources.store.wave(POLICY))?.wave ?? null;

async function untilFinished(fleet: Fleet, clients: readonly FleetClient[]): Promise<void> {
  for (const { ref } of clients) {
    await until(`the rotation of ${ref} is finished`, async () => {
      const [latest] = await fleet.resources.store.history(ref);
      return latest?.state === 'finished';
    });
  }
}

async function expectUndisturbed(logins: readonly Logins[]): Promise<void> {
  for (const stream of logins) {
    await stream.more(2);
    expect((await stream.stop()).refused).toEqual([]);
  }
}

const loginsOf = (fleet: Fleet, clients: readonly FleetClient[]) =>
  Promise.all(clients.map((client) => startLogins(client, { ...fleet, everyMs: 100 })));

test('the rest follows when the first part signs in, and each client is rotated once', async () => {
  const app = changingTo('ES384', '25%');
  const fleet = await startFleet({ apps: [app], config: { reconcile_every: '200ms' } });
  const clients = await fleetOf(fleet, app, 4);
  const logins = await loginsOf(fleet, clients);
  await fleet.start({ schedule: true });
  await untilFinished(fleet, clients);
  const audit = await fleet.audit();
  const started = audit.filter(({ type }) => type === 'rotation.started');
  expect(started.map(({ client }) => client).sort()).toEqual(clients.map(({ ref }) => ref));
  const proven = audit.find(({ type, client }) => type === 'key.activated' && client === started[0]?.client);
  expect(started[0]?.client).toBe(clients[0]?.ref);
  expect(started[1]?.seq, 'nobody else begins before it signs in').toBeGreaterThan(proven?.seq ?? 0);
  await until('the wave is over', async (saw) => saw(await waveOf(fleet)) === null);
  expect(await ofType(fleet, 'policy.stopped')).toEqual([]);
  await expectUndisturbed(logins);
  await expectSound(fleet, clients);
});

test('a first part that cannot sign in stops the wave: the rest keep their keys until a person resumes', async () => {
  const app = changingTo('EdDSA', '25%');
  const fleet = await startFleet({ apps: [app], config: { reconcile_every: '200ms' } });
  const clients = await fleetOf(fleet, app, 4);
  const [first, ...rest] = clients;
  const logins = await loginsOf(fleet, rest);
  const service = await fleet.start({ schedule: true });
  const [stopped] = await until('the wave stops', async () => {
    const entries = await ofType(fleet, 'policy.stopped');
    return entries.length > 0 && entries;
  });
  const counts = { clients: 4, first: 1, active: 0, failed: 1 };
  expect(stopped).toMatchObject({ client: null, actor: 'rekeyd', data: { policy: POLICY, ...counts } });
  expect(stopped?.reason).toBe('1 of 1 rotations that went first failed or was rolled back');
  // The log is told after the audit entry is committed.
  const told = await until('the log tells of it', () => {
    const errors = fleet.lines
      .map((line) => JSON.parse(line))
      .filter(({ level, policy }) => level === 'error' && policy);
    return errors.length > 0 && errors;
  });
  expect(told).toMatchObject([{ policy: POLICY, msg: expect.stringContaining(`rekeyd resume --policy ${POLICY}`) }]);
  await service.stop();

  // Neither another tick nor a restart goes on by itself.
  expect(await sweep(tick('another'), contextOf(fleet))).toEqual({ started: 0 });
  const corrected = await fleet.configOf(JSON.parse(JSON.stringify(fleet.file).replace('EdDSA', 'ES384')));
  await fleet.start({ schedule: true }, corrected);
  expect(await sweep(tick('a third'), contextOf(fleet, corrected))).toEqual({ started: 0 });
  expect(await waveOf(fleet)).toMatchObject({ phase: 'stopped' });
  expect(await startedOf(fleet)).toEqual([first?.ref]);
  for (const client of rest) {
    expect(fleet.patches(client)).toEqual([]);
    expect((await fleet.record(client)).keys.map(({ kid }) => kid)).toEqual([client.key.kid]);
  }

  const { store } = fleet.resources;
  const cause = { actor: 'test', reason: 'the alg was corrected' };
  expect(await resumePolicy(POLICY, cause, { store, queues: fleet.queues })).toBe(true);
  await untilFinished(fleet, clients);
  expect(await ofType(fleet, 'policy.resumed')).toMatchObject([{ ...cause, data: { policy: POLICY } }]);
  expect(await ofType(fleet, 'policy.stopped')).toHaveLength(1);
  await expectUndisturbed(logins);
  await expectSound(fleet, clients);
});

test('a wave that stops while others of it are under way lets those finish, and begins no other', async () => {
  const app = changingTo('ES384', '50%');
  const fleet = await startFleet({ apps: [app], config: { reconcile_every: '200ms' } });
  const clients = await fleetOf(fleet, app, 8);
  const [failing, ...others] = clients.slice(0, 4);
  const rest = clients.slice(4);
  const { promise, resolve: answer } = Promise.withResolvers<void>();
  for (const { id } of others) {
    const match = { ...CHANGE, client: id };
    fleet.emulator.faults.add({ kind: 'hold', until: promise, when: 'before', match });
  }
  const match = { ...CHANGE, client: failing?.id ?? '' };
  fleet.emulator.faults.add({ kind: 'status', status: 400, match, times: Number.POSITIVE_INFINITY });
  await fleet.start({ schedule: true });
  await until('the wave stops', async (saw) => saw(await waveOf(fleet))?.phase === 'stopped');
  expect(await waveOf(fleet)).toMatchObject({ waiting: 3, active: 0, failed: 1 });
  answer();
  await untilFinished(fleet, others);
  expect(await waveOf(fleet)).toMatchObject({ phase: 'stopped', waiting: 0, active: 3, failed: 1 });
  expect([...(await startedOf(fleet))].sort()).toEqual(clients.slice(0, 4).map(({ ref }) => ref));

  // What a person names, and what leaked, is held by no wave.
  const [named, leaked, ...held] = rest;
  if (named === undefined || leaked === undefined) throw new Error('there should be more clients');
  await fleet.reached(named, await fleet.rotate(named));
  await fleet.reached(leaked, await fleet.rotate(leaked, { compromised: true }));
  for (const client of held) expect(fleet.patches(client)).toEqual([]);
  await expectSound(fleet, [...others, named, leaked]);
});

describe('a wave in the middle of which workers die, start and race', () => {
  const app = changingTo('ES384', '50%', { cohort: { first: '50%', then: '1h' } });

  test('is begun once by any number of sweeps, and a later one begins nothing more', async () => {
    const fleet = await startFleet({ apps: [app] });
    const clients = await fleetOf(fleet, app, 6);
    const context = contextOf(fleet);
    const all = await Promise.all(['a', 'b', 'c'].map((slot) => sweep(tick(slot), context)));
    expect(all.reduce((sum, { started }) => sum + started, 0)).toBe(3);
    expect((await startedOf(fleet)).toSorted()).toEqual(clients.slice(0, 3).map(({ ref }) => ref));
    expect(await waveOf(fleet)).toMatchObject({ phase: 'cohort', found: 6, first: 3, chosen: 3, waiting: 3 });
    expect(await sweep(tick('d'), context)).toEqual({ started: 0 });
  });

  test('goes on where it was: chosen, begun, or neither', async () => {
    const fleet = await startFleet({ apps: [app] });
    const clients = await fleetOf(fleet, app, 6);
    const { store } = fleet.resources;
    // A worker died after it had begun the wave, and another one after it had chosen one client.
    const wave = { policy: POLICY, id: 'died' };
    await store.beginWave(wave, { found: 6, first: 3 });
    await store.chooseFirst(wave, [clients[4]?.ref as ClientRef]);
    expect(await sweep(tick('next'), contextOf(fleet))).toEqual({ started: 3 });
    const expected = [clients[0], clients[1], clients[4]].map((client) => client?.ref);
    expect((await startedOf(fleet)).toSorted()).toEqual(expected);
    expect(await waveOf(fleet)).toMatchObject({ id: 'died', waiting: 3, chosen: 3 });
    // They are rotated by a service that starts afterwards, and the rest still waits for its time.
    await fleet.start();
    await until('the first part signs in', async (saw) => saw(await waveOf(fleet))?.active === 3);
    await watchWave(POLICY, contextOf(fleet));
    expect(await fleet.queues.upkeep.getJob(`wave.${POLICY}`)).toBeUndefined();
    expect((await startedOf(fleet)).length).toBe(3);
    await until('nothing is left to do', async (saw) => saw(await store.openWork()).length === 0);
  });

  test('begins no second rotation of a client whose first one ends while it is looked at', async () => {
    const fleet = await startFleet({ apps: [app] });
    const clients = await fleetOf(fleet, app, 4);
    const [ended, other] = clients.map(({ ref }) => ref);
    if (ended === undefined || other === undefined) throw new Error('there should be more clients');
    const { store } = fleet.resources;
    const wave = { policy: POLICY, id: 'running' };
    await store.beginWave(wave, { found: 4, first: 2 });
    await store.chooseFirst(wave, [ended, other]);
    let reads = 0;
    const late = {
      ...store,
      async waitingFirst(policy: string) {
        const waiting = await store.waitingFirst(policy);
        reads += 1;
        if (reads === 1) await store.leaveWave(wave, [ended]);
        return waiting;
      },
    };
    const context = { ...contextOf(fleet), resources: { ...fleet.resources, store: late } };
    expect(await sweep(tick('late'), context)).toEqual({ started: 1 });
    expect(await startedOf(fleet)).toEqual([other]);
  });

  test('does not wait for a client that a person rotates meanwhile, or that is gone', async () => {
    const quick = changingTo('ES384', '50%');
    const fleet = await startFleet({ apps: [quick] });
    const clients = await fleetOf(fleet, quick, 4);
    const [gone, named] = clients;
    if (gone === undefined || named === undefined) throw new Error('there should be more clients');
    const { store } = fleet.resources;
    const wave = { policy: POLICY, id: 'died' };
    await store.beginWave(wave, { found: 4, first: 2 });
    await store.chooseFirst(wave, [gone.ref, named.ref]);
    await store.commit(await inactive(fleet, gone));
    await beginRotation(fleet, named);
    // Nothing was learned: the next wave has a cohort of its own.
    expect(await sweep(tick('next'), contextOf(fleet))).toEqual({ started: 0 });
    expect(await waveOf(fleet)).toBeNull();
    expect(await sweep(tick('after'), contextOf(fleet))).toEqual({ started: 1 });
    expect(await waveOf(fleet)).toMatchObject({ found: 2, first: 1 });
  });
});

/** As upkeep notes it of a client that the server no longer lists. */
async function inactive({ resources }: Fleet, { ref }: FleetClient) {
  const loaded = await resources.store.load(ref);
  const policy = clientPolicy(resources, ref);
  if (loaded === null || policy === null) throw new Error(`${ref} is not known`);
  const { observed } = loaded.record.server;
  const server = { ...loaded.record.server, observed: { ...observed, client: { ...observed.client, active: false } } };
  return commitOf({ record: { ...loaded.record, server }, entries: [] }, policy, { from: loaded, durable: false });
}

describe('waves of', () => {
  /** Records without servers: nothing is rotated here. */
  async function seeded(count: number, more: Readonly<Record<string, unknown>> = {}) {
    const app = { ...PEM_APP, policy: { rotate_every: '1d', cohort: { first: '5%', then: '1h' }, ...more } };
    const fleet = await startFleet({ apps: [app] });
    const refs = Array.from({ length: count }, (_, at) => makeReference(DEPLOYMENT, POLICY, String(at + 1)));
    for (const ref of refs) {
      const record: ClientRecord = { ...enrolledRecord(), ref };
      const policy = clientPolicy(fleet.resources, ref);
      if (policy === null) throw new Error('there should be a policy');
      await fleet.resources.store.commit(commitOf({ record, entries: [] }, policy, { from: null, durable: false }));
    }
    return { fleet, refs };
  }

  test.each([
    [1, 1],
    [19, 19],
    [20, 1],
  ])('%i clients that are too old begin with %i', async (count, first) => {
    const { fleet } = await seeded(count);
    expect(await sweep(tick('one'), contextOf(fleet))).toEqual({ started: first });
    expect((await waveOf(fleet))?.found ?? null).toBe(count === 20 ? 20 : null);
  });

  test('any number begin at once where the policy says off', async () => {
    const { fleet, refs } = await seeded(40, { cohort: false });
    expect(await sweep(tick('one'), contextOf(fleet))).toEqual({ started: refs.length });
    expect(await waveOf(fleet)).toBeNull();
  });

  test('many clients are looked at a page at a time, and while their cohort signs in not at all', async () => {
    const { fleet, refs } = await seeded(1_200);
    const loads: number[] = [];
    const { store } = fleet.resources;
    const counted = {
      ...store,
      loadMany(page: readonly ClientRef[]) {
        loads.push(page.length);
        return store.loadMany(page);
      },
    };
    const context = { ...contextOf(fleet), resources: { ...fleet.resources, store: counted } };
    expect(await sweep(tick('one'), context)).toEqual({ started: 60 });
    expect(Math.max(...loads)).toBeLessThanOrEqual(250);
    const sum = () => loads.reduce((total, count) => total + count, 0);
    expect(sum(), 'each once, and the cohort again').toBe(refs.length + 60);
    loads.length = 0;
    expect(await sweep(tick('two'), context)).toEqual({ started: 0 });
    expect(sum(), 'the cohort alone').toBe(60);
  });

  test('clients that are found, and taken over, begin with a cohort too', async () => {
    const app = { ...PEM_APP, policy: { adopt: 'take_over', cohort: { first: '5%', then: '1h' } } };
    const fleet = await startFleet({ apps: [app] });
    for (let made = 0; made < 20; made += 1) await fleet.foreign(app);
    expect(await discover({ v: 1, policy: POLICY, slot: 'one' }, contextOf(fleet))).toEqual({ found: 20, started: 1 });
    expect(await waveOf(fleet)).toMatchObject({ found: 20, first: 1, chosen: 1 });
    expect(await sweep(tick('two'), contextOf(fleet))).toEqual({ started: 0 });
  });
});
