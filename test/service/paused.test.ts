/** Pauses by people and freezes: no scheduled rotation begins, what runs is finished, and what somebody asks for goes through. */
import { expect, test } from 'vitest';
import { reconcile } from '../../jobs/reconcile.ts';
import { sweep } from '../../jobs/sweep.ts';
import { CHANGE } from '../emulator/fault-rules.ts';
import { rekeyd, statusOf, statusOfClient } from '../support/command.ts';
import { contextOf } from '../support/context.ts';
import { DEPLOYMENT, type Fleet, type FleetClient, PEM_APP, startFleet } from '../support/fleet.ts';
import { until } from '../support/until.ts';

/** Every client is due whenever somebody looks. */
const DUE = { ...PEM_APP, policy: { rotate_every: '1ms', must_by: '1d' } };
const OTHER = { ...DUE, slug: 'other' };

const sweepOf = (fleet: Fleet, policy: string, slot = 'one') =>
  sweep({ v: 1, policy, slot, reindex: false }, contextOf(fleet));
const toldOf = async (fleet: Fleet) =>
  (await fleet.audit()).filter(({ type }) => type.startsWith('schedule.')).map(({ type, data }) => [type, data]);

test.each<[string, (client: FleetClient) => string[], (client: FleetClient) => object]>([
  ['everything', () => ['--all'], () => ({ all: true })],
  ['an app', () => ['--app', `${DEPLOYMENT}/${DUE.slug}`], () => ({ app: `${DEPLOYMENT}/${DUE.slug}` })],
  ['a policy', () => ['--policy', DUE.slug], () => ({ policy: DUE.slug })],
  ['a client', ({ ref }) => [ref], ({ ref }) => ({ client: ref })],
])('a pause of %s holds back what it covers, and nothing else, until it is ended', async (what, selector, scope) => {
  const fleet = await startFleet({ apps: [DUE, OTHER] });
  const [client, other] = [await fleet.managed(DUE), await fleet.managed(OTHER)];
  const args = selector(client);
  const told = await rekeyd(fleet, 'pause', ...args, '--reason', 'incident 4711');
  expect(told).toContain(`\`rekeyd resume ${args.join(' ')}\``);
  expect(await sweepOf(fleet, DUE.slug)).toEqual({ started: 0 });
  expect(await sweepOf(fleet, OTHER.slug)).toEqual({ started: what === 'everything' ? 0 : 1 });
  expect(fleet.lines.some((line) => line.includes('wait for the end of a pause'))).toBe(true);
  expect(await statusOfClient(fleet, client)).toMatchObject({
    state: 'paused',
    paused: { ...scope(client), reason: 'incident 4711', until: null },
  });
  const { counts, pauses } = await statusOf(fleet);
  expect(pauses).toMatchObject([scope(client)]);
  expect(counts.paused).toBe(what === 'everything' ? 2 : 1);
  expect((await fleet.record(other)).rotation === null).toBe(what === 'everything');

  // Also by another process, later.
  await rekeyd(fleet, 'resume', ...args, '--reason', 'it is over');
  expect(await sweepOf(fleet, DUE.slug, 'two')).toEqual({ started: 1 });
  expect(await toldOf(fleet)).toEqual([
    ['schedule.paused', { ...scope(client), until: null }],
    ['schedule.resumed', scope(client)],
  ]);
});

test('what runs is finished, requests and compromises go through, and the pause outlasts a restart', async () => {
  const fleet = await startFleet({ apps: [DUE] });
  const [running, asked, leaked] = [await fleet.managed(DUE), await fleet.managed(DUE), await fleet.managed(DUE)];
  const { promise, resolve } = Promise.withResolvers<void>();
  const match = { ...CHANGE, client: running.id };
  const hold = fleet.emulator.faults.add({ kind: 'hold', until: promise, when: 'before', match });
  const service = await fleet.start();
  const rotation = await fleet.rotate(running);
  await until('its PATCH is under way', (saw) => saw(hold.fired) === 1);
  await rekeyd(fleet, 'pause', '--all', '--reason', 'incident', '--for', '4h');
  expect(await statusOfClient(fleet, running)).toMatchObject({ state: 'rotating', paused: { all: true } });
  resolve();
  await fleet.reached(running, rotation);
  await service.stop();

  await fleet.start();
  expect(await sweepOf(fleet, DUE.slug)).toEqual({ started: 0 });
  await fleet.reached(asked, await fleet.rotate(asked));
  await fleet.reached(leaked, await fleet.rotate(leaked, { compromised: true }));
  const { pauses } = await statusOf(fleet);
  expect(pauses).toMatchObject([{ all: true, until: expect.any(String) }]);
  expect(await rekeyd(fleet, 'status')).toContain('PAUSED  all clients, by cli:');
});

test('a pause whose time is over holds nothing back, and its end is told', async () => {
  const fleet = await startFleet({ apps: [DUE] });
  await fleet.managed(DUE);
  const { store } = fleet.resources;
  const now = await store.now();
  const scope = { all: true } as const;
  await store.beginPause({ scope, actor: 'cli:jane', reason: 'incident', at: now - 2, until: now - 1 }, []);
  expect((await statusOf(fleet)).pauses).toEqual([]);
  expect(await sweepOf(fleet, DUE.slug)).toEqual({ started: 1 });
  await reconcile(contextOf(fleet));
  await reconcile(contextOf(fleet));
  expect(await toldOf(fleet)).toEqual([['schedule.resumed', { all: true }]]);
  expect(await store.pauses()).toEqual([]);
});

/** Days from today, as a freeze has them. */
const day = (offset: number) => new Date(Date.now() + offset * 86_400_000).toISOString().slice(0, 10);

test.each([
  ['on its days', `${day(-1)}/${day(1)}`, 0],
  ['and not after them', `${day(-9)}/${day(-2)}`, 1],
])('a freeze holds scheduled rotations back %s, and no compromise', async (_, freeze, started) => {
  const app = { ...DUE, policy: { ...DUE.policy, freeze: [freeze] } };
  const fleet = await startFleet({ apps: [app] });
  const client = await fleet.managed(app);
  expect(await sweepOf(fleet, app.slug)).toEqual({ started });
  const { clients } = JSON.parse(await rekeyd(fleet, 'plan', client.ref, '--json'));
  const isLater = Date.parse(clients[0].next_start) > Date.parse(clients[0].next_due) + 1_000;
  expect(isLater).toBe(started === 0);
  await fleet.start();
  await fleet.reached(client, await fleet.rotate(client, { compromised: true }));
});
