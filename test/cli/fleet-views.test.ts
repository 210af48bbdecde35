/** What `plan` and `status` say of a fleet that is larger than a screen. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { survey } from '../../src/commands/status/survey.ts';
import type { ClientStatus } from '../../src/status/model.ts';
import { PEM_APP, startFleet } from '../support/fleet.ts';
import { until } from '../support/until.ts';
import { documentOf, openWorld, type World } from './fixture.ts';

const CLIENTS = 40;
const OLD = '185019846023/pem-app';

let world: World;
beforeAll(async () => {
  world = await openWorld();
  for (let made = 0; made < CLIENTS; made += 1) world.addClient(made % 2 === 0 ? 'pem-app' : 'kid-app');
});
afterAll(() => world.close());

const linesOf = (text: string) => text.trimEnd().split('\n');

test('plan of a fleet is a summary and a list that fit on a screen; --limit and --verbose show more', async () => {
  const [short, longer, verbose] = await Promise.all([
    world.run(['plan', '--all', '--take-over']),
    world.run(['plan', '--all', '--take-over', '--limit', '30']),
    world.run(['plan', '--app', OLD, '--take-over', '--verbose', '--limit', '2']),
  ]);
  const lines = linesOf(short.stdout);
  expect(lines.length, short.stdout).toBeLessThan(24);
  expect(lines.slice(0, 3)).toEqual([
    `${CLIENTS} clients: ${CLIENTS} found`,
    expect.stringMatching(/^The schedule rotates 0 now; the next one not before \S+Z$/),
    `A request for all of them rotates ${CLIENTS} (20 by overlap, 20 by cutover)`,
  ]);
  expect(lines.at(-1)).toMatch(/^… and 25 more: --limit N lists more of them\. --verbose shows steps and PATCH bodies/);
  expect(short.stdout).not.toContain('"keys"');
  expect(linesOf(longer.stdout).length - lines.length).toBe(15);
  expect(verbose.stdout).toMatch(/^20 clients: 20 found$/m);
  expect(verbose.stdout.match(/^ +2\. deliver to signers/gm)).toHaveLength(2);
  expect(verbose.stdout.match(/"public_key_pem": "<new key>"/g)).toHaveLength(2);
  expect(linesOf(verbose.stdout).at(-1)).toBe('… and 18 more: --limit N lists more of them');
});

test('plan --json has all clients or as many as are asked for, those that would fail first, and the same summary', async () => {
  const policies = { ...Object(world.config.policies), 'kid-app': { strategy: 'overlap', alg: 'RS256' } };
  const file = await world.writeConfig({ ...world.config, policies }, 'failing.yaml');
  const args = ['plan', '--take-over', '--json', '--config', file];
  const [all, first, told] = await Promise.all([
    world.run(args),
    world.run([...args, '--limit', '3']),
    world.run(['plan', '--take-over', '--config', file]),
  ]);
  const [{ clients, summary }, limited] = [documentOf(all), documentOf(first)];
  expect(clients).toHaveLength(CLIENTS);
  expect(summary).toMatchObject({
    clients: CLIENTS,
    counts: { found: CLIENTS, healthy: 0 },
    would: { overlap: 0, cutover: 20, join: 0, fail: 20, leave_alone: 0 },
    due: 0,
    warnings: [
      { clients: 20, message: expect.stringMatching(/^It would fail at once: strategy overlap cannot change/) },
    ],
  });
  expect(limited.summary).toMatchObject({ ...summary, next_start: expect.any(String) });
  expect(limited.clients).toHaveLength(3);
  for (const { client, state, steps } of limited.clients) {
    expect([client, state]).toEqual([expect.stringContaining('/kid-app/'), 'found']);
    expect(steps).toEqual([{ step: 'fail', why: expect.any(String) }]);
  }
  expect(told.stdout).toMatch(/^! 20: It would fail at once: strategy overlap/m);
  expect(linesOf(told.stdout)[5]).toMatch(/\/kid-app\/.* It would fail at once: strategy overlap/);
});

test('a list that cannot be read after others were planned leaves one document, with the error in it', async () => {
  const match = { method: 'GET', path: /kid-app\/clients$/ };
  world.emulator.faults.add({
    kind: 'status',
    status: 503,
    message: 'under repair',
    match,
    times: Number.POSITIVE_INFINITY,
  });
  const ended = await world.run(['plan', '--take-over', '--json']);
  world.emulator.faults.clear();
  expect(ended.code, ended.stderr).toBe(3);
  const { clients, error, ...nothing } = documentOf(ended);
  expect(clients).toHaveLength(20);
  expect(error).toEqual({ code: 'api_failed', message: expect.stringContaining('under repair') });
  expect(nothing).toEqual({});
});

test('status counts the fleet and lists of it what is asked for', async () => {
  const service = await world.start('--no-http');
  const found = async () => documentOf(await world.run(['status', '--json', '--limit', '0'])).counts.found;
  await until('all are found', async (saw) => saw(await found()) === CLIENTS);
  service.kill('SIGTERM');
  await service.ended;
  const [some, listed, none] = await Promise.all([
    world.run(['status', '--app', OLD, '--limit', '3']),
    world.run(['status', '--policy', 'kid-app', '--limit', '4', '--json']),
    world.run(['status', '--state', 'failed']),
  ]);
  expect(linesOf(some.stdout).slice(0, 7)).toEqual([
    '20 clients: 20 found',
    'Due by schedule: 0 now, 0 within 24 hours, 0 within 7 days',
    expect.stringMatching(/^CLIENT +POLICY/),
    ...Array(3).fill(expect.stringMatching(new RegExp(`^${OLD}/`))),
    '… and 17 more: --limit N lists more of them',
  ]);
  const document = documentOf(listed);
  expect(Object.keys(document)).toEqual([
    'counts',
    'clients',
    'due',
    'deployments',
    'policies',
    'workers',
    'pauses',
    'waves',
    'requests',
    'requests_more',
    'audit',
    'webhooks',
  ]);
  expect(document.counts).toMatchObject({ found: 20, failed: 0 });
  // Two calls for each of the selected clients is what a compromise takes, at 1,000 a second.
  const times = { clients: 20, compromise_all_seconds: 0.04, budget: { max: 1_000, per_seconds: 1 } };
  expect(document).toMatchObject({ deployments: [times], due: { now: 0, day: 0, week: 0 }, workers: [] });
  expect(document.policies).toMatchObject([
    { policy: 'pem-app', clients: 0, next_ticks: { length: 3 } },
    { policy: 'kid-app', clients: 20 },
  ]);
  expect(document.clients.map(({ policy }: { policy: string }) => policy)).toEqual(Array(4).fill('kid-app'));
  const [first, , third] = linesOf(none.stdout);
  expect([first, third]).toEqual([`${CLIENTS} clients: ${CLIENTS} found`, 'None of them is failed.']);
});

test('a fleet too large to be held is read again for what is listed, and comes to the same', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  for (const _ of [1, 2, 3]) await fleet.managed(PEM_APP);
  const { resources } = fleet;
  const seen = { now: await resources.store.now(), deployments: new Map(), pauses: new Map() };
  const listed = async (mostHeld: number, limit: number) => {
    const found = await survey({ select: null, state: null, limit }, seen, resources, mostHeld);
    const clients: ClientStatus[] = [];
    for await (const page of found.pages()) clients.push(...page);
    return { counts: found.tally.counts, wanted: found.wanted, clients };
  };
  const held = await listed(100, Number.POSITIVE_INFINITY);
  expect(held.clients).toHaveLength(3);
  expect(held).toMatchObject({ counts: { healthy: 3 }, wanted: 3 });
  expect(await listed(2, Number.POSITIVE_INFINITY)).toEqual(held);
  expect(await listed(2, 1)).toEqual({ ...held, clients: held.clients.slice(0, 1) });
});
