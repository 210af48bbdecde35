import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import { goodClaims, introspect, sign } from '../emulator/testing.ts';
import {
  DEPLOYMENT,
  type Fleet,
  type FleetClient,
  KID_APP,
  PEM_APP,
  startFleet,
  wrongClock,
} from '../support/fleet.ts';
import { until } from '../support/until.ts';

const README = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
const [, quickStart = ''] = /```yaml\n# rekeyd\.yaml\n([\s\S]*?)```/.exec(README) ?? [];
const README_POLICY: Readonly<Record<string, unknown>> = parse(quickStart).policies.default;

/** Everything about it makes a client due at each tick. */
const EAGER = {
  schedule: '* * * * * *',
  rotate_every: '1s',
  alg: 'RS256',
  format: 'pem',
  propagation: '0s',
  overlap: '0s',
};

interface Application {
  ok: number;
  readonly refused: string[];
}

/** Signs in all the time, with the key that it registered, and knows nothing of rekeyd. */
function startApplication(client: FleetClient, { emulator }: Fleet): Application {
  const seen: Application = { ok: 0, refused: [] };
  const host = `${client.app.slug}.example.com`;
  let stopped = false;
  const run = async () => {
    while (!stopped) {
      const claims = goodClaims(client.clientId, host, '/oauth/introspect');
      const assertion = await sign(client.key, claims, { kid: client.key.kid });
      const { status, body } = await introspect(emulator, host, client.clientId, assertion);
      if (status === 200) seen.ok += 1;
      else seen.refused.push(`${client.ref}: ${status} ${JSON.stringify(body)}`);
      await delay(20);
    }
  };
  const running = run();
  onTestFinished(async () => {
    stopped = true;
    await running;
  });
  return seen;
}

test.each([
  { what: 'the README’s config', policy: README_POLICY },
  { what: 'a config by which everything is due all the time', policy: EAGER },
])('applications with keys of their own go on signing in when rekeyd starts with $what', async ({ policy }) => {
  const apps = [PEM_APP, KID_APP].map((app) => ({ ...app, policy }));
  const fleet = await startFleet({ apps });
  const clients: FleetClient[] = [];
  const applications: Application[] = [];
  const register = async () => {
    for (const app of apps) {
      const client = await fleet.foreign(app);
      clients.push(client);
      applications.push(startApplication(client, fleet));
    }
  };
  for (let each = 0; each < 3; each += 1) await register();
  const service = await fleet.start({ schedule: true });
  const { store } = fleet.resources;
  await until('all are found', async (saw) => saw(await store.enrolmentCounts()).found === clients.length);
  // More are registered while it runs. Each tick looks for them, and each start; those of one second share one look.
  await register();
  await fleet.start({ schedule: true, clock: wrongClock(2_000) });
  await until('the new ones too', async (saw) => saw(await store.enrolmentCounts()).found === clients.length);
  const before = applications.map(({ ok }) => ok);
  await until('everybody signs in after that', () =>
    applications.every(({ ok }, index) => ok > (before[index] ?? 0) + 20),
  );
  await service.stop();

  expect(applications.flatMap(({ refused }) => refused)).toEqual([]);
  expect(clients.flatMap((client) => fleet.patches(client))).toEqual([]);
  expect((await fleet.audit()).map(({ type }) => type)).toEqual(clients.map(() => 'client.found'));
  expect(linesOf(fleet, 'left alone')).not.toEqual([]);
});

function linesOf({ lines }: Fleet, what: string): readonly Record<string, unknown>[] {
  return lines.map((line) => JSON.parse(line)).filter(({ msg }) => String(msg).includes(what));
}

test('a first start tells what it found, and what will happen to it, before anything is taken in', async () => {
  const closed = new Date().getUTCDay() === 0 ? 'Wed' : 'Sun';
  const windows = [`${closed} 03:00-03:01`];
  const taken = { ...KID_APP, policy: { ...KID_APP.policy, adopt: 'take_over', windows } };
  const fleet = await startFleet({ apps: [PEM_APP, taken] });
  for (let each = 0; each < 3; each += 1) await fleet.foreign(PEM_APP);
  await fleet.foreign(taken);
  // No worker runs: all that is told comes from the lists.
  const told = await fleet.start({ schedule: true, worker: false });
  expect(linesOf(fleet, 'new clients: ')).toMatchObject([
    { level: 'info', app: `${DEPLOYMENT}/${PEM_APP.slug}`, policy: PEM_APP.slug, adopt: 'import', clients: 3 },
    { level: 'warn', app: `${DEPLOYMENT}/${taken.slug}`, policy: taken.slug, adopt: 'take_over', clients: 1 },
  ]);
  expect(linesOf(fleet, 'keys import --dir DIR --dry-run')).toHaveLength(1);
  expect(linesOf(fleet, 'cannot sign in any more')).toHaveLength(1);
  expect(await fleet.audit()).toEqual([]);
  await told.stop();

  await fleet.start({ schedule: true });
  const { store } = fleet.resources;
  await until('all are found', async (saw) => saw(await store.enrolmentCounts()).clients === 4);
  const before = fleet.lines.length;
  await fleet.start({ schedule: true });
  expect(linesOf({ ...fleet, lines: fleet.lines.slice(before) }, 'new clients: '), 'they are known').toEqual([]);
  expect(
    linesOf(fleet, 'found and held clients are left alone'),
    'told once, by the start that knew them',
  ).toHaveLength(1);
});

test('a first start goes on while the API cannot be read', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.foreign(PEM_APP);
  fleet.emulator.faults.add({ kind: 'status', status: 503, match: { path: /clients$/ }, times: 1 });
  await fleet.start({ schedule: true });
  expect(linesOf(fleet, 'not known yet which clients there are')).toMatchObject([{ deployment: DEPLOYMENT }]);
  const { store } = fleet.resources;
  await until('it is found', async (saw) => saw(await store.clientRefs()).includes(client.ref));
});
