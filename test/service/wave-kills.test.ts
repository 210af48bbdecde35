/** SIGKILL in the middle of a wave: the next workers go on with it, and nobody is rotated twice, or before the cohort signs in. */
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { makeReference } from '../../src/core/client.ts';
import { CHANGE } from '../emulator/fault-rules.ts';
import { DEPLOYMENT, type Fleet, type FleetApp, type FleetClient, startFleet } from '../support/fleet.ts';
import { LOCK_MS, NEXT_LOCK_MS } from '../support/killing.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';
import type { WaveOrder, WavePoint } from '../support/wave-child.ts';
import { startProgram } from '../support/worker-process.ts';

const CHILD = new URL('../support/wave-child.ts', import.meta.url);
const ALG = 'ES384';

/** One for each point: an app with a policy of its name, and four clients that are due for another alg, of which two go first. */
interface Wave {
  readonly point: WavePoint;
  readonly app: FleetApp;
  /** In the order of the due index. */
  readonly clients: readonly FleetClient[];
}

async function startWaves(points: readonly WavePoint[]): Promise<[Fleet, readonly Wave[]]> {
  const apps = points.map((point): FleetApp => {
    const policy = { alg: ALG, cohort: { first: '50%', then: '0s' } };
    return { slug: point.replaceAll(' ', '-').toLowerCase(), selection: 'first_pem', policy };
  });
  // What a killed worker had sent is waited for that long.
  const fleet = await startFleet({ apps, config: { reconcile_every: '200ms' }, deployment: { timeout: '3s' } });
  const waves: Wave[] = [];
  for (const [index, app] of apps.entries()) {
    // Otherwise no key of that alg is made.
    await fleet.resources.facts.noteProven(makeReference(DEPLOYMENT, app.slug, 'somebody'), ALG);
    const clients: FleetClient[] = [];
    for (let made = 0; made < 4; made += 1) clients.push(await fleet.managed(app));
    clients.sort((a, b) => (a.ref < b.ref ? -1 : 1));
    waves.push({ point: points[index] ?? 'before count', app, clients });
  }
  return [fleet, waves];
}

/** A worker that dies when the wave of each policy stands at its point. */
async function killed(fleet: Fleet, waves: readonly Wave[]): Promise<void> {
  const stopAt = Object.fromEntries(waves.map(({ app, point }) => [app.slug, point]));
  const child = await startProgram<WaveOrder>(fleet, CHILD, { stopAt, lockMs: LOCK_MS });
  const [, signal] = await once(child, 'exit');
  expect(signal).toBe('SIGKILL');
}

/** Where the entries of that type stand in the audit log, by client. */
async function placesOf(fleet: Fleet, type: string): Promise<ReadonlyMap<string, readonly number[]>> {
  const places = new Map<string, number[]>();
  for (const entry of await fleet.audit()) {
    if (entry.type !== type || entry.client === null) continue;
    places.set(entry.client, [...(places.get(entry.client) ?? []), entry.seq]);
  }
  return places;
}

const isOver = async ({ resources }: Fleet, { app }: Wave) => (await resources.store.wave(app.slug)) === null;

async function expectRotatedOnce(fleet: Fleet, { point, clients }: Wave): Promise<void> {
  const [started, active] = [await placesOf(fleet, 'rotation.started'), await placesOf(fleet, 'key.activated')];
  const [first, rest] = [clients.slice(0, 2), clients.slice(2)];
  const proven = Math.max(...first.map(({ ref }) => active.get(ref)?.[0] ?? Number.POSITIVE_INFINITY));
  for (const { ref } of clients) expect(started.get(ref), point).toHaveLength(1);
  for (const { ref } of rest) expect(started.get(ref)?.[0], point).toBeGreaterThan(proven);
  // One that was under way when its worker was killed is sent again: the same bytes.
  for (const client of clients) {
    const bodies = new Set(fleet.patches(client).map(({ body }) => JSON.stringify(body)));
    expect(bodies.size, point).toBe(1);
  }
}

test.each<[string, readonly WavePoint[]]>([
  [
    'its cohort begins',
    [
      'before beginWave',
      'after beginWave',
      'before chooseFirst',
      'after chooseFirst',
      'before begin 1',
      'after begin 1',
    ],
  ],
  [
    'the verdict falls, and the rest begins',
    [
      'before count',
      'after count',
      'before follow',
      'after follow',
      'before begin 3',
      'after begin 3',
      'before endWave',
      'after endWave',
    ],
  ],
])('a worker that is killed while %s: two others go on, and each client is rotated once', async (_, points) => {
  const [fleet, waves] = await startWaves(points);
  await killed(fleet, waves);
  await Promise.all([fleet.start({ lockMs: NEXT_LOCK_MS }), fleet.start({ lockMs: NEXT_LOCK_MS })]);
  for (const wave of waves) {
    for (const { ref } of wave.clients) {
      await until(`${wave.point}: the rotation of ${ref} is finished`, async () => {
        const [latest] = await fleet.resources.store.history(ref);
        return latest?.state === 'finished';
      });
    }
    await until(`${wave.point}: the wave is over`, () => isOver(fleet, wave));
    await expectRotatedOnce(fleet, wave);
  }
  await expectSound(
    fleet,
    waves.flatMap(({ clients }) => clients),
  );
});

test('a worker that is killed while a wave stops: it stops once, and the rest keep their keys', async () => {
  const points: readonly WavePoint[] = ['before count', 'after count', 'before stopWave', 'after stopWave'];
  const [fleet, waves] = await startWaves(points);
  for (const { clients } of waves) {
    for (const { id } of clients.slice(0, 2)) {
      const match = { ...CHANGE, client: id };
      fleet.emulator.faults.add({ kind: 'status', status: 400, match, times: Number.POSITIVE_INFINITY });
    }
  }
  await killed(fleet, waves);
  await Promise.all([fleet.start({ lockMs: NEXT_LOCK_MS }), fleet.start({ lockMs: NEXT_LOCK_MS })]);
  for (const { app, point } of waves) {
    await until(`${point}: the wave is stopped, and its cohort has ended`, async () => {
      const standing = await fleet.resources.store.wave(app.slug);
      return standing?.wave.phase === 'stopped' && standing.wave.waiting === 0;
    });
    expect((await fleet.resources.store.wave(app.slug))?.wave, point).toMatchObject({ active: 0, failed: 2 });
  }
  const stops = (await fleet.audit()).filter(({ type }) => type === 'policy.stopped').map(({ data }) => data.policy);
  expect(stops.sort()).toEqual(waves.map(({ app }) => app.slug).sort());
  const started = await placesOf(fleet, 'rotation.started');
  for (const { clients, point } of waves) {
    expect(
      clients.map(({ ref }) => started.get(ref)?.length ?? 0),
      point,
    ).toEqual([1, 1, 0, 0]);
  }
});
