import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { CompactEncrypt, decodeProtectedHeader } from 'jose';
import { beforeAll, describe, expect, test } from 'vitest';
import { ALGORITHMS } from '../../src/core/keys.ts';
import { hasCode } from '../../src/errors.ts';

import { type FreshKey, generateKey } from '../../src/keys/generate.ts';
import type { Kek } from '../../src/keys/kek.ts';
import { openKey, rewrapKey, sealKey } from '../../src/keys/sealed.ts';

const ref = '185019846023/mcp-auth/4711';
const first: Kek = { id: 'kek-2', key: randomBytes(32) };
const old: Kek = { id: 'kek-1', key: randomBytes(32) };

let key: FreshKey;
let other: FreshKey;
let jwe: string;

beforeAll(async () => {
  [key, other] = await Promise.all([generateKey('ES256'), generateKey('ES256')]);
  jwe = await sealKey(key.privateKey, { ref, thumbprint: key.thumbprint }, [first]);
});

/** The error's code, or which key came out. */
async function outcome(
  text: string,
  expected = { ref, thumbprint: key.thumbprint, alg: key.alg },
  keks = [first],
): Promise<string> {
  try {
    const opened = await openKey(text, expected, keks);
    return opened.keyObject().equals(key.privateKey.keyObject()) ? 'opened' : 'another key';
  } catch (error) {
    if (hasCode(error, 'key_tampered') || hasCode(error, 'kek_missing')) return error.code;
    throw error;
  }
}

test.each(ALGORITHMS)('a %s key comes back as it was', async (alg) => {
  const made = await generateKey(alg, { modulusLength: 2048 });
  const sealed = await sealKey(made.privateKey, { ref, thumbprint: made.thumbprint }, [first, old]);
  const opened = await openKey(sealed, { ref, thumbprint: made.thumbprint, alg }, [first, old]);
  expect(opened.keyObject().equals(made.privateKey.keyObject())).toBe(true);
  expect(opened).toMatchObject({ thumbprint: made.thumbprint, alg });
});

test('the header says whose key it is', () => {
  expect(decodeProtectedHeader(jwe)).toMatchObject({
    alg: 'A256GCMKW',
    enc: 'A256GCM',
    cty: 'pkcs8',
    kid: 'kek-2',
    client: ref,
    jkt: key.thumbprint,
  });
});

test('a key is never sealed under the name of another', async () => {
  await expect(sealKey(key.privateKey, { ref, thumbprint: other.thumbprint }, [first])).rejects.toMatchObject({
    code: 'key_invalid',
  });
});

describe('a sealed key that is not the one asked for is refused', () => {
  test('as the key of another client', async () => {
    expect(await outcome(jwe, { ref: '185019846023/mcp-auth/4712', thumbprint: key.thumbprint, alg: 'ES256' })).toBe(
      'key_tampered',
    );
  });

  test('as another key of the same client', async () => {
    expect(await outcome(jwe, { ref, thumbprint: other.thumbprint, alg: 'ES256' })).toBe('key_tampered');
  });

  test('as a key for another alg', async () => {
    expect(await outcome(jwe, { ref, thumbprint: key.thumbprint, alg: 'ES384' })).toBe('key_tampered');
  });

  test('when the header is right and the key inside is another', async () => {
    const forged = await new CompactEncrypt(other.privateKey.keyObject().export({ type: 'pkcs8', format: 'der' }))
      .setProtectedHeader({ alg: 'A256GCMKW', enc: 'A256GCM', kid: first.id, client: ref, jkt: key.thumbprint })
      .encrypt(first.key);
    expect(await outcome(forged)).toBe('key_tampered');
  });

  test('when the key inside is right and the header names another', async () => {
    const forged = await new CompactEncrypt(key.privateKey.keyObject().export({ type: 'pkcs8', format: 'der' }))
      .setProtectedHeader({ alg: 'A256GCMKW', enc: 'A256GCM', kid: first.id, client: ref, jkt: other.thumbprint })
      .encrypt(first.key);
    expect(await outcome(forged)).toBe('key_tampered');
  });

  test('when it is wrapped in another way', async () => {
    const forged = await new CompactEncrypt(key.privateKey.keyObject().export({ type: 'pkcs8', format: 'der' }))
      .setProtectedHeader({ alg: 'dir', enc: 'A256GCM', kid: first.id, client: ref, jkt: key.thumbprint })
      .encrypt(first.key);
    expect(await outcome(forged)).toBe('key_tampered');
  });

  test('when the KEK has another value under the same id', async () => {
    expect(await outcome(jwe, undefined, [{ id: first.id, key: randomBytes(32) }])).toBe('key_tampered');
  });
});

test('any changed bit in any part is found', async () => {
  const parts = jwe.split('.').map((part) => Buffer.from(part, 'base64url'));
  const place = fc.integer({ min: 0, max: 4 }).chain((part) =>
    fc.record({
      part: fc.constant(part),
      byte: fc.nat({ max: (parts[part]?.length ?? 1) - 1 }),
      bit: fc.nat({ max: 7 }),
    }),
  );
  await fc.assert(
    fc.asyncProperty(place, async ({ part, byte, bit }) => {
      const changed = parts.map((bytes) => Buffer.from(bytes));
      const bytes = changed[part] ?? Buffer.alloc(1);
      bytes.writeUInt8(bytes.readUInt8(byte) ^ (1 << bit), byte);
      const result = await outcome(changed.map((each) => each.toString('base64url')).join('.'));
      // In the header the flip may hit the KEK's id: then there is no such KEK.
      expect(part === 0 ? ['key_tampered', 'kek_missing'] : ['key_tampered']).toContain(result);
    }),
    { numRuns: 300 },
  );
});

test('text that is no JWE is found', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.string(),
        fc.nat({ max: jwe.length - 1 }).map((end) => jwe.slice(0, end)),
      ),
      async (text) => {
        expect(await outcome(text)).toBe('key_tampered');
      },
    ),
    { numRuns: 100 },
  );
});

describe('KEK rotation', () => {
  test('the first KEK encrypts, all decrypt', async () => {
    const sealed = await sealKey(key.privateKey, { ref, thumbprint: key.thumbprint }, [old]);
    expect(await outcome(sealed, undefined, [first, old])).toBe('opened');
  });

  test('rewrapping puts a key under the first KEK, once', async () => {
    const sealed = await sealKey(key.privateKey, { ref, thumbprint: key.thumbprint }, [old]);
    const rewrapped = await rewrapKey(sealed, { ref, thumbprint: key.thumbprint }, [first, old]);
    expect(await outcome(rewrapped ?? '', undefined, [first])).toBe('opened');
    expect(await rewrapKey(rewrapped ?? '', { ref, thumbprint: key.thumbprint }, [first, old])).toBeNull();
  });

  test("rewrapping does not launder another client's key", async () => {
    const sealed = await sealKey(key.privateKey, { ref, thumbprint: key.thumbprint }, [old]);
    await expect(rewrapKey(sealed, { ref: 'a/b/c', thumbprint: key.thumbprint }, [first, old])).rejects.toMatchObject({
      code: 'key_tampered',
    });
  });

  test('a KEK that is gone is named, and is not called tampering', async () => {
    await expect(openKey(jwe, { ref, thumbprint: key.thumbprint, alg: 'ES256' }, [old])).rejects.toMatchObject({
      code: 'kek_missing',
      message: expect.stringContaining('"kek-2"'),
    });
  });

  test('without any KEK nothing is sealed', async () => {
    await expect(sealKey(key.privateKey, { ref, thumbprint: key.thumbprint }, [])).rejects.toMatchObject({
      code: 'kek_missing',
    });
  });
});
