/** KEKs in AWS KMS, against Moto, with the AWS SDK. */
import { CreateKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import { decodeProtectedHeader } from 'jose';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { type FreshKey, generateKey } from '../../src/keys/generate.ts';
import type { Kek } from '../../src/keys/kek.ts';
import { openKey, rewrapKey, sealKey } from '../../src/keys/sealed.ts';
import { signDocument, verifyDocument } from '../../src/keys/signed.ts';
import { openKek } from '../../src/kms/open.ts';
import { startMoto, stopMoto } from '../support/moto.ts';
import { withoutModule } from '../support/python.ts';

const REF = '185019846023/mcp-auth/4711';
const OTHER = '185019846023/mcp-auth/4712';
const REGION = 'eu-central-1';

const WITHOUT = await withoutModule('moto');

let key: FreshKey;

beforeAll(async () => {
  // Where the SDK looks first. It asks no other machine then.
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'test');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'test');
  key = await generateKey('ES256');
});
afterAll(async () => {
  await stopMoto();
  vi.unstubAllEnvs();
});
beforeEach(({ skip }) => skip(WITHOUT !== null, WITHOUT ?? ''));

/** A key of AWS KMS, and what stands before it. */
async function start() {
  const front = await startMoto();
  const client = new KMSClient({ region: REGION, endpoint: front.url });
  const { KeyMetadata: made } = await client.send(new CreateKeyCommand({}));
  client.destroy();
  front.calls.length = 0;
  return { front, keyId: made?.Arn ?? '' };
}

function kekAt(endpoint: string, keyId: string): Kek {
  return openKek({ id: 'aws', kind: 'aws_kms', keyId, region: REGION, endpoint, timeoutMs: 5_000 });
}

const bound = (ref = REF) => ({ ref, thumbprint: key.thumbprint, alg: key.alg });

test('a key comes back as it was, is bound to its client, and moves to a local KEK and back', async () => {
  const { front, keyId } = await start();
  const aws = kekAt(front.url, keyId);
  const jwe = await sealKey(key.privateKey, bound(), [aws]);
  expect((await openKey(jwe, bound(), [aws])).keyObject().equals(key.privateKey.keyObject())).toBe(true);
  expect(decodeProtectedHeader(jwe)).toMatchObject({ alg: 'dir', kid: 'aws', client: REF, jkt: key.thumbprint });
  expect(front.calls).toEqual(['Encrypt', 'Decrypt', 'Decrypt']);
  await expect(openKey(jwe, bound(OTHER), [aws])).rejects.toMatchObject({ code: 'key_tampered' });

  const local: Kek = { id: 'local', key: Buffer.alloc(32, 7) };
  const moved = (await rewrapKey(jwe, bound(), [local, aws])) ?? '';
  const back = (await rewrapKey(moved, bound(), [aws, local])) ?? '';
  expect(decodeProtectedHeader(back)).toMatchObject({ kid: 'aws', before: ['local', 'aws'] });
  expect((await openKey(back, bound(), [aws])).keyObject().equals(key.privateKey.keyObject())).toBe(true);
});

test('documents are signed under a key that the service wrapped', async () => {
  const { front, keyId } = await start();
  const signed = await signDocument('text', 'tokens', [kekAt(front.url, keyId)]);
  const reader = [kekAt(front.url, keyId)];
  expect(await verifyDocument(signed, 'tokens', reader)).toBe('text');
  front.refuses = 'away';
  expect(await verifyDocument(signed, 'tokens', reader)).toBe('text');
  await expect(verifyDocument(signed, 'claims', reader)).rejects.toMatchObject({ code: 'kms_unavailable' });
});

test.each([
  ['away', /cannot be asked \(.*Look at AWS KMS/],
  ['DisabledException', /is disabled\. Enable it\. Until then no new key/],
  ['KMSInvalidStateException', /not in a state.*Cancel its deletion/],
  ['NotFoundException', /does not exist\. Correct key_id and region/],
  ['AccessDeniedException', /may not be used by rekeyd\. Allow kms:Encrypt and kms:Decrypt/],
  ['ThrottlingException', /is asked too often/],
])('a key that is refused with %s is told as that, and trying again may help', async (name, why) => {
  const { front, keyId } = await start();
  const keks = [kekAt(front.url, keyId)];
  const jwe = await sealKey(key.privateKey, bound(), keks);
  front.refuses = name;
  const unavailable = { code: 'kms_unavailable', message: expect.stringMatching(why) };
  await expect(sealKey(key.privateKey, bound(), keks)).rejects.toMatchObject(unavailable);
  await expect(openKey(jwe, bound(), keks)).rejects.toMatchObject(unavailable);
  front.refuses = null;
  expect((await openKey(jwe, bound(), keks)).thumbprint).toBe(key.thumbprint);
});

test('what another key of the service wrapped is not trusted', async () => {
  const { front, keyId } = await start();
  const keks = [kekAt(front.url, keyId)];
  const jwe = await sealKey(key.privateKey, bound(), keks);
  front.refuses = 'IncorrectKeyException';
  await expect(openKey(jwe, bound(), keks)).rejects.toMatchObject({ code: 'key_tampered' });
});
