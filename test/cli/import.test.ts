/** `rekeyd keys import` as a person types it, of one client and of many. */
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { makeKey } from '../emulator/testing.ts';
import { expectNothingOf } from '../support/hidden.ts';
import { type Client, documentOf, openWorld, type World } from './fixture.ts';

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.close());
beforeEach(() => world.emulator.faults.clear());

const pemOf = ({ key }: Pick<Client, 'key'>) => key.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();

let folders = 0;

/** @param mode of each file */
async function folder(files: Readonly<Record<string, string>>, mode = 0o600): Promise<string> {
  folders += 1;
  const dir = join(world.dir, `handed-over-${folders}`);
  await mkdir(dir);
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(dir, name), text);
    await chmod(join(dir, name), mode);
  }
  return dir;
}

describe('of one client', () => {
  test('a key that nobody signs in with is refused with the server’s words and what to do', async () => {
    const client = world.addClient('pem-app');
    const other = makeKey('ES256');
    world.emulator.edit('185019846023', 'pem-app', client.id, {
      jwks: {
        keys: [
          { ...other.jwk, public_key_pem: other.pem },
          { ...client.key.jwk, public_key_pem: client.key.pem },
        ],
      },
    });
    const ended = await world.run(['keys', 'import', client.ref, '--file', await world.keyFile(client), '--json']);
    expect(ended.code).toBe(1);
    expect(documentOf(ended).error).toEqual({
      code: 'key_refused',
      message: expect.stringContaining('InvalidSignature'),
    });
    expect(ended.stderr).toMatch(/signs in with another key, import that one.*rotate \S+ --take-over/);
    expect((await world.run(['status', client.ref])).stderr).toContain('is not known');
  });

  test('an issuer that cannot be reached ends with 3, and --unproven imports all the same', async () => {
    const client = world.addClient('pem-app');
    const times = Number.POSITIVE_INFINITY;
    world.emulator.faults.add({ kind: 'drop', when: 'before', match: { api: 'runtime' }, times });
    const args = ['keys', 'import', client.ref, '--file', await world.keyFile(client)];
    const ended = await world.run(args);
    expect(ended.code, ended.stderr).toBe(3);
    expect(ended.stderr).toMatch(/could not be found out whether .*--unproven/);
    const unproven = await world.run([...args, '--unproven']);
    expect(unproven.code, unproven.stderr).toBe(0);
    expect(unproven.stderr).toContain('Nobody has seen a sign-in with this key');
  });

  test('an encrypted PEM is read with a passphrase file, and told without one', async () => {
    const client = world.addClient('kid-app', 'RS256');
    const [file, passphrase] = [join(world.dir, 'encrypted.pem'), join(world.dir, 'passphrase')];
    const options = { format: 'pem', type: 'pkcs8', cipher: 'aes-256-cbc', passphrase: 'open sesame' } as const;
    await writeFile(file, client.key.privateKey.export(options), { mode: 0o600 });
    await writeFile(passphrase, 'open sesame\n', { mode: 0o600 });
    const args = ['keys', 'import', client.ref, '--file', file, '--json'];
    const [without, wrong, missing] = await Promise.all([
      world.run(args),
      world.run([...args, '--passphrase-file', file]),
      world.run([...args, '--passphrase-file', join(world.dir, 'nowhere')]),
    ]);
    expect([without.code, wrong.code, missing.code]).toEqual([1, 2, 2]);
    expect(documentOf(without).error.message).toContain('--passphrase-file');
    const done = await world.run([...args, '--passphrase-file', passphrase]);
    expect(done.code, done.stderr).toBe(0);
    expect(documentOf(done)).toMatchObject({
      client: client.ref,
      outcome: 'imported',
      proof: 'accepted',
      enrolment: 'held',
    });
    expect(done.stdout + done.stderr).not.toContain('open sesame');
  });

  test('a file that others can read is warned about, and stays as it is', async () => {
    const client = world.addClient('pem-app');
    const dir = await folder({ 'key.pem': pemOf(client) }, 0o644);
    const ended = await world.run(['keys', 'import', client.ref, '--file', join(dir, 'key.pem')]);
    expect(ended.code, ended.stderr).toBe(0);
    expect(ended.stderr).toMatch(/^warning: \S+key\.pem can be read or changed by other users.*chmod 600/m);
    expect(await readFile(join(dir, 'key.pem'), 'utf8')).toBe(pemOf(client));
  });
});

describe('of many clients', () => {
  test('a folder: dry run, import, and once more', async () => {
    const clients = [world.addClient('pem-app'), world.addClient('kid-app'), world.addClient('pem-app')];
    const [one, two, left] = clients;
    if (one === undefined || two === undefined || left === undefined) throw new Error('three are made');
    const dir = await folder(
      { [`${one.clientId}.pem`]: pemOf(one), [`${encodeURIComponent(two.ref)}.key`]: pemOf(two), 'notes.txt': 'hello' },
      0o640,
    );
    const dry = await world.run(['keys', 'import', '--dir', dir, '--dry-run']);
    expect(dry.code).toBe(1);
    expect(dry.stdout).toMatch(/^Keys: 2 can be imported, 1 file without a client, \d+ clients? without a file\.$/m);
    expect(dry.stdout).toMatch(/^FILE +CLIENT +PROBLEM\n(?:.*\n)*notes\.txt +- +no client of the apps/);
    expect(dry.stdout).toMatch(new RegExp(`^- +${left.ref} +no file names it`, 'm'));
    expect(dry.stderr).toContain('Nothing was changed.');
    expect(dry.stderr).toMatch(/^warning: 2 key files, \S+ among them, can be read/m);
    expect((await world.run(['status', one.ref])).stderr).toContain('is not known');

    const done = await world.run(['keys', 'import', '--dir', dir, '--json']);
    expect(done.code).toBe(1);
    const row = { outcome: 'imported', proof: 'accepted', enrolment: 'held', error: null };
    expect(documentOf(done)).toMatchObject({
      dry_run: false,
      counts: { imported: 2, active: 0, refused: 0, files_without_client: 1 },
      clients: [
        { ...row, client: two.ref, kid: two.key.kid },
        { ...row, client: one.ref, kid: one.key.kid },
      ],
      files_without_client: [{ file: 'notes.txt', reason: expect.any(String) }],
      apps_unread: [],
    });
    expect(documentOf(done).clients_without_file).toContainEqual({ client: left.ref, client_id: left.clientId });
    expect(done.stderr).toContain('Held clients are left alone by schedules.');
    const again = await world.run(['keys', 'import', '--dir', dir, '--enroll']);
    expect(again.stdout).toMatch(/^Keys: 2 imported before, /m);
    const shown = documentOf(await world.run(['status', one.ref, two.ref, '--json'])).clients;
    expect(shown.map(({ enrolment }: { enrolment: string }) => enrolment)).toEqual(['enrolled', 'enrolled']);
    const everything = [dry, done, again].map(({ stdout, stderr }) => stdout + stderr).join('');
    for (const { key } of [one, two]) expectNothingOf(key.privateKey, everything);
  });

  test('a map of which all is imported ends with 0', async () => {
    const [one, two] = [world.addClient('pem-app'), world.addClient('kid-app', 'RS384')];
    const dir = await folder({ 'first.pem': pemOf(one), 'second.pem': pemOf(two) });
    const map = join(dir, 'map.csv');
    await writeFile(map, `client,file,alg\n${one.ref},first.pem,\n${two.ref},second.pem,RS384\n`);
    const ended = await world.run(['keys', 'import', '--map', map, '--enroll', '--json']);
    expect(ended.code, ended.stderr).toBe(0);
    expect(documentOf(ended).clients).toMatchObject([
      { client: two.ref, file: 'second.pem', alg: 'RS384', enrolment: 'enrolled' },
      { client: one.ref, file: 'first.pem', alg: 'ES256', enrolment: 'enrolled' },
    ]);
  });

  test('a map of which one key is refused ends with 1, and the others are imported', async () => {
    const [good, bad, gone] = [world.addClient('pem-app'), world.addClient('pem-app'), world.addClient('pem-app')];
    const dir = await folder({ 'good.pem': pemOf(good), 'bad.pem': pemOf({ key: makeKey('ES256') }) });
    const map = join(dir, 'map.jsonl');
    const lines = [
      { client: good.ref, file: 'good.pem' },
      { client: bad.ref, file: 'bad.pem' },
      { client_id: gone.clientId, file: 'nowhere.pem' },
    ];
    await writeFile(map, lines.map((line) => JSON.stringify(line)).join('\n'));
    const ended = await world.run(['keys', 'import', '--map', map]);
    expect(ended.code).toBe(1);
    expect(ended.stdout).toMatch(new RegExp(`^bad\\.pem +${bad.ref} +The server has no such key published`, 'm'));
    expect(ended.stdout).toMatch(new RegExp(`^nowhere\\.pem +${gone.ref} +The file cannot be used: ENOENT`, 'm'));
    expect(ended.stdout).toMatch(/^Keys: 1 imported, 2 refused/m);
  });

  test('an API that cannot be reached ends with 3', async () => {
    const client = world.addClient('pem-app');
    const dir = await folder({ [`${client.clientId}.pem`]: pemOf(client) });
    const match = { method: 'GET', path: /clients$/ };
    world.emulator.faults.add({ kind: 'status', status: 503, match, times: Number.POSITIVE_INFINITY });
    const ended = await world.run(['keys', 'import', '--dir', dir]);
    expect(ended.code, ended.stderr).toBe(3);
    expect(ended.stderr).toContain('The clients of 185019846023/pem-app could not be read');
  });
});
