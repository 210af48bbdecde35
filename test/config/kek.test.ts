/** KEKs that a service keeps, as the config has them. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { changesBetween } from '../../src/config/changes.ts';
import { parseConfig } from '../../src/config/load.ts';
import { env, folder, write } from './write.ts';

const EXAMPLE = new URL('../../rekeyd.example.yaml', import.meta.url);
const TRANSIT = { url: 'https://vault.example.com', key: 'rekeyd', token: 'env:TOKEN' };

const read = (keks: readonly object[], token = 'hvs.1') =>
  parseConfig(write({ encryption: { keks } }), { file: join(folder, 'rekeyd.yaml'), env: { ...env, TOKEN: token } });

test('those of the example are accepted', async () => {
  const lines = (await readFile(EXAMPLE, 'utf8')).matchAll(/^ {4}# (- \{ id: \S+, (?:vault_transit|aws_kms): .*)$/gm);
  const keks = [...lines].map(([, line = '']) => parse(line.replace('file:./secrets/vault_token', 'env:TOKEN'))[0]);
  expect(keks).toHaveLength(2);
  const { encryption } = await read(keks);
  expect(encryption.keks).toMatchObject([
    { id: 'vault-2026-11', kind: 'vault_transit', mount: 'transit', key: 'rekeyd', namespace: null, timeoutMs: 5_000 },
    { id: 'aws-2026-11', kind: 'aws_kms', keyId: 'alias/rekeyd', region: 'eu-central-1', endpoint: null },
  ]);
  expect(JSON.stringify(encryption)).not.toContain('hvs.1');
});

test.each<[string, object, RegExp]>([
  [
    'one without anything',
    { id: 'k' },
    /encryption\.keks\[0\]\.key.* is missing: write key.*or vault_transit or aws_kms/,
  ],
  ['one with two', { id: 'k', vault_transit: TRANSIT, aws_kms: { key_id: 'a' } }, /must stand alone/],
  [
    'a server over plain HTTP',
    { id: 'k', vault_transit: { ...TRANSIT, url: 'http://vault.example.com' } },
    /write https/,
  ],
  ['a path out of the engine', { id: 'k', vault_transit: { ...TRANSIT, key: '../sys' } }, /is not a path in Vault/],
  [
    'no way to log in',
    { id: 'k', vault_transit: { ...TRANSIT, token: undefined } },
    /auth.* is missing: write auth, or token alone/,
  ],
  [
    'two ways to log in',
    { id: 'k', vault_transit: { ...TRANSIT, auth: { token: 'env:TOKEN' } } },
    /must not stand beside token/,
  ],
  ['a token in the config', { id: 'k', vault_transit: { ...TRANSIT, token: 'hvs.2' } }, /must not stand in the config/],
  ['a key id with blanks', { id: 'k', aws_kms: { key_id: 'my key' } }, /is no key of AWS KMS/],
  ['an unknown setting', { id: 'k', aws_kms: { key_id: 'a', keyid: 'b' } }, /keyid/],
])('%s is refused', async (_, kek, why) => {
  const problem = await read([kek]).then(
    () => 'accepted',
    (error: Error) => error.message,
  );
  expect(problem).toMatch(why);
  expect(problem).not.toContain('hvs.2');
});

test.each<[string, object, object]>([
  ['token', { token: 'env:TOKEN' }, { kind: 'token' }],
  [
    'app_role',
    { app_role: { role_id: 'r', secret_id: 'env:TOKEN' } },
    { kind: 'app_role', mount: 'approle', roleId: 'r' },
  ],
  ['kubernetes', { kubernetes: { role: 'r' } }, { kind: 'kubernetes', mount: 'kubernetes', role: 'r' }],
])('the login %s of Vault is taken, as that of the sink', async (_, auth, kept) => {
  const { encryption } = await read([{ id: 'k', vault_transit: { ...TRANSIT, token: undefined, auth } }]);
  expect(encryption.keks).toMatchObject([{ kind: 'vault_transit', auth: kept }]);
  expect(JSON.stringify(encryption)).not.toContain('hvs.1');
});

test('a reload tells another token, and another place, by name alone', async () => {
  const before = await read([{ id: 'k', vault_transit: TRANSIT }]);
  expect(changesBetween(before, await read([{ id: 'k', vault_transit: TRANSIT }]))).toEqual([]);
  expect(changesBetween(before, await read([{ id: 'k', vault_transit: TRANSIT }], 'hvs.3'))).toEqual(['KEK k: auth']);
  const moved = await read([{ id: 'k', vault_transit: { ...TRANSIT, key: 'other' } }]);
  expect(changesBetween(before, moved)).toEqual(['KEK k: another value']);
});
