/** The scanner rules of docs/leaks.md, as text there: they find our key files and nobody else's. */
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CompactSign, calculateJwkThumbprint, importJWK, importPKCS8 } from 'jose';
import { describe, expect, test } from 'vitest';
import { keySetFiles } from '../../src/deliver/key-set.ts';
import { findKeys } from '../../src/leaks/find-keys.ts';
import { contents, sinkKey } from '../deliver/contents.ts';

const DOCS = readFileSync(join(import.meta.dirname, '../../docs/leaks.md'), 'utf8');

const [, gitleaks = ''] = /^regex = '''(.+)'''$/m.exec(DOCS) ?? [];
const [github = '', partner = ''] = [...DOCS.matchAll(/^```text\n(.+)\n```$/gm)].map(([, rule]) => rule ?? '');

const [current, next, previous] = [await sinkKey(), await sinkKey(), await sinkKey()];
const thumbprints = await Promise.all([current, next, previous].map(({ jwk }) => calculateJwkThumbprint(jwk)));

function filesOf(pemComment: boolean): ReadonlyMap<string, string> {
  const files = keySetFiles(contents({ current, next, previous }), pemComment);
  return new Map([...files].map(([name, bytes]) => [name, Buffer.from(bytes).toString()]));
}

const found = (rule: string, text = '') =>
  [...text.matchAll(new RegExp(rule, 'g'))].map(([whole, group]) => group ?? whole);

describe('key files of ours', () => {
  const files = filesOf(true);
  test.each([
    ['current.jwk.json', 0],
    ['next.jwk.json', 1],
    ['previous.jwk.json', 2],
    ['current.pem', 0],
  ] as const)('%s is found, and its mark says whose it is', async (name, index) => {
    const thumbprint = thumbprints[index] ?? '';
    const text = files.get(name) ?? '';
    expect(found(gitleaks, text)).toEqual([thumbprint]);
    expect(found(github, text)).toEqual([`rekeyd-key:${thumbprint}`]);
    const report = [
      { RuleID: 'rekeyd-key', Match: found(github, text)[0], Secret: found(gitleaks, text)[0], Commit: 'a'.repeat(40) },
    ];
    expect(await findKeys(Buffer.from(JSON.stringify(report)))).toMatchObject({ names: [thumbprint] });
    expect(await findKeys(Buffer.from(found(github, text)[0] ?? ''))).toMatchObject({ names: [thumbprint] });
  });

  test.each(['current.jwk.json', 'next.jwk.json', 'previous.jwk.json'])(
    '%s is found whole for a partner',
    async (name) => {
      const [whole = ''] = found(partner, `config: ${files.get(name)}`);
      const { keys } = await findKeys(
        Buffer.from(JSON.stringify([{ token: whole, type: 'rekeyd_key', url: 'https://github.com/x' }])),
      );
      expect(keys).toMatchObject([{ privateKey: expect.anything() }]);
    },
  );

  test('that are public are not found', () => {
    for (const name of ['public.jwks.json', 'meta.json']) {
      for (const rule of [gitleaks, github, partner]) expect(found(rule, files.get(name)), name).toEqual([]);
    }
  });
});

test('keys of others are not found', () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwk = privateKey.export({ format: 'jwk' });
  const others = [
    privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    JSON.stringify({ ...jwk, kid: thumbprints[0], use: 'sig' }),
    JSON.stringify({ keys: [{ ...jwk, 'x-rekeyd': 'rekeyd-key:short' }] }),
  ];
  for (const text of others) for (const rule of [gitleaks, github, partner]) expect(found(rule, text)).toEqual([]);
});

test('readers take our files: a JWK with a member that they do not know, and a PEM without text before it', async () => {
  const files = filesOf(false);
  const readers = [
    importJWK(JSON.parse(files.get('current.jwk.json') ?? ''), 'ES256'),
    importPKCS8(files.get('current.pem') ?? '', 'ES256'),
  ];
  for (const key of await Promise.all(readers)) {
    expect(await new CompactSign(new Uint8Array(1)).setProtectedHeader({ alg: 'ES256' }).sign(key)).toMatch(/^ey/);
  }
  // Why the comment in a PEM is no default.
  await expect(importPKCS8(filesOf(true).get('current.pem') ?? '', 'ES256')).rejects.toThrow(TypeError);
});
