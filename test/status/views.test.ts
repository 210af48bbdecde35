/** What the page shows of a real fleet: the same that `rekeyd status` tells, and as cheap however large the fleet is. */
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { type ClientRef, makeReference } from '../../src/core/client.ts';
import { type Census, type Clients, openCensus } from '../../src/status/census/census.ts';
import { type Known, openKnowing } from '../../src/status/census/known.ts';
import { openViews } from '../../src/status/open-views.ts';
import type { ClientQuery, Views } from '../../src/status/views.ts';
import { aged } from '../support/aged.ts';
import { rekeyd, statusOf } from '../support/command.ts';
import { DEPLOYMENT, type Fleet, KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { likeMany } from '../support/many.ts';
import { until } from '../support/until.ts';

const ALL: ClientQuery = {
  ...{ text: '', state: null, app: null, policy: null, condition: null },
  ...{ order: 'urgency', after: null, limit: 50, only: null },
};

function viewsOf({ resources }: Fleet, census: Pick<Census, 'look'> = openedCensus(resources)): Views {
  const requests = async () => ({
    requests: [{ request: '7', reason: 'a drill', why: 'it waits for another person.' }],
    requests_more: 0,
  });
  return openViews(() => ({ resources, requests }), census);
}

function openedCensus(resources: Fleet['resources']): Census {
  const census = openCensus(() => resources);
  onTestFinished(() => census.stop());
  return census;
}

test('the fleet is what status tells of it, with what is due, budgets, ticks, freezes and workers', async () => {
  const policy = {
    ...PEM_APP.policy,
    schedule: '0 3 * * *',
    freeze: ['2020-01-01/2020-01-02', '2020-01-01/2999-12-31'],
    owner: 'team',
  };
  const app = { ...PEM_APP, policy };
  const fleet = await startFleet({ apps: [app, KID_APP], deployment: { rate_limit: { max: 10, per: '10m' } } });
  const [old, fresh] = [await fleet.managed(app), await fleet.managed(app)];
  await fleet.managed(KID_APP, { enroll: false });
  await fleet.managed(KID_APP);
  const { store } = fleet.resources;
  const { url } = await fleet.start({ worker: false, http: false });
  expect(url).toBeNull();
  await aged(fleet, old, 100);
  await aged(fleet, fresh, 29.9);
  await rekeyd(fleet, 'pause', '--policy', KID_APP.slug, '--reason', 'a freeze of their own');
  const { version, config } = [...(await store.present()).values()][0] ?? { version: '', config: {} };
  await store.bePresent('of an older version', {
    host: 'old',
    pid: 1,
    version: '0.1.0',
    config,
    reload: null,
    problem: 'no sink',
  });
  await store.bePresent('fast', {
    host: 'zz',
    pid: 2,
    version,
    config,
    reload: null,
    problem: null,
    clock: (await store.now()) + 7_000,
  });
  for (let call = 0; call < 4; call += 1) await store.spend(DEPLOYMENT, { max: 10, perMs: 600_000 });

  const views = viewsOf(fleet);
  const [shown, told] = [await views.fleet(), await statusOf(fleet)];
  expect(shown.counts).toEqual(told.counts);
  expect(shown).toMatchObject({
    ...{ reading: null, clients: 4, compromised: 0, drifted: 0, signers_missing: 0 },
    ...{ waves: [], webhooks: [], requests: [{ request: '7' }], pauses: [{ policy: KID_APP.slug }] },
    due: { now: 1, day: 2, week: 2 },
  });
  // Overlaps make four calls each, cutovers two; a compromise two. One call a minute.
  const [deployment] = shown.deployments;
  expect(deployment).toMatchObject({
    deployment: DEPLOYMENT,
    clients: 4,
    rotate_all_seconds: 12 * 60,
    compromise_all_seconds: 8 * 60,
  });
  expect(deployment?.budget).toMatchObject({ max: 10, per_seconds: 600 });
  // What flows in meanwhile, and what the import spent, is a part of it.
  expect(deployment?.budget.used).toBeGreaterThan(0);
  expect((await views.fleet()).deployments[0]?.budget.used).toBeLessThanOrEqual(deployment?.budget.used ?? 0);
  const [pem] = shown.policies;
  expect(pem).toMatchObject({ policy: PEM_APP.slug, clients: 2, owner: 'team', rotate_every_seconds: 30 * 86_400 });
  expect(pem?.freezes).toEqual([{ from: '2020-01-01T00:00:00.000Z', until: '3000-01-01T00:00:00.000Z', active: true }]);
  expect(pem?.next_ticks).toHaveLength(3);
  for (const tick of pem?.next_ticks ?? []) expect(tick).toMatch(/T03:00:00\.000Z$/);
  expect(shown.workers.find(({ host }) => host === 'old')).toEqual({
    ...{ host: 'old', pid: 1, version: '0.1.0', clock_ahead_seconds: null, problem: 'no sink' },
  });
  const own = shown.workers.find(({ pid }) => pid === process.pid);
  expect(Math.abs(own?.clock_ahead_seconds ?? 99)).toBeLessThan(5);
  expect(Math.round(shown.workers.find(({ host }) => host === 'zz')?.clock_ahead_seconds ?? 0)).toBe(7);
});

test('a client that fails is found, tells what to do, and is watched until its rotation is finished', async () => {
  const fleet = await startFleet({ apps: [KID_APP] });
  const [client, other] = [await fleet.managed(KID_APP), await fleet.managed(KID_APP)];
  await fleet.start();
  const views = viewsOf(fleet);
  const refuse = { kind: 'status', status: 422, message: 'no <b>thanks</b>', match: { method: 'PATCH' } } as const;
  fleet.emulator.faults.add({ ...refuse, times: Number.POSITIVE_INFINITY });
  await expect(fleet.reached(client, await fleet.rotate(client))).rejects.toThrow(/failed/);
  const failed = await views.clients({ ...ALL, state: 'failed' });
  expect(failed).toMatchObject({ matching: 1, next: null, clients: [{ client: client.ref, last_error: /thanks/ }] });
  expect((await views.clients(ALL)).clients.map((one) => one.client)).toEqual([client.ref, other.ref]);
  const before = await views.client(client.ref);
  expect(before?.status.advice).toMatch(
    new RegExp(`^Mend what the error names\\. Then \`rekeyd rotate ${client.ref}\``),
  );
  expect(before?.rotations).toMatchObject([{ state: 'failed', actor: 'test', reason: 'a test', error: /thanks/ }]);
  expect(before?.lifeline.planned.at(-1)).toMatchObject({ what: 'the next rotation may begin' });

  fleet.emulator.faults.clear();
  const id = await fleet.rotate(client);
  await fleet.reached(client, id, 'active');
  const during = await views.client(client.ref);
  const [oldKey, newKey] =
    during?.lifeline.keys.filter(({ spans }) => spans.some(({ state }) => state === 'active')) ?? [];
  expect(newKey?.spans.map(({ state }) => state)).toEqual(['pre-active', 'active']);
  expect(oldKey?.spans.map(({ state }) => state).slice(0, 2)).toEqual(['active', 'deactivated']);
  expect(during?.lifeline.marks).toContainEqual({ at: expect.any(Number), what: 'accepted', kid: newKey?.kid });

  await fleet.reached(client, id);
  const after = await until('all of it is told', async (saw) => {
    const view = saw(await views.client(client.ref));
    return view?.rotations[0]?.state === 'finished' && view;
  });
  expect(after).toMatchObject({ status: { state: 'healthy', advice: null }, drift: { since: null } });
  expect(after.rotations.map(({ id, state }) => [id, state])).toMatchObject([
    [id, 'finished'],
    [/./, 'failed'],
  ]);
  const gone = after.lifeline.keys.find(({ kid }) => kid === oldKey?.kid);
  expect(gone?.spans.at(-1)).toMatchObject({ state: 'deactivated', to: expect.any(Number) });
  const audit = (await fleet.audit()).filter((entry) => entry.client === client.ref).reverse();
  expect(after.entries).toEqual(audit.slice(0, 50));
  // The key that is in use, and one that is gone, find the client; and nobody else.
  const thumbprint = (await fleet.record(client)).keys[0]?.thumbprint ?? '';
  for (const text of [thumbprint, gone?.kid ?? '', client.clientId.toUpperCase(), client.ref.slice(4)]) {
    const { clients } = await views.clients({ ...ALL, text });
    expect(
      clients.map((one) => one.client),
      text,
    ).toEqual([client.ref]);
  }
  expect(await views.clients({ ...ALL, text: client.ref, only: other.ref })).toMatchObject({
    clients: [],
    matching: 0,
  });
  expect(await views.client(makeReference(DEPLOYMENT, KID_APP.slug, 'nobody'))).toBeNull();
  await expect(views.clients({ ...ALL, after: 'x' })).rejects.toMatchObject({ code: 'usage' });
});

test('while a fleet is read, it says how far and answers by name; then all of it is there, and followed', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  await likeMany(fleet, client.ref, 1_100);
  const { store } = fleet.resources;
  const gate = Promise.withResolvers<void>();
  const { refsAfter } = store;
  let pages = 0;
  // The census reads four pages, and no more until the gate opens.
  const reading = {
    ...fleet.resources,
    store: {
      ...store,
      refsAfter: async (...args: Parameters<typeof refsAfter>) => {
        pages += 1;
        if (pages > 4) await gate.promise;
        return refsAfter(...args);
      },
    },
  };
  const views = viewsOf(fleet, openedCensus(reading));
  const half = await until('a part of it is read', async (saw) => {
    const shown = saw(await views.fleet());
    return shown.reading?.read === 1_000 && shown;
  });
  expect(half).toMatchObject({ reading: { read: 1_000, of: 1_101 }, clients: 1_000 });
  const first = await views.clients({ ...ALL, limit: 3 });
  expect(first).toMatchObject({ matching: null, reading: { of: 1_101 } });
  expect(first.clients.map((one) => one.client)).toEqual((await store.clientRefs()).slice(0, 3));
  expect((await views.clients({ ...ALL, text: client.ref })).clients).toMatchObject([{ client: client.ref }]);
  expect((await views.clients({ ...ALL, text: 'many-7' })).clients).toEqual([]);
  gate.resolve();
  const whole = await until('all of it is read', async (saw) => {
    const shown = saw(await views.fleet());
    return shown.reading === null && shown;
  });
  expect(whole.clients).toBe(1_101);
  // The pages go on in the order in which they began.
  const second = await views.clients({ ...ALL, limit: 3, after: first.next });
  expect(second.clients.map((one) => one.client)).toEqual((await store.clientRefs()).slice(3, 6));
  expect(second.matching).toBe(1_101);
  expect((await views.clients({ ...ALL, text: 'many-7', limit: 500 })).matching).toBe(111);
  await rekeyd(fleet, 'rotate', client.ref, '--reason', 'a drill');
  await fleet.start();
  await until(
    'a rotation of one of them is followed',
    async (saw) => saw((await views.clients({ ...ALL, order: 'age', text: client.ref })).clients[0])?.keys.length === 2,
  );
});

test('audit entries that are cut while the census reads hide no client from it', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  await fleet.managed(PEM_APP);
  const { store } = fleet.resources;
  const redis = new Redis({ path: fleet.redis.socketPath });
  onTestFinished(() => redis.disconnect());
  const cutting = async (...asked: Parameters<typeof store.auditAfter>) => {
    await redis.xtrim(store.keys.audit, 'MINID', `${await store.auditSize()}-0`);
    return store.auditAfter(...asked);
  };
  const census = openedCensus({ ...fleet.resources, store: { ...store, auditAfter: cutting } });
  expect((await census.whole(AbortSignal.timeout(60_000))).size).toBe(1);
  const added = await fleet.managed(PEM_APP);
  // The only entry that the cut leaves is about no client.
  const about = { client: null, rotation: null, actor: 'test', reason: 'test', data: {} };
  await store.append([{ type: 'config.reloaded', ...about }]);
  expect([...(await census.whole(AbortSignal.timeout(60_000))).keys()]).toContain(added.ref);
});

test('the first page of 100,000 clients costs Redis what that of 100 does', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  const refs = await likeMany(fleet, client.ref, 100);
  const { store } = fleet.resources;
  const held = await store.load(client.ref);
  if (held === null) throw new Error('the client is not known');
  const known = openKnowing()(held.record, held.now, fleet.resources);
  const redis = new Redis({ path: fleet.redis.socketPath });
  onTestFinished(() => redis.disconnect());
  const commands = async () => Number(/total_commands_processed:(\d+)/.exec(await redis.info('stats'))?.[1]);
  const costOf = async (work: () => Promise<unknown>) => {
    const before = await commands();
    await work();
    return (await commands()) - before;
  };
  const small = viewsOf(fleet, lookAt(fleetOf(refs, known, 100)));
  const large = viewsOf(fleet, lookAt(fleetOf(refs, known, 100_000)));
  for (const query of [
    ALL,
    { ...ALL, order: 'age' },
    { ...ALL, text: 'many' },
    { ...ALL, order: 'name', only: `${DEPLOYMENT}/${PEM_APP.slug}` },
  ] as const) {
    const [few, many] = [await costOf(() => small.clients(query)), await costOf(() => large.clients(query))];
    expect([query, few]).toEqual([query, many]);
    expect(many).toBeLessThan(20 * ALL.limit);
  }
  await large.fleet(); // Redis knows its scripts from now on
  expect(await costOf(() => large.fleet())).toBe(await costOf(() => small.fleet()));
  const page = await large.clients(ALL);
  expect(page).toMatchObject({ matching: 100_000, clients: { length: 50 } });
  // While the fleet is read, too; with a filter that hardly anything fits, a bounded part of it.
  const reading = viewsOf(fleet, { look: async () => ({ known: new Map(), reading: { read: 0, of: 100_000 } }) });
  expect(await costOf(() => reading.clients(ALL))).toBeLessThan(20 * ALL.limit);
});

/** The clients that are there come first in every order. */
function fleetOf(refs: readonly ClientRef[], like: Known, count: number): Clients {
  const known = new Map<ClientRef, Known>(refs.map((ref) => [ref, { ...like, is: 'halted', since: 0, dueAt: 0 }]));
  for (let index = refs.length; index < count; index += 1)
    known.set(makeReference(DEPLOYMENT, PEM_APP.slug, `many-z${index}`), like);
  return known;
}

function lookAt(known: Clients): Pick<Census, 'look'> {
  return { look: async () => ({ known, reading: null }) };
}
