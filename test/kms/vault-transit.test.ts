/** KEKs in the Transit engine of Vault: what they protect, and each day on which it does not do what it is asked. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeProtectedHeader } from 'jose';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { Secret } from '../../src/config/secret.ts';
import type { VaultAuthConfig } from '../../src/config/vault.ts';
import { type FreshKey, generateKey } from '../../src/keys/generate.ts';
import type { Kek } from '../../src/keys/kek.ts';
import { openKey, rewrapKey, sealKey } from '../../src/keys/sealed.ts';
import { signDocument, verifyDocument } from '../../src/keys/signed.ts';
import { openKek } from '../../src/kms/open.ts';
import { startTransit, TRANSIT_TOKEN, type Transit, type TransitMood } from '../support/transit.ts';

const REF = '185019846023/mcp-auth/4711';
const OTHER = '185019846023/mcp-auth/4712';
const LOCAL: Kek = { id: 'local', key: Buffer.alloc(32, 7) };

let key: FreshKey;
beforeAll(async () => {
  key = await generateKey('ES256');
});
const bound = (ref = REF) => ({ ref, thumbprint: key.thumbprint, alg: key.alg });

interface KekOptions {
  readonly id?: string;
  readonly name?: string;
  readonly token?: string;
  readonly auth?: VaultAuthConfig;
}

function kekAt(
  { url }: Transit,
  { id = 'vault', name = 'rekeyd', token = TRANSIT_TOKEN, ...more }: KekOptions = {},
): Kek {
  const { auth = { kind: 'token', token: new Secret(token) } } = more;
  const at = { url, mount: 'transit', key: name, auth, namespace: null };
  const route = { proxy: null, authorities: [] };
  return openKek({ id, kind: 'vault_transit', ...at, timeoutMs: 2_000, route });
}

test('a key comes back as it was, and each has a data key of its own that the header carries wrapped', async () => {
  const transit = await startTransit();
  const keks = [kekAt(transit)];
  const [jwe, again] = await Promise.all([
    sealKey(key.privateKey, bound(), keks),
    sealKey(key.privateKey, bound(), keks),
  ]);
  expect((await openKey(jwe, bound(), keks)).keyObject().equals(key.privateKey.keyObject())).toBe(true);
  const header = decodeProtectedHeader(jwe);
  expect(header).toMatchObject({ alg: 'dir', enc: 'A256GCM', kid: 'vault', client: REF, jkt: key.thumbprint });
  expect(header.wrapped).toMatch(/^vault:v1:/);
  expect(decodeProtectedHeader(again).wrapped).not.toBe(header.wrapped);
});

describe('what is not trusted', () => {
  test('a key that was moved to another client', async () => {
    const keks = [kekAt(await startTransit())];
    const jwe = await sealKey(key.privateKey, bound(), keks);
    await expect(openKey(jwe, bound(OTHER), keks)).rejects.toMatchObject({
      code: 'key_tampered',
      message: expect.stringContaining(OTHER),
    });
  });

  test('a key whose wrapped data key is that of another', async () => {
    const keks = [kekAt(await startTransit())];
    const [jwe, other] = [await sealKey(key.privateKey, bound(), keks), await sealKey(key.privateKey, bound(), keks)];
    const [, ...rest] = jwe.split('.');
    await expect(openKey([other.split('.')[0], ...rest].join('.'), bound(), keks)).rejects.toMatchObject({
      code: 'key_tampered',
    });
  });

  test('a key under the same id at another key of the service', async () => {
    const transit = await startTransit();
    transit.keys.set('another', Buffer.alloc(32, 1));
    const jwe = await sealKey(key.privateKey, bound(), [kekAt(transit)]);
    await expect(openKey(jwe, bound(), [kekAt(transit, { name: 'another' })])).rejects.toMatchObject({
      code: 'key_tampered',
      message: expect.stringContaining('does not decrypt with the KEK vault'),
    });
  });

  test('a document that was signed for another purpose, or by somebody with the wrapped key alone', async () => {
    const keks = [kekAt(await startTransit())];
    const signed = await signDocument('text', 'tokens', keks);
    expect(await verifyDocument(signed, 'tokens', keks)).toBe('text');
    await expect(verifyDocument(signed, 'claims', keks)).rejects.toMatchObject({ code: 'key_tampered' });
    const [header, , signature] = signed.split('.');
    const forged = [header, Buffer.from('other').toString('base64url'), signature].join('.');
    await expect(verifyDocument(forged, 'tokens', keks)).rejects.toMatchObject({ code: 'key_tampered' });
  });
});

test.each<[TransitMood | 'token' | 'no key', RegExp]>([
  ['away', /^KEK vault: Vault at \S+ cannot be reached \(.*Look at Vault/],
  [
    'sealed',
    /^KEK vault: Vault at \S+ is sealed, or stands by \(503: Vault is sealed\), .*\. Unseal it: .* Until then no new key/,
  ],
  ['forbidden', /refuses the token.*\(403: .*permission denied/],
  ['throttled', /is asked too often \(429: .*quota exceeded\).*Raise its rate limit quota, or wait\. Until/],
  ['nonsense', /cannot be reached \(the answer \(200\) is a page, and no JSON\)/],
  ['token', /refuses the token/],
  ['no key', /refuses \(400: encryption key not found\).*Look whether the key exists/],
])('a Vault that is %s is told as that, and trying again may help', async (mood, why) => {
  const transit = await startTransit();
  const fine = [kekAt(transit)];
  const jwe = await sealKey(key.privateKey, bound(), fine);
  if (mood === 'no key') transit.keys.clear();
  else if (mood !== 'token') transit.mood = mood;
  const keks = mood === 'token' ? [kekAt(transit, { token: 'hvs.another' })] : fine;
  const unavailable = { code: 'kms_unavailable', message: expect.stringMatching(why) };
  await expect(sealKey(key.privateKey, bound(), keks)).rejects.toMatchObject(unavailable);
  await expect(openKey(jwe, bound(), keks)).rejects.toMatchObject(unavailable);
  await expect(signDocument('text', 'tokens', keks)).rejects.toMatchObject(unavailable);
  expect(String((await openKey(jwe, bound(), keks).catch((error) => error)).message)).not.toContain('hvs.');
});

test('keys move between a local KEK and the service, both ways, and remember both', async () => {
  const vault = kekAt(await startTransit());
  const local = await sealKey(key.privateKey, bound(), [LOCAL]);
  const wrapped = (await rewrapKey(local, bound(), [vault, LOCAL])) ?? '';
  expect(decodeProtectedHeader(wrapped)).toMatchObject({ kid: 'vault', before: ['local'] });
  expect(await rewrapKey(wrapped, bound(), [vault, LOCAL])).toBeNull();
  const back = (await rewrapKey(wrapped, bound(), [LOCAL, vault])) ?? '';
  expect(decodeProtectedHeader(back)).toMatchObject({ alg: 'A256GCMKW', kid: 'local', before: ['vault', 'local'] });
  expect((await openKey(back, bound(), [LOCAL])).keyObject().equals(key.privateKey.keyObject())).toBe(true);
});

test('the service is asked once for the keys of documents, so that one that is away shuts nobody out', async () => {
  const transit = await startTransit();
  const [signer, reader] = [[kekAt(transit)], [kekAt(transit)]];
  const signed = await signDocument('1', 'tokens', signer);
  const second = await signDocument('2', 'tokens', signer);
  expect(await verifyDocument(signed, 'tokens', reader)).toBe('1');
  // Each key that is made is seen to unwrap, too.
  expect(transit.calls).toEqual(['encrypt rekeyd', 'decrypt rekeyd', 'decrypt rekeyd']);
  transit.mood = 'away';
  expect(await verifyDocument(second, 'tokens', reader)).toBe('2');
  const stranger = [kekAt(transit)];
  await expect(verifyDocument(signed, 'tokens', stranger)).rejects.toMatchObject({ code: 'kms_unavailable' });
  transit.mood = 'well';
  expect(await verifyDocument(signed, 'tokens', stranger)).toBe('1');
});

test.each(['app_role', 'kubernetes'] as const)(
  'by %s it logs in once, again when its token is lost, and gives it back',
  async (kind) => {
    const transit = await startTransit();
    const { vault } = transit;
    const dir = await mkdtemp(join(tmpdir(), 'rekeyd-transit-'));
    onTestFinished(() => rm(dir, { recursive: true }));
    const tokenFile = join(dir, 'token');
    await writeFile(tokenFile, 'jwt-1\n');
    vault.login.jwts.add('jwt-1');
    vault.login.policy = 'root';
    const auth: VaultAuthConfig =
      kind === 'app_role'
        ? { kind, mount: 'approle', roleId: 'role-1', secretId: new Secret('secret-1') }
        : { kind, mount: 'kubernetes', role: 'role-1', tokenFile };
    const kek = kekAt(transit, { auth });
    const logins = () => vault.calls.filter((call) => call.endsWith('/login')).length;
    const jwes = await Promise.all([1, 2, 3].map(() => sealKey(key.privateKey, bound(), [kek])));
    expect(logins()).toBe(1);
    vault.passed += 7_200; // all leases ended
    expect((await openKey(jwes[0] ?? '', bound(), [kek])).thumbprint).toBe(key.thumbprint);
    expect(logins()).toBe(2);
    vault.login.ttlSeconds = 1;
    await ('kms' in kek && kek.kms.release());
    expect(
      [...vault.tokens.values()].filter(({ policy, ttlSeconds }) => policy === 'root' && ttlSeconds > 0),
    ).toHaveLength(1);
    // It can be asked again; a login that is refused says what to do about that.
    expect((await openKey(jwes[1] ?? '', bound(), [kek])).thumbprint).toBe(key.thumbprint);
    await ('kms' in kek && kek.kms.release());
    vault.interfere = (path) =>
      path.endsWith('/login') ? { status: 400, body: { errors: ['no secret-1, jwt-1'] } } : null;
    await expect(openKey(jwes[2] ?? '', bound(), [kek])).rejects.toMatchObject({
      code: 'kms_unavailable',
      message: expect.stringMatching(
        /refuses \(400: .*logging in at auth\/.*Check what auth says, and the role at Vault/,
      ),
    });
  },
);
