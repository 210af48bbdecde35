/** `rekeyd release`: what becomes of the file when the commit does not come, or fails; and which sinks are asked for the key without a file. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { RekeydError } from '../../src/errors.ts';
import { keksOf } from '../../src/rotation/policy.ts';
import { releaseClient } from '../../src/rotation/release.ts';
import { type Fleet, type FleetClient, PEM_APP, startFleet } from '../support/fleet.ts';
import { until } from '../support/until.ts';

function release(fleet: Fleet, { ref }: FleetClient, file: string | null, resources = fleet.resources) {
  const cause = { actor: 'test', reason: 'they do it themselves', request: null };
  return releaseClient(resources, keksOf(fleet.config), { ref, file, cause });
}

/** Stands still where it would commit, for ever: all that others see of a process that was killed there. */
async function releaseHalfWay(fleet: Fleet, client: FleetClient, file: string): Promise<void> {
  const { resources } = fleet;
  let isThere = false;
  const commit = () => {
    isThere = true;
    return new Promise<never>(() => {});
  };
  void release(fleet, client, file, { ...resources, store: { ...resources.store, commit } });
  await until('it is about to commit', () => isThere);
}

test('a release that was killed is finished when it is typed again, with the file that it wrote', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  const file = join(fleet.dir, 'handed-over.pem');
  await releaseHalfWay(fleet, client, file);
  expect((await fleet.record(client)).enrolment).toBe('enrolled');
  const { ino } = await stat(file);

  await release(fleet, client, file);
  expect((await fleet.record(client)).enrolment).toBe('found');
  expect((await stat(file)).ino).toBe(ino);
  expect(await readFile(file, 'utf8')).toBe(client.key.privateKey.export({ format: 'pem', type: 'pkcs8' }));
  expect((await fleet.audit()).filter(({ type }) => type === 'client.released')).toHaveLength(1);
});

test('a release takes no file for its own that holds another key', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const [client, other] = [await fleet.managed(PEM_APP), await fleet.managed(PEM_APP)];
  const file = join(fleet.dir, 'handed-over.pem');
  await releaseHalfWay(fleet, other, file);
  await expect(release(fleet, client, file)).rejects.toMatchObject({ code: 'usage' });
  expect((await fleet.record(client)).enrolment).toBe('enrolled');
  expect(await readFile(file, 'utf8')).toBe(other.key.privateKey.export({ format: 'pem', type: 'pkcs8' }));
});

test('a release that the store refuses leaves no file that was not there before', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  const [file, left] = [join(fleet.dir, 'new.pem'), join(fleet.dir, 'left.pem')];
  await releaseHalfWay(fleet, client, left);
  const { resources } = fleet;
  const commit = () => Promise.reject(new Error('the store says no'));
  const refusing = { ...resources, store: { ...resources.store, commit } };
  for (const path of [file, left]) {
    await expect(release(fleet, client, path, refusing)).rejects.toThrow('the store says no');
  }
  await expect(stat(file)).rejects.toMatchObject({ code: 'ENOENT' });
  expect((await stat(left)).isFile()).toBe(true);
});

test('a release that the store has written, and not confirmed, leaves the file: it has the only copy of the key', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  const file = join(fleet.dir, 'handed-over.pem');
  const { resources } = fleet;
  const { store } = resources;
  const commit: typeof store.commit = async (change) => {
    await store.commit(change);
    throw new RekeydError('not_durable', 'not known to be on disk');
  };
  const unconfirmed = { ...resources, store: { ...store, commit } };
  await expect(release(fleet, client, file, unconfirmed)).rejects.toMatchObject({ code: 'not_durable' });
  expect(await store.sealedHalves(client.ref)).toEqual(new Map());
  expect(await readFile(file, 'utf8')).toBe(client.key.privateKey.export({ format: 'pem', type: 'pkcs8' }));
});

test('a release without a file needs one sink that shows the key, and names those that cannot be read when none does', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  const { resources } = fleet;
  const [folder] = resources.sinks;
  if (folder === undefined) throw new Error('the fleet has no sink');
  const broken: typeof folder = { ...folder, name: 'vault x', sets: () => Promise.reject(new Error('it is sealed')) };
  const none = release(fleet, client, null, { ...resources, sinks: [broken] });
  const message = expect.stringMatching(
    /^No sink shows the key of .* --to\. The sink vault x cannot be read: it is sealed\.$/,
  );
  await expect(none).rejects.toMatchObject({ code: 'usage', message });
  expect((await fleet.record(client)).enrolment).toBe('enrolled');

  await release(fleet, client, null, { ...resources, sinks: [broken, folder] });
  expect((await fleet.record(client)).enrolment).toBe('found');
});
