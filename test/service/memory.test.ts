/** What a running worker gives away when it is looked into: its diagnostic report, its heap, its arguments. */
import { type ChildProcess, spawn } from 'node:child_process';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import {
  apiKeyOf,
  DEPLOYMENT,
  type Fleet,
  type FleetApp,
  KEK,
  KID_APP,
  PEM_APP,
  startFleet,
} from '../support/fleet.ts';
import { findNeedles, keysIn, needlesOf } from '../support/secrets.ts';
import { until } from '../support/until.ts';

const CLI = fileURLToPath(new URL('../../src/cli.ts', import.meta.url));
const PLANT = new URL('../support/planted.ts', import.meta.url).href;

const APPS = [
  [{ ...PEM_APP, slug: 'ec', policy: { alg: 'ES256' } }, 'ES256'],
  [{ ...KID_APP, slug: 'okp', policy: { alg: 'EdDSA', strategy: 'overlap' } }, 'EdDSA'],
  [{ ...PEM_APP, slug: 'rsa', policy: { alg: 'RS256', modulus_length: 2048 } }, 'RS256'],
] as const satisfies readonly (readonly [FleetApp, string])[];

/** `rekeyd start`, made to write a report on SIGHUP and a heap snapshot on SIGUSR2 into `folder`. A snapshot begins with collecting garbage. */
async function startWorker(fleet: Fleet, folder: string, plantedFile: string): Promise<ChildProcess> {
  const config = join(fleet.dir, 'rekeyd.yaml');
  await writeFile(config, JSON.stringify(fleet.file));
  const looking = ['--report-on-signal', '--report-signal=SIGHUP', `--report-directory=${folder}`];
  // V8 cuts strings off after 1024 characters, where a key may only begin.
  const heap = ['--heapsnapshot-signal=SIGUSR2', `--diagnostic-dir=${folder}`, '--heap-snapshot-string-limit=1000000'];
  const log = openSync(join(folder, 'stderr'), 'a');
  const child = spawn(
    process.execPath,
    [...looking, ...heap, '--import', PLANT, CLI, 'start', '--no-http', '--no-schedule', '--config', config],
    {
      stdio: ['ignore', 'ignore', log],
      cwd: folder,
      env: { PATH: process.env.PATH, ...fleet.env, PLANTED: plantedFile, REKEYD_LOG_LEVEL: 'debug' },
    },
  );
  closeSync(log);
  onTestFinished(async () => {
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  });
  return child;
}

/** The file that the child writes into `folder` on `signal`, once it is whole: both kinds are JSON, and end with a brace. */
async function written(child: ChildProcess, signal: NodeJS.Signals, folder: string, name: RegExp): Promise<Buffer> {
  child.kill(signal);
  return until(`a file like ${name}`, async () => {
    const found = (await readdir(folder)).find((file) => name.test(file));
    if (found === undefined) return null;
    const bytes = await readFile(join(folder, found));
    return bytes.subarray(-4).includes('}') && isJson(bytes) && bytes;
  });
}

function isJson(bytes: Buffer): boolean {
  try {
    JSON.parse(bytes.toString());
    return true;
  } catch {
    return false;
  }
}

test('neither the report nor the heap of a worker shows a secret once its rotations are done', async () => {
  const fleet = await startFleet({ apps: APPS.map(([app]) => app) });
  const folder = join(fleet.dir, 'seen');
  await mkdir(folder);
  const planted = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  const plantedFile = join(fleet.dir, 'planted.jwk.json');
  const texts = [JSON.stringify(planted.export({ format: 'jwk' })), planted.export({ format: 'pem', type: 'pkcs8' })];
  await writeFile(plantedFile, texts.join('\n'));
  const child = await startWorker(fleet, folder, plantedFile);

  const clients = await Promise.all(APPS.map(([app, alg]) => fleet.managed(app, { alg })));
  const keys = new Map<string, KeyObject>(clients.map(({ ref, key }) => [`imported for ${ref}`, key.privateKey]));
  for (let round = 0; round < 2; round += 1) {
    for (const client of clients) await fleet.reached(client, await fleet.rotate(client));
    for (const client of clients) for (const [kid, key] of await keysIn(client.folder)) keys.set(kid, key);
  }
  expect(keys.size).toBeGreaterThanOrEqual(clients.length * 3);
  const needles = [...keys].flatMap(([kid, key]) => needlesOf(kid, key));

  const before = await readFile(join(folder, 'before.json'));
  expect([before.includes(KEK), before.includes(apiKeyOf(DEPLOYMENT))], 'a report with its environment').toEqual([
    true,
    true,
  ]);
  const report = await written(child, 'SIGHUP', folder, /^report.*\.json$/);
  expect(report.includes('"nodejsVersion"')).toBe(true);
  expect([report.includes(KEK), report.includes(apiKeyOf(DEPLOYMENT))], 'a report of rekeyd').toEqual([false, false]);
  expect(findNeedles(needles, report)).toEqual([]);

  const heap = await written(child, 'SIGUSR2', folder, /\.heapsnapshot$/);
  const found = findNeedles(needlesOf('planted', planted), heap);
  expect(found).toEqual(expect.arrayContaining(['planted d base64url', 'planted qi base64url', 'planted PEM']));
  expect(findNeedles(needles, heap)).toEqual([]);
  expect(heap.includes(KEK), 'the key encryption key in the heap').toBe(false);

  const log = await readFile(join(folder, 'stderr'));
  expect(log.includes('"msg":"started"')).toBe(true);
  expect([findNeedles(needles, log), log.includes(KEK)]).toEqual([[], false]);
});
