/** What a running worker gives away when it is looked into: its diagnostic report, its heap, its memory, and what a crash leaves of it. */
import type { ChildProcess } from 'node:child_process';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { apiKeyOf, DEPLOYMENT, type Fleet, KEK, startFleet } from '../support/fleet.ts';
import { readMemory } from '../support/process-memory.ts';
import { APPS, managedClients, ROTATIONS, ROUNDS } from '../support/rotations.ts';
import { findNeedles, keysIn, type Needle, needlesOf, searchFor } from '../support/secrets.ts';
import { until } from '../support/until.ts';
import { startWatched, written } from '../support/watched-worker.ts';

const IS_LINUX = process.platform === 'linux';

/**
 * OpenSSL frees what it copies of a key while it parses one, and does not clear all of it: about one key in a hundred is left there until that
 * memory is used again, as it is by a snapshot.
 */
const COLLECTIONS = 5;

/** A number that OpenSSL gave back uncleared: a process that does nothing but make keys and drop them leaves some too (SECURITY.md). */
const RESIDUE = / (d|p|q|dp|dq|qi) (raw|reversed)$/;
const RESIDUE_SHARE = 0.05;

async function startedFleet() {
  const fleet = await startFleet({ apps: APPS });
  const folder = join(fleet.dir, 'seen');
  await mkdir(folder);
  const planted = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  const plantedFile = join(fleet.dir, 'planted.jwk.json');
  const texts = [JSON.stringify(planted.export({ format: 'jwk' })), planted.export({ format: 'pem', type: 'pkcs8' })];
  await writeFile(plantedFile, texts.join('\n'));
  return { fleet, folder, plantedFile, planted: needlesOf('planted', planted) };
}

/** Every private key of the fleet, also those that were replaced. */
async function rotated(fleet: Fleet): Promise<ReadonlyMap<string, KeyObject>> {
  const clients = await managedClients(fleet);
  const keys = new Map<string, KeyObject>(clients.map(({ ref, key }) => [`imported for ${ref}`, key.privateKey]));
  for (let round = 0; round < ROUNDS; round += 1) {
    await Promise.all(clients.map(async (client) => fleet.reached(client, await fleet.rotate(client))));
    for (const client of clients) for (const [kid, key] of await keysIn(client.folder)) keys.set(kid, key);
  }
  expect(keys.size).toBeGreaterThanOrEqual(clients.length + ROTATIONS);
  return keys;
}

async function foundInMemory({ pid = 0 }: ChildProcess, needles: readonly Needle[]): Promise<string[]> {
  const search = searchFor(needles);
  const found = new Set<string>();
  await readMemory(pid, (bytes) => {
    for (const name of search(bytes)) found.add(name);
  });
  return [...found];
}

const IN_TEXT = ['planted d base64url', 'planted qi base64url', 'planted PEM'];

test('neither report nor heap nor memory of a worker shows a secret once its rotations are done', async () => {
  const { fleet, folder, plantedFile, planted } = await startedFleet();
  const child = await startWatched(fleet, folder, plantedFile);
  const keys = await rotated(fleet);
  const needles = [...keys].flatMap(([kid, key]) => needlesOf(kid, key));
  const search = searchFor([...needles, ...planted]);
  const isPlanted = (name: string) => name.startsWith('planted');

  const before = await readFile(join(folder, 'before.json'));
  expect([before.includes(KEK), before.includes(apiKeyOf(DEPLOYMENT))], 'a report with its environment').toEqual([
    true,
    true,
  ]);
  const report = await written(child, 'SIGHUP', folder, /^report.*\.json$/);
  expect(report.includes('"nodejsVersion"')).toBe(true);
  expect([report.includes(KEK), report.includes(apiKeyOf(DEPLOYMENT))], 'a report of rekeyd').toEqual([false, false]);
  expect([...search(report)]).toEqual([]);

  // A snapshot begins with collecting garbage.
  const heap = await written(child, 'SIGUSR2', folder, /\.heapsnapshot$/);
  const inHeap = [...search(heap)];
  expect(inHeap).toEqual(expect.arrayContaining(IN_TEXT));
  expect(inHeap.filter((name) => !isPlanted(name))).toEqual([]);
  expect(heap.includes(KEK), 'the key encryption key in the heap').toBe(false);

  const log = await readFile(join(folder, 'stderr'));
  expect(log.includes('"msg":"started"')).toBe(true);
  expect([[...search(log)], log.includes(KEK)]).toEqual([[], false]);
  expect([...search(Buffer.concat([log, Buffer.from(await readFile(plantedFile))]))]).toEqual(
    expect.arrayContaining(IN_TEXT),
  );

  if (!IS_LINUX) return;
  let inMemory = await foundInMemory(child, [...needles, ...planted]);
  for (let more = 1; more < COLLECTIONS && !inMemory.every(isPlanted); more += 1) {
    for (const name of await readdir(folder)) if (name.endsWith('.heapsnapshot')) await rm(join(folder, name));
    await written(child, 'SIGUSR2', folder, /\.heapsnapshot$/);
    inMemory = await foundInMemory(child, [...needles, ...planted]);
  }
  expect(inMemory).toEqual(expect.arrayContaining(IN_TEXT));
  const left = inMemory.filter((name) => !isPlanted(name));
  expect(left.filter((name) => !RESIDUE.test(name))).toEqual([]);
  expect(left.length).toBeLessThanOrEqual(Math.ceil(keys.size * RESIDUE_SHARE));
});

/** Core dumps go where the machine sends them; a folder is the only place where this test looks. */
async function crashed(child: ChildProcess, folder: string): Promise<Buffer | null> {
  if (child.exitCode === null && child.signalCode === null) {
    const ended = once(child, 'exit');
    child.kill('SIGABRT');
    await ended;
  }
  const dump = (await readdir(folder)).find((name) => /^core(\.\d+)?$/.test(name));
  return dump === undefined ? null : readFile(join(folder, dump));
}

test.runIf(IS_LINUX)('a crash of a worker leaves none of its memory', async () => {
  const { fleet, folder, plantedFile, planted } = await startedFleet();
  const needles = planted.filter(({ name }) => IN_TEXT.includes(name));
  const other = join(fleet.dir, 'other');
  await mkdir(other);
  const [child, control] = [
    await startWatched(fleet, folder, plantedFile),
    await startWatched(fleet, other, plantedFile, 'setInterval(() => {}, 1000); console.error("started")'),
  ];
  for (const at of [folder, other])
    await until('both have started', async (saw) => saw(await readFile(join(at, 'stderr'))).includes('started'));
  expect(await foundInMemory(child, needles), 'it has something to hide').toEqual(expect.arrayContaining(IN_TEXT));
  expect(Number.parseInt(await readFile(`/proc/${child.pid}/coredump_filter`, 'utf8'), 16)).toBe(0);

  // On a machine that keeps no dumps, or keeps them elsewhere, there is nothing to compare with.
  const inControl = await crashed(control, other);
  if (inControl !== null) expect(findNeedles(needles, inControl)).toEqual(expect.arrayContaining(IN_TEXT));
  const left = await crashed(child, folder);
  expect(left === null ? [] : findNeedles(needles, left)).toEqual([]);
});
