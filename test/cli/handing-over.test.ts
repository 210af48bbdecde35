/** Identifying a key and releasing a client, as typed at a terminal. */
import { createPublicKey } from 'node:crypto';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { calculateJwkThumbprint } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { keyNames } from '../../src/keys/key-id.ts';
import { CHANGE } from '../emulator/fault-rules.ts';
import { makeKey, withPem } from '../emulator/testing.ts';
import { expectNothingOf } from '../support/hidden.ts';
import { until } from '../support/until.ts';
import { type Client, documentOf, openWorld, type World } from './fixture.ts';

let world: World;
let enrolled: Client;
let found: Client;
beforeAll(async () => {
  world = await openWorld();
  enrolled = await world.enrolledClient('pem-app');
  found = await world.foundClient('kid-app');
});
afterAll(() => world.close());

const BY: Readonly<Record<string, string>> = {
  'its mark': 'thumbprint',
  'its thumbprint': 'thumbprint',
  'its kid': 'kid',
};

describe('identify', () => {
  const one = async (file: string, stdin?: string) => {
    // A thumbprint may begin like an option.
    const ended = await world.run(['identify', '--json', '--', file], {}, stdin);
    return { ...ended, document: ended.stdout === '' ? null : documentOf(ended) };
  };
  const pemOf = ({ key }: Client) => key.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
  const publicPem = ({ key }: Client) =>
    createPublicKey(key.privateKey).export({ format: 'pem', type: 'spki' }).toString();

  test.each<[string, () => string]>([
    ['a private PEM', () => pemOf(enrolled)],
    ['the same on one line, with a BOM', () => `\uFEFF${pemOf(enrolled).replaceAll('\n', ' ')}`],
    [
      'a private JWK with null members',
      () => JSON.stringify({ ...enrolled.key.privateKey.export({ format: 'jwk' }), x5c: null }),
    ],
    ['a service account', () => JSON.stringify({ type: 'service_account', private_key: pemOf(enrolled) })],
    ['a public PEM with text around', () => `found in a log:\n${publicPem(enrolled)}\n-- `],
    ['a JWK Set', () => JSON.stringify({ keys: [withPem(makeKey('ES256')), withPem(enrolled.key)] })],
    ['a key in a diff', () => `@@ -0,0 +1,5 @@\n${pemOf(enrolled).replace(/^(?=.)/gm, '+')}`],
    ['a secret of Kubernetes', () => `tls.key: ${Buffer.from(pemOf(enrolled)).toString('base64')}`],
    ['its mark', () => `rekeyd-key:${keyNames(enrolled.key.privateKey).thumbprint}\n`],
    ['its thumbprint', () => keyNames(enrolled.key.privateKey).thumbprint ?? ''],
    ['its kid', () => `${enrolled.key.kid}\n`],
  ])('tells whose %s is, and that it signs in', async (what, text) => {
    const { code, document, stdout } = await one('-', text());
    expect([code, document.matches]).toEqual([
      0,
      [
        {
          client: enrolled.ref,
          client_id: enrolled.clientId,
          known: true,
          kid: enrolled.key.kid,
          state: 'active',
          reported: false,
          by: BY[what] ?? 'key',
          published: true,
          sign_in: 'accepted',
          detail: null,
        },
      ],
    ]);
    expectNothingOf(enrolled.key.privateKey, stdout);
  });

  test('knows a thumbprint, in a file or in its place, and a foreign key by its private half alone', async () => {
    const thumbprint = await calculateJwkThumbprint(found.key.jwk);
    const file = join(world.dir, 'thumbprint');
    await writeFile(file, thumbprint);
    for (const given of [file, thumbprint]) {
      expect((await one(given)).document.matches).toMatchObject([
        {
          client: found.ref,
          state: 'foreign',
          sign_in: null,
          detail: expect.stringContaining('private half is not here'),
        },
      ]);
    }
    const { document } = await one('-', pemOf(found));
    expect(document).toMatchObject({
      keys: [{ thumbprint, private: true }],
      matches: [{ client: found.ref, state: 'foreign', sign_in: 'accepted' }],
    });
    const told = await world.run(['identify'], {}, pemOf(found));
    expect(told.stdout).toMatch(new RegExp(`^${found.ref} .*published, not ours +yes$`, 'm'));
  });

  test('asks the lists where the store knows nobody', async () => {
    const fresh = world.addClient('kid-app');
    const { document } = await one('-', pemOf(fresh));
    expect(document.matches).toMatchObject([{ client: fresh.ref, known: false, sign_in: 'accepted' }]);
  });

  test('says that nobody has a key, and writes nothing', async () => {
    const before = documentOf(await world.run(['store', 'status', '--json'])).entries;
    const nobody = makeKey('ES256').privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
    const { code, document, stderr } = await one('-', nobody);
    expect([code, document.matches]).toEqual([1, []]);
    expect(stderr).toContain('Nobody has this key');
    expect(documentOf(await world.run(['store', 'status', '--json'])).entries).toBe(before);
  });

  test.each<[string, string, RegExp]>([
    ['nothing', '', /It is empty/],
    ['JSON that is cut off', '{"kty":"EC"', /like JSON and is none/],
    ['a secret', '{"kty":"oct","k":"c2VjcmV0"}', /no asymmetric key/],
    ['a PEM that is damaged', '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----', /No key of this PEM/],
    ['an encrypted PEM', '-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----', /-pubout/],
    ['prose', 'this is not a key', /neither a PEM nor a JWK/],
  ])('%s is refused with what it is', async (_, text, message) => {
    const ended = await world.run(['identify', '-'], {}, text);
    expect(ended.code).toBe(1);
    expect(ended.stderr).toMatch(message);
    if (text !== '') expect(ended.stderr).not.toContain(text);
  });

  test('a file that is not there is wrong usage', async () => {
    expect(await world.run(['identify', 'nowhere.pem'])).toMatchObject({ code: 2, stdout: '' });
  });
});

describe('release', () => {
  test('hands the key over in a file of its own, and never over another', async () => {
    const client = await world.enrolledClient('pem-app');
    const file = join(world.dir, 'handed-over.pem');
    await writeFile(file, 'theirs');
    const refused = await world.run(['release', client.ref, '--to', file]);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(/is there already, and is not overwritten.*Nothing was released/);
    expect(await readFile(file, 'utf8')).toBe('theirs');
    const fresh = join(world.dir, 'fresh.jwk');
    const done = await world.run(['release', client.ref, '--to', fresh, '--reason', 'they do it themselves', '--json']);
    expect(done.code, done.stderr).toBe(0);
    expect(documentOf(done)).toEqual({ client: client.ref, kid: client.key.kid, alg: 'ES256', file: fresh });
    expect((await stat(fresh)).mode & 0o777).toBe(0o600);
    const { d, kid } = JSON.parse(await readFile(fresh, 'utf8'));
    expect([d, kid]).toEqual([client.key.privateKey.export({ format: 'jwk' }).d, client.key.kid]);
    expect(done.stdout + done.stderr).not.toContain(d);

    const [shown] = documentOf(await world.run(['status', client.ref, '--json'])).clients;
    expect(shown).toMatchObject({ state: 'found', enrolment: 'found', active: null, next_due: null });
    const tail = documentOf(await world.run(['audit', 'tail', '--json']));
    expect(tail.at(-1)).toMatchObject({
      type: 'client.released',
      client: client.ref,
      reason: 'they do it themselves',
      data: { kid: client.key.kid, from: 'enrolled', file: fresh },
    });
    // The application goes on with the key in its folder.
    const current = join(world.dir, 'data', 'keys', client.ref, 'current.jwk.json');
    expect(JSON.parse(await readFile(current, 'utf8')).kid).toBe(client.key.kid);
    expect((await world.run(['release', client.ref])).stderr).toMatch(/nothing to hand over/);
    // And may be given back.
    const again = await world.run(['keys', 'import', client.ref, '--file', fresh, '--enroll']);
    expect(again.code, again.stderr).toBe(0);
  });

  test('without a file leaves the key where its application reads it, and nowhere else', async () => {
    const client = await world.enrolledClient('pem-app');
    const done = await world.run(['release', client.ref]);
    expect(done.code, done.stderr).toBe(0);
    expect(done.stdout).toContain(`${client.ref} is released: its key ${client.key.kid} (ES256) is yours.`);
    expect(done.stderr).toContain('Its key folder stays as it is');
    const { matches } = documentOf(await world.run(['identify', '-', '--json'], {}, client.key.kid));
    expect(matches).toMatchObject([{ client: client.ref, state: 'foreign', sign_in: null }]);
  });

  test('is refused while a rotation runs, and of a client that nobody knows', async () => {
    const client = await world.enrolledClient('pem-app');
    const match = { ...CHANGE, client: client.id };
    const stall = world.emulator.faults.add({ kind: 'stall', when: 'before', match, times: Number.POSITIVE_INFINITY });
    const asked = await world.run(['rotate', client.ref]);
    expect(asked.code, asked.stderr).toBe(0);
    const service = await world.start('--no-schedule', '--no-http');
    await until('its PATCH is under way', (saw) => saw(stall.fired) > 0);
    const file = join(world.dir, 'not-written.pem');
    const refused = await world.run(['release', client.ref, '--to', file]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/rotation \S+ is under way, so it cannot be released.*rekeyd abandon/);
    await expect(readFile(file)).rejects.toThrow('ENOENT');
    service.kill('SIGKILL');
    await service.ended;
    world.emulator.faults.clear();
    const unknown = await world.run(['release', `${client.ref}0`]);
    expect([unknown.code, unknown.stderr]).toEqual([
      1,
      `rekeyd: ${client.ref}0 is not known: there is nothing to release.\n`,
    ]);
  });
});

test.each([['rollback'], ['release']])('%s of nothing is wrong usage', async (command) => {
  const ended = await world.run([command]);
  expect(ended.code, ended.stderr).toBe(2);
  expect(ended.stderr).toContain("missing required argument 'client'");
});
