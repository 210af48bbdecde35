/** Folders that lost what was in them, or hold what was there before, while nobody looked: a start puts it right. */

import { access, cp, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { declareLoss } from '../../src/store/declare.ts';
import { readMarker } from '../../src/store/identity.ts';
import { connectRedis } from '../../src/store/redis/connection.ts';
import { isChange } from '../emulator/log.ts';
import { snapshot } from '../store/fixtures.ts';
import { KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { startLogins } from '../support/logins.ts';
import { until } from '../support/until.ts';

const metaIn = async (folder: string) => JSON.parse(await readFile(join(folder, 'meta.json'), 'utf8'));

const isThere = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );

test('a set of private keys that its sink lost is delivered again, and nothing else is touched', async () => {
  const fleet = await startFleet();
  const lost = await fleet.managed(PEM_APP);
  const kept = await fleet.managed(KID_APP);
  const service = await fleet.start();
  for (const client of [lost, kept]) await fleet.reached(client, await fleet.rotate(client));
  await service.stop();
  const before = { lost: await metaIn(lost.folder), kept: await metaIn(kept.folder) };
  const sent = fleet.emulator.log.filter(isChange).length;

  await rm(lost.folder, { recursive: true });
  await fleet.start();
  await until('the set is back', () => isThere(join(lost.folder, 'meta.json')));
  expect(await metaIn(lost.folder)).toEqual({ ...before.lost, updated_at: expect.any(String) });
  expect(await metaIn(kept.folder)).toEqual(before.kept);
  const logins = await startLogins(lost, fleet);
  await logins.more(2);
  expect(await logins.stop()).toMatchObject({ fallback: 0, refused: [] });
  expect(fleet.emulator.log.filter(isChange)).toHaveLength(sent);
});

test('a sink that was left out of the config for a rotation gets the set that the others hold', async () => {
  const [first, second] = ['first', 'second'].map((name) => ({ kind: 'directory', path: `./${name}` }));
  const fleet = await startFleet({ apps: [PEM_APP], config: { sinks: [first, second] } });
  const client = await fleet.managed(PEM_APP);
  const folder = (name: string) => join(fleet.dir, name, ...client.ref.split('/'));
  const alone = await fleet.start({}, await fleet.configOf({ ...fleet.file, sinks: [first] }));
  const { kid } = await fleet.reached(client, await fleet.rotate(client));
  await alone.stop();
  expect((await metaIn(folder('second'))).current).toBe(client.key.kid);

  await fleet.start();
  await until('the second sink is up to date', async (saw) => saw(await metaIn(folder('second'))).current === kid);
  // All sinks are served at the same time, and the first may be the last.
  await until('both hold the same', async (saw) => {
    const [one, other] = saw([await metaIn(folder('first')), await metaIn(folder('second'))]);
    return isDeepStrictEqual(one, other);
  });
  const logins = await startLogins({ ...client, folder: folder('second') }, fleet);
  await logins.more(2);
  expect(await logins.stop()).toMatchObject({ fallback: 0, refused: [] });
});

test('a key folder that was restored from an older copy is brought up to date', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  const keys = join(fleet.dir, 'data', 'keys');
  await cp(keys, join(fleet.dir, 'copy'), { recursive: true, verbatimSymlinks: true });
  const service = await fleet.start();
  const { kid } = await fleet.reached(client, await fleet.rotate(client));
  await service.stop();
  await rm(keys, { recursive: true });
  await rename(join(fleet.dir, 'copy'), keys);
  expect((await metaIn(client.folder)).current).toBe(client.key.kid);

  await fleet.start();
  await until('the set is up to date', async (saw) => saw(await metaIn(client.folder)).current === kid);
});

async function publishing() {
  const app = { ...KID_APP, policy: { strategy: 'overlap', format: 'jwks_uri', prove: 'read_back' } };
  const fleet = await startFleet({
    apps: [app],
    config: { publish: { path: './public', base_url: 'https://keys.example.com' } },
  });
  const client = await fleet.managed(app);
  return { fleet, client, file: join(fleet.dir, 'public', ...client.ref.split('/')) };
}

test('a public set that was restored from an older copy is written again', async () => {
  const { fleet, client, file } = await publishing();
  const service = await fleet.start();
  await fleet.reached(client, await fleet.rotate(client));
  const older = await readFile(file, 'utf8');
  await fleet.reached(client, await fleet.rotate(client));
  await service.stop();
  const before = await readFile(file, 'utf8');
  expect(before).not.toBe(older);

  await writeFile(file, older);
  await fleet.start();
  await until('the set is up to date', async (saw) => saw(await readFile(file, 'utf8')) === before);
});

test('a publish folder that cannot be read keeps no private keys from being delivered again', async () => {
  const { fleet, client, file } = await publishing();
  await rm(dirname(file), { recursive: true, force: true });
  await mkdir(dirname(dirname(file)), { recursive: true });
  await writeFile(dirname(file), 'in the place of the folder');
  await rm(client.folder, { recursive: true });
  await fleet.start();
  await until('the set is back', () => isThere(join(client.folder, 'meta.json')));
});

test('a public set that is no longer served is written again', async () => {
  const { fleet, client, file } = await publishing();
  const service = await fleet.start();
  await fleet.reached(client, await fleet.rotate(client));
  await service.stop();
  const before = await readFile(file, 'utf8');

  await rm(file);
  await fleet.start();
  await until('the set is back', () => isThere(file));
  expect(await readFile(file, 'utf8')).toBe(before);
});

test('folders that are newer than a restored store are left as they are until the server was looked at', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  const operator = await connectRedis({ socketPath: fleet.redis.socketPath }, { name: 'operator' });
  onTestFinished(() => operator.disconnect());
  const rollBack = await snapshot(operator);
  const service = await fleet.start();
  const { kid } = await fleet.reached(client, await fleet.rotate(client));
  await service.stop();
  await rollBack();
  const dataDir = join(fleet.dir, 'data');
  await declareLoss(operator, fleet.resources.store.keys, dataDir, await readMarker(dataDir), {
    actor: 'test',
    reason: 'restored',
  });

  for (const method of ['GET', 'PATCH'] as const) {
    fleet.emulator.faults.add({ kind: 'status', status: 503, match: { method }, times: Number.POSITIVE_INFINITY });
  }
  await fleet.start();
  await until('it is told', () => fleet.lines.some((line) => line.includes('looking at the server first')));
  fleet.emulator.faults.clear();
  await until('the client is found again', async (saw) => saw(await fleet.record(client)).enrolment === 'found');
  expect(fleet.lines.filter((line) => line.includes('delivered again'))).toEqual([]);
  expect((await metaIn(client.folder)).current).toBe(kid);
});
