/** Waves and what holds schedules back: pauses by people. */
import { expect, test } from 'vitest';
import { sweep } from '../../jobs/sweep.ts';
import { watchWave } from '../../jobs/wave.ts';
import { rekeyd, statusOf } from '../support/command.ts';
import { contextOf } from '../support/context.ts';
import { type Fleet, type FleetApp, type FleetClient, PEM_APP, startFleet } from '../support/fleet.ts';

const POLICY = PEM_APP.slug;
/** Every client is due for another format, so a part of them goes first. */
const APP: FleetApp = { ...PEM_APP, policy: { format: 'pem', cohort: { first: '50%', then: '0s' } } };

const sweepOf = (fleet: Fleet, slot: string) => sweep({ v: 1, policy: POLICY, slot, reindex: false }, contextOf(fleet));
const waveOf = async (fleet: Fleet) => (await fleet.resources.store.wave(POLICY))?.wave ?? null;

async function fleetOf(count: number): Promise<{ fleet: Fleet; clients: readonly FleetClient[] }> {
  const fleet = await startFleet({ apps: [APP] });
  const clients: FleetClient[] = [];
  for (let made = 0; made < count; made += 1) clients.push(await fleet.managed(APP));
  return { fleet, clients: clients.sort((a, b) => (a.ref < b.ref ? -1 : 1)) };
}

test('a paused client is in no cohort, and comes into a later wave', async () => {
  const { fleet, clients } = await fleetOf(5);
  const [paused] = clients;
  await rekeyd(fleet, 'pause', paused?.ref ?? '', '--reason', 'a test');
  expect(await sweepOf(fleet, 'one')).toEqual({ started: 2 });
  expect(await waveOf(fleet)).toMatchObject({ found: 4, first: 2, chosen: 2, waiting: 2 });
  expect((await fleet.record(paused as FleetClient)).rotation).toBeNull();
  expect(fleet.lines.some((line) => line.includes('wait for the end of a pause'))).toBe(true);
});

test('a pause of the policy leaves its wave as it is, and ends with the same command that goes on with a stopped one', async () => {
  const { fleet } = await fleetOf(4);
  expect(await sweepOf(fleet, 'one')).toEqual({ started: 2 });
  const wave = await waveOf(fleet);
  await rekeyd(fleet, 'pause', '--policy', POLICY, '--reason', 'a test');
  expect(await sweepOf(fleet, 'two')).toEqual({ started: 0 });
  await watchWave(POLICY, contextOf(fleet));
  expect(await fleet.queues.upkeep.getJob(`wave.${POLICY}`)).toBeUndefined();
  expect(await waveOf(fleet)).toEqual(wave);

  // Its rotations fail, and the wave stops, while the pause lasts.
  const { store } = fleet.resources;
  await store.stopWave({ policy: POLICY, id: wave?.id ?? '' }, 'a test', []);
  expect(await statusOf(fleet)).toMatchObject({ pauses: [{ policy: POLICY }], waves: [{ phase: 'stopped' }] });
  const { resumed } = JSON.parse(await rekeyd(fleet, 'resume', '--policy', POLICY, '--json'));
  expect(resumed).toEqual([{ policy: POLICY, was_paused: true, was_stopped: true, still_paused_by: null }]);
  expect(await statusOf(fleet)).toMatchObject({ pauses: [], waves: [{ phase: 'rest' }] });
  expect(await sweepOf(fleet, 'three')).toEqual({ started: 2 });
});
