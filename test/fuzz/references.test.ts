import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type ClientRef, makeReference, parseReference, splitReference } from '../../src/core/client.ts';
import { directorySink } from '../../src/deliver/directory.ts';
import { publishFolder } from '../../src/publish/folder.ts';
import { storeKeys } from '../../src/store/keys.ts';
import { createWachtClient } from '../../src/wacht/client.ts';
import { serve } from '../wacht/serve.ts';
import { came, fuzz, mutated, piecesOf, scratchFolder } from './cases.ts';

const names = storeKeys('rekeyd');

const root = await scratchFolder();

const PRIVATE_D = 'Zm9vYmFyYmF6cXV1eGZvb2JhcmJhenF1dXhmb29iYXI';
const KEYS = [
  `{"kty":"EC","d":"${PRIVATE_D}"}`,
  `-----BEGIN PRIVATE KEY-----\n${PRIVATE_D}\n-----END PRIVATE KEY-----`,
];
const CORPUS = [
  ...['', '/', '//', '../../x', 'a/../b', 'a/./b', 'a/b/..', './a/b', 'a/b/c/', 'a/b/c\n', '\na/b/c', 'a/b/c\0'],
  ...[
    'a/b/%2e%2e',
    'a/b/c%2fd',
    'a\\b\\c',
    'C:/a/b',
    'a/b/c?x',
    'a/b/c#x',
    'a/b/\uFF0E\uFF0E',
    'a/b/\u2024\u2024',
    'a//c',
  ],
  ...['__proto__/constructor/toString', '~/~/~', '-/-/-', 'a/b/.hidden', 'a/b/c.', `a/b/${'x'.repeat(129)}`],
  'a'.repeat(1_000_000),
  '/'.repeat(1_000_000),
  ...KEYS,
];
const segment = fc.oneof(
  fc.string({ unit: fc.constantFrom(...'aZ09._~-%/\\: \n\0\u00e9'), maxLength: 6 }),
  fc.stringMatching(/^[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,40}$/),
);
const texts = fc.oneof(
  fc.tuple(segment, segment, segment).map((parts) => parts.join('/')),
  mutated('185019846023/mcp-auth/4711'),
  fc.string({ unit: 'binary' }),
);

test('a reference is three plain names, or it is refused without showing a key that was given by mistake', async () => {
  await fuzz(texts, CORPUS, async (text) => {
    const result = await came(() => parseReference(text), piecesOf(PRIVATE_D));
    if ('error' in result) return expect(result.error).toMatchObject({ code: 'client_reference_invalid' });
    const { deployment, app, id } = splitReference(result.value);
    expect(makeReference(deployment, app, id)).toBe(text);
    for (const name of [deployment, app, id]) {
      expect(name).toMatch(/^[\w~-][\w.~-]{0,127}$/);
      // No name changes in a URL, whoever writes or reads it, and none is a step to somewhere else.
      expect(new URL(`http://h/x/${name}/y`).pathname).toBe(`/x/${name}/y`);
      expect(encodeURIComponent(name)).toBe(name);
    }
    const keys = [names.record(result.value), names.sealed(result.value)];
    expect(keys.every((key) => key.endsWith(`:${text}`))).toBe(true);
  });
});

/** The brand is only made by `parseReference`: these stand for a mistake elsewhere, which must not leave the folder either. */
const unchecked = fc
  .tuple(segment, segment, segment)
  .map((parts) => parts.map((part) => part.replaceAll('/', '') || 'x').join('/') as ClientRef); // on purpose

test('keys are delivered and published below their folders, whatever the reference', async () => {
  const sink = directorySink(join(root, 'inside', 'keys'));
  const folder = publishFolder({ path: join(root, 'inside', 'jwks'), baseUrl: 'https://keys.example.com/base' });
  const contents = {
    clientId: 'c',
    issuer: null,
    alg: 'ES256',
    current: null,
    next: null,
    previous: null,
    updatedAt: 0,
    epoch: 0,
  } as const;
  const odd = ['../../x', '.././..', '%2e%2e/a/b', '__proto__/a/.b', '~/a/b'].map((text) => text as ClientRef); // on purpose
  await fuzz(
    unchecked,
    odd,
    async (ref) => {
      await came(() => sink.deliver({ ...contents, ref }));
      await came(() => folder.write(ref, { keys: [] }));
      const url = new URL(folder.urlFor(ref));
      expect([url.origin, url.pathname.split('/').length, url.search, url.hash]).toEqual([
        'https://keys.example.com',
        5,
        '',
        '',
      ]);
      expect(url.pathname.startsWith('/base/')).toBe(true);
    },
    0.5,
  );
  expect(await readdir(root)).toEqual(['inside']);
  expect((await readdir(join(root, 'inside'))).sort()).toEqual(['jwks', 'keys']);
  for (const name of await readdir(join(root, 'inside', 'keys'))) expect(name).not.toMatch(/^\./);
});

test('the API is asked at the path of the client that is meant', async () => {
  const { origin, requests } = await serve((_, response) => void response.writeHead(404).end());
  const wacht = createWachtClient({
    deployment: '185019846023',
    apiUrl: `${origin}/v1`,
    urlStyle: 'deployment',
    apiKey: { reveal: () => 'key' },
    timeoutMs: 30_000,
    connections: 1,
    clock: { now: () => 0 },
  });
  const document = { public_key_pem: 'x', token_endpoint_auth_signing_alg: 'ES256' };
  const name = fc.stringMatching(/^[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,40}$/);
  const corpus: readonly [string, string][] = [
    ['~', '-'],
    ['a..', 'b...'],
  ];
  await fuzz(fc.tuple(name, name), corpus, async ([app, id]) => {
    await wacht.patchClient(makeReference('185019846023', app, id), document);
    expect(requests.at(-1)?.url).toBe(`/v1/deployments/185019846023/oauth/apps/${app}/clients/${id}`);
  });
  await wacht.close();
});
