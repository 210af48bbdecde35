/** What the log says of steps that fail: neither nothing, nor the same again and again. */
import { rmSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { CHANGE } from '../emulator/fault-rules.ts';
import { type Fleet, PEM_APP, startFleet } from '../support/fleet.ts';
import { until } from '../support/until.ts';

const TIME = /^\d{4}-\d\d-\d\dT[\d:.]+Z$/;

/** Of steps: those that failed, and those that work again. */
function told({ lines }: Fleet) {
  return lines.map((line) => JSON.parse(line)).filter(({ msg }) => /step (failed|has failed)|works again/.test(msg));
}

test('a step that fails is told once for each error, with when it is tried again, and once when it works again', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  for (const [status, message] of [
    [503, 'away'],
    [500, 'broken'],
  ] as const) {
    fleet.emulator.faults.add({ kind: 'status', status, message, match: CHANGE, times: 3 });
  }
  await fleet.start();
  const rotation = await fleet.rotate(client);
  await fleet.reached(client, rotation);
  const about = { client: client.ref, rotation, step: 'patch' };
  expect(told(fleet)).toMatchObject([
    {
      level: 'warn',
      ...about,
      failed: 1,
      error: expect.stringContaining('away'),
      next_try: expect.stringMatching(TIME),
    },
    { level: 'warn', ...about, failed: 4, error: expect.stringContaining('broken') },
    { level: 'info', ...about, error: expect.stringContaining('broken') },
  ]);
});

test('keys that cannot be delivered are told, and that the attempts of the policy are used up', async () => {
  const app = { ...PEM_APP, policy: { attempts: 3 } };
  const fleet = await startFleet({ apps: [app], config: { reconcile_every: '100ms' } });
  const client = await fleet.managed(app);
  await fleet.start();
  // At once: upkeep would deliver into the place that is empty for a moment.
  rmSync(client.folder, { recursive: true });
  writeFileSync(client.folder, 'in the way');
  const rotation = await fleet.rotate(client);
  const { error } = await fleet.reached(client, rotation, 'failed');
  expect(error).toContain('gave up after 3 attempts');
  const lines = () => fleet.lines.map((line) => JSON.parse(line));
  const ends = () => lines().filter(({ msg }) => msg === 'the rotation failed');
  await until('its end is told', () => ends().length > 0);
  const first = told(fleet).find(({ rotation: id }) => id === rotation);
  expect(first).toMatchObject({ level: 'warn', client: client.ref, step: 'deliver', failed: 1 });
  expect(told(fleet).filter(({ rotation: id }) => id === rotation)).toHaveLength(1);
  // The folder is put right for the client itself, without a rotation.
  await until('that it is tried on is told', () => told(fleet).some(({ msg }) => msg.includes('as often as')));
  await rm(client.folder);
  await until('it works again', () => told(fleet).at(-1)?.level === 'info');
  expect(told(fleet).filter(({ level }) => level === 'error')).toHaveLength(1);
});
