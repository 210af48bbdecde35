/** Many keys at once: what is matched, how little is asked of the API, and that one client's trouble is not another's. */
import { createHash } from 'node:crypto';
import { readdir, readFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeKey } from '../emulator/testing.ts';
import {
  DEPLOYMENT,
  type Fleet,
  type FleetApp,
  type FleetClient,
  KID_APP,
  PEM_APP,
  startFleet,
} from '../support/fleet.ts';
import { folderOf, importingAll, privatePem } from '../support/importing.ts';

const OTHER_APP: FleetApp = { ...PEM_APP, slug: 'other-app', deployment: '4711' };

function calls({ emulator }: Fleet): readonly string[] {
  return emulator.log.flatMap(({ api, method, path }) => (api === 'management' ? [`${method} ${path}`] : []));
}

/** All that can change in a file which somebody reads, but for the time of that. */
async function fingerprint(folder: string): Promise<readonly unknown[]> {
  const names = (await readdir(folder)).sort();
  return Promise.all(
    names.map(async (name) => {
      const { mtimeMs, mode, ino } = await stat(join(folder, name));
      return [
        name,
        mtimeMs,
        mode,
        ino,
        createHash('sha256')
          .update(await readFile(join(folder, name)))
          .digest('hex'),
      ];
    }),
  );
}

async function made(fleet: Fleet, app: FleetApp, count: number): Promise<readonly FleetClient[]> {
  return Promise.all(Array.from({ length: count }, () => fleet.foreign(app)));
}

test('300 keys are imported with one list for each app, no PATCH and no look; the files stay as they are', async () => {
  const apps = [PEM_APP, KID_APP, OTHER_APP];
  const fleet = await startFleet({ apps });
  const clients = (await Promise.all(apps.map((app) => made(fleet, app, 100)))).flat();
  const names = (client: FleetClient, index: number) => {
    if (index % 3 === 0) return `${client.clientId}.pem`;
    return index % 3 === 1 ? `${encodeURIComponent(client.ref)}.key` : `${client.ref.replaceAll('/', '%2F')}`;
  };
  const files = clients.map((client, index) => [names(client, index), privatePem(client.key)]);
  const folder = await folderOf(fleet, Object.fromEntries(files));
  const before = await fingerprint(folder);
  const seen: number[] = [];
  const report = await importingAll(fleet, folder, { enroll: true }, { onProgress: (done) => void seen.push(done) });
  expect(report).toMatchObject({ filesWithoutClient: [], clientsWithoutFile: [], unread: [], openToOthers: [] });
  expect(report.rows.map(({ client, outcome, proof }) => [client, outcome, proof])).toEqual(
    clients.map(({ ref }) => [ref, 'imported', 'accepted']).sort(),
  );
  expect(seen).toEqual(clients.map((_, index) => index + 1));
  expect(await fingerprint(folder)).toEqual(before);
  const lists = calls(fleet).filter((call) => call.endsWith('/clients'));
  expect(lists.length).toBe(new Set(lists).size);
  expect(calls(fleet).filter((call) => !call.startsWith('GET '))).toEqual([]);
  expect(await fleet.resources.store.enrolmentCounts()).toEqual({ clients: 300, found: 0, held: 0 });

  const again = await importingAll(fleet, folder);
  expect(new Set(again.rows.map(({ outcome }) => outcome))).toEqual(new Set(['active']));
});

test('a dry run proves and tells the same, and leaves the store as it was', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const [good, bad] = [await fleet.foreign(PEM_APP), await fleet.foreign(PEM_APP)];
  const folder = await folderOf(fleet, {
    [`${good.clientId}.pem`]: privatePem(good.key),
    [`${bad.clientId}.pem`]: privatePem(makeKey('ES256')),
  });
  const outcomes = async (dryRun: boolean) =>
    (await importingAll(fleet, folder, { dryRun })).rows.map(({ client, outcome, proof, kid }) => [
      client,
      outcome,
      proof,
      kid,
    ]);
  const told = await outcomes(true);
  expect(await fleet.resources.store.clientRefs()).toEqual([]);
  expect(await fleet.audit()).toEqual([]);
  expect(await outcomes(false)).toEqual(told);
  expect(told).toEqual(
    [
      [good.ref, 'imported', 'accepted', good.key.kid],
      [bad.ref, 'refused', null, null],
    ].sort(),
  );
});

test('what does not match is told, and the rest is imported', async () => {
  const fleet = await startFleet({ apps: [PEM_APP, KID_APP] });
  const [named, twice, left] = await made(fleet, PEM_APP, 3);
  if (named === undefined || twice === undefined || left === undefined) throw new Error('three are made');
  const folder = await folderOf(fleet, {
    [`${DEPLOYMENT}/${PEM_APP.slug}/${named.id}.pem`]: privatePem(named.key),
    [`${twice.clientId}.pem`]: privatePem(twice.key),
    [`${encodeURIComponent(twice.ref)}.json`]: privatePem(twice.key),
    'README.txt': 'these are the keys',
    '.hidden': 'not looked at',
    '1/gone-app/4711.pem': privatePem(makeKey('ES256')),
  });
  const report = await importingAll(fleet, folder);
  expect(report.rows).toMatchObject(
    [
      { client: named.ref, outcome: 'imported', error: null },
      { client: twice.ref, outcome: 'refused', error: { message: expect.stringMatching(/^2 files name this client/) } },
    ].sort((a, b) => (a.client < b.client ? -1 : 1)),
  );
  expect(report.filesWithoutClient).toEqual([
    { file: '1/gone-app/4711.pem', reason: expect.stringContaining('has no app 1/gone-app') },
    { file: 'README.txt', reason: expect.stringContaining('no client') },
  ]);
  expect(report.clientsWithoutFile).toEqual([{ ref: left.ref, clientId: left.clientId }]);
});

test('a list that cannot be read is told, and the other deployments are imported', async () => {
  const fleet = await startFleet({ apps: [PEM_APP, OTHER_APP] });
  const [here, there] = [await fleet.foreign(PEM_APP), await fleet.foreign(OTHER_APP)];
  const folder = await folderOf(fleet, {
    [`${here.clientId}.pem`]: privatePem(here.key),
    [`${there.clientId}.pem`]: privatePem(there.key),
  });
  const match = { deployment: '4711', path: /clients$/ };
  fleet.emulator.faults.add({ kind: 'status', status: 503, match, times: Number.POSITIVE_INFINITY });
  const report = await importingAll(fleet, folder);
  expect(report.rows).toMatchObject([{ client: here.ref, outcome: 'imported' }]);
  expect(report.unread).toEqual([{ file: '4711/other-app', reason: expect.stringContaining('503') }]);
  expect(report.filesWithoutClient).toEqual([
    { file: `${there.clientId}.pem`, reason: 'the clients of 4711/other-app could not be read' },
  ]);
});

test('a row that cannot be read is told for its own file alone', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const [good, odd] = [await fleet.foreign(PEM_APP), await fleet.foreign(PEM_APP)];
  const tamper = (body: unknown) => ({
    clients: (body as { clients: { id: string }[] }).clients.map((row) =>
      row.id === odd.id ? { ...row, is_active: 7 } : row,
    ), // the emulator's own list
  });
  fleet.emulator.faults.add({ kind: 'tamper', tamper, match: { path: /clients$/ }, times: Number.POSITIVE_INFINITY });
  const folder = await folderOf(fleet, {
    [`${encodeURIComponent(good.ref)}.pem`]: privatePem(good.key),
    [`${encodeURIComponent(odd.ref)}.pem`]: privatePem(odd.key),
  });
  const { rows, filesWithoutClient } = await importingAll(fleet, folder);
  expect(rows).toMatchObject([{ client: good.ref, outcome: 'imported' }]);
  expect(filesWithoutClient).toMatchObject([{ reason: expect.stringContaining('cannot be read (is_active') }]);
});

test('interrupted, it ends what it began and tells what it left', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const clients = await made(fleet, PEM_APP, 80);
  const files = clients.map((client) => [`${client.clientId}.pem`, privatePem(client.key)]);
  const folder = await folderOf(fleet, Object.fromEntries(files));
  const stop = new AbortController();
  const report = await importingAll(fleet, folder, {}, { signal: stop.signal, onProgress: () => stop.abort('SIGINT') });
  const counts = (outcome: string) => report.rows.filter((row) => row.outcome === outcome).length;
  expect(counts('imported')).toBeGreaterThan(0);
  expect(counts('interrupted')).toBeGreaterThan(0);
  expect(counts('imported') + counts('interrupted')).toBe(80);
  expect((await importingAll(fleet, folder)).rows.filter(({ error }) => error !== null)).toEqual([]);
});

test('of our own key folders the key in use is read, by the name from before a rename too', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  await fleet.start();
  const { kid } = await fleet.reached(client, await fleet.rotate(client));
  const keys = join(fleet.dir, 'data', 'keys');
  const known = await importingAll(fleet, keys);
  expect(known.rows).toMatchObject([{ client: client.ref, outcome: 'active', kid, error: null }]);
  await rename(join(keys, DEPLOYMENT), join(keys, '4711'));
  const renamed = await importingAll(fleet, keys);
  expect(renamed.rows).toMatchObject([
    { client: client.ref, file: `4711/${PEM_APP.slug}/${client.id}/current.jwk.json` },
  ]);
});
