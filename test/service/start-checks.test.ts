/** A start looks at what `doctor` looks at, and says what is wrong. */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { watchChecks } from '../../src/runtime/start-checks.ts';
import { DEPLOYMENT, PEM_APP, startFleet } from '../support/fleet.ts';
import { startLive, told } from '../support/live-config.ts';
import { until } from '../support/until.ts';

const HOUR = 3_600_000;

test('a clock that is wrong and a sink that cannot be written are told once, and do not keep a service from being ready', async () => {
  const fleet = await startFleet({ apps: [PEM_APP], emulator: { now: () => Date.now() + HOUR } });
  const blocked = join(fleet.dir, 'blocked');
  await writeFile(blocked, 'a file, and no folder');
  const sinks = [{ kind: 'directory', path: blocked }];
  // With a schedule, a first start reads the list of the app, and with it the clock of its server.
  const service = await startLive(fleet, { sinks }, { schedule: true });
  const wrong = told(fleet, 'error').filter(({ check }) => check !== undefined);
  expect(wrong).toEqual([
    expect.objectContaining({
      check: `clock ${DEPLOYMENT}`,
      msg: expect.stringMatching(/^this machine's clock is \d+ s behind the API/),
    }),
    expect.objectContaining({ check: `sink directory ${blocked}`, fix: expect.stringContaining('Rotations wait') }),
  ]);
  expect(await service.obstacle()).toBeNull();

  await rm(blocked);
  await mkdir(blocked);
  await service.reloadWith({ sinks, reconcile_every: '2s' });
  await until('it is told that it can be written', () =>
    told(fleet, 'info').some(({ check, level }) => level === 'info' && check === `sink directory ${blocked}`),
  );
});

test('what a config had opened, and its successor has closed, is not told of', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const sinkNamed = (name: string, problem: () => string | null) => ({ name, check: async () => problem() });
  const next = { ...fleet.resources, sinks: [sinkNamed('of the new config', () => 'the disk is full')] };
  const replaced = sinkNamed('of the old config', () => {
    current = next as never; // `check` is all that is called
    return 'its thread was stopped';
  });
  let current = { ...fleet.resources, sinks: [replaced] } as unknown as typeof fleet.resources; // as above
  const checks = await watchChecks(() => current);
  onTestFinished(() => checks.stop());
  checks.again();
  const wrong = await until('the new config is checked', () => {
    const lines = told(fleet, 'error').filter(({ check }) => check !== undefined);
    return lines.length > 0 && lines;
  });
  expect(wrong).toEqual([expect.objectContaining({ check: 'sink of the new config', msg: 'the disk is full' })]);
});
