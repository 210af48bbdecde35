/** Folders that lost what was in them while nobody looked: a start puts it back. */
import { access, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { startLogins } from '../support/logins.ts';
import { until } from '../support/until.ts';

const isThere = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );

test('a set of private keys that its sink lost is delivered again, and nothing else is touched', async () => {
  const fleet = await startFleet();
  const lost = await fleet.managed(PEM_APP);
  const kept = await fleet.managed(KID_APP);
  const meta = async (folder: string) => JSON.parse(await readFile(join(folder, 'meta.json'), 'utf8'));
  const service = await fleet.start();
  for (const client of [lost, kept]) await fleet.reached(client, await fleet.rotate(client));
  await service.stop();
  const before = { lost: await meta(lost.folder), kept: await meta(kept.folder) };
  const sent = fleet.emulator.log.filter(({ method }) => method === 'PATCH').length;

  await rm(lost.folder);
  await fleet.start();
  await until('the set is back', () => isThere(join(lost.folder, 'meta.json')));
  expect(await meta(lost.folder)).toEqual({ ...before.lost, updated_at: expect.any(String) });
  expect(await meta(kept.folder)).toEqual(before.kept);
  const logins = await startLogins(lost, fleet);
  await logins.more(2);
  expect(await logins.stop()).toMatchObject({ fallback: 0, refused: [] });
  expect(fleet.emulator.log.filter(({ method }) => method === 'PATCH')).toHaveLength(sent);
});

test('a public set that is no longer served is written again', async () => {
  const app = { ...KID_APP, policy: { strategy: 'overlap', format: 'jwks_uri', prove: 'read_back' } };
  const fleet = await startFleet({
    apps: [app],
    config: { publish: { path: './public', base_url: 'https://keys.example.com' } },
  });
  const client = await fleet.managed(app);
  const file = join(fleet.dir, 'public', ...client.ref.split('/'));
  const service = await fleet.start();
  await fleet.reached(client, await fleet.rotate(client));
  await service.stop();
  const before = await readFile(file, 'utf8');

  await rm(file);
  await fleet.start();
  await until('the set is back', () => isThere(file));
  expect(await readFile(file, 'utf8')).toBe(before);
});
