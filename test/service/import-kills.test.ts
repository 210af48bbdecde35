/** Imports that are killed at each point, and two at once: run again, they go on, and nothing is imported twice. */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type Fleet, type FleetClient, PEM_APP, startFleet } from '../support/fleet.ts';
import type { ImportOrder } from '../support/import-child.ts';
import { folderOf, importingAll, privatePem } from '../support/importing.ts';
import { startLogins } from '../support/logins.ts';
import { countedPoints } from '../support/points.ts';
import { until } from '../support/until.ts';
import { startProgram } from '../support/worker-process.ts';

const CHILD = new URL('../support/import-child.ts', import.meta.url);

/** An import in a process of its own. @returns how it ended: its exit code, or the signal that killed it */
async function importInChild(fleet: Fleet, folder: string, stopAt: ImportOrder['stopAt'] = {}) {
  const child = await startProgram<ImportOrder>(fleet, CHILD, { folder, stopAt });
  const [code, signal] = await once(child, 'exit');
  return signal ?? code;
}

async function handedOver(fleet: Fleet, count: number) {
  const clients = await Promise.all(Array.from({ length: count }, () => fleet.foreign(PEM_APP)));
  const files = clients.map(({ ref, key }) => [`${encodeURIComponent(ref)}.pem`, privatePem(key)]);
  return { clients, folder: await folderOf(fleet, Object.fromEntries(files)) };
}

/** The points that one import passes when nothing goes wrong, in order. */
async function pointsOfAnImport(): Promise<readonly string[]> {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const { folder } = await handedOver(fleet, 1);
  const points: string[] = [];
  await importingAll(fleet, folder, {}, { onPoint: countedPoints((point) => void points.push(point)) });
  return points;
}

/** Each client has its one key, in the store and in its folder, and signs in with it. */
async function expectImported(fleet: Fleet, clients: readonly FleetClient[]): Promise<void> {
  for (const client of clients) {
    const { enrolment, keys, signers } = await fleet.record(client);
    expect([enrolment, keys.length, signers.delivered?.current]).toEqual(['held', 1, client.key.kid]);
    expect(JSON.parse(await readFile(join(client.folder, 'meta.json'), 'utf8'))).toMatchObject({
      current: client.key.kid,
    });
    const logins = await startLogins(client, fleet);
    await logins.more(1);
    expect(await logins.stop()).toMatchObject({ refused: [], fallback: 0 });
  }
  const told = (await fleet.audit()).flatMap(({ type, client }) => (type === 'key.imported' ? [`${client}`] : []));
  expect(told.sort()).toEqual(clients.map(({ ref }) => ref).sort());
}

test('killed at each point and run again, every key is imported once', async () => {
  const points = await pointsOfAnImport();
  expect(points).toEqual(expect.arrayContaining(['read 0', 'proven 0', 'committed 0', 'deliver:after effect 0']));
  const fleet = await startFleet({ apps: [PEM_APP] });
  const { clients, folder } = await handedOver(fleet, points.length);
  const stopAt = Object.fromEntries(points.map((point, index) => [clients[index]?.ref ?? '', point]));
  expect(await importInChild(fleet, folder, stopAt)).toBe('SIGKILL');
  expect(await importInChild(fleet, folder)).toBe(0);
  await expectImported(fleet, clients);
});

test('what a killed import left undelivered, a worker delivers', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const { clients, folder } = await handedOver(fleet, 2);
  const stopAt = Object.fromEntries(clients.map(({ ref }) => [ref, 'committed 0']));
  expect(await importInChild(fleet, folder, stopAt)).toBe('SIGKILL');
  for (const client of clients) expect((await fleet.record(client)).signers.delivered?.current).toBeNull();
  await fleet.start();
  await until('the keys are delivered', async () => {
    const records = await Promise.all(clients.map(fleet.record));
    return records.every(({ signers }, index) => signers.delivered?.current === clients[index]?.key.kid);
  });
  await expectImported(fleet, clients);
});

test('three at once do no harm', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const { clients, folder } = await handedOver(fleet, 40);
  const ended = await Promise.all([
    importInChild(fleet, folder),
    importInChild(fleet, folder),
    importingAll(fleet, folder),
  ]);
  expect(ended.slice(0, 2)).toEqual([0, 0]);
  expect(ended[2].rows.filter(({ error }) => error !== null)).toEqual([]);
  await expectImported(fleet, clients);
});
