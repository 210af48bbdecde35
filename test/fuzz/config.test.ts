import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Config } from '../../src/config/model.ts';
import { isSegment } from '../../src/core/client.ts';
import { API_KEY, KEK, read, write } from '../config/write.ts';
import { came, fuzz, mutated, oddJson, piecesOf } from './cases.ts';

const YEARS_MS = 3650 * 86_400_000;
const FULL = write({
  data_dir: './data',
  redis: { url: 'env:REDIS' },
  policies: { default: { schedule: '0 3 * * *', windows: ['Mon-Thu 01:00-05:00'], rotate_every: '30d' } },
  publish: { base_url: 'https://keys.example.com' },
  http: { listen: '127.0.0.1:8080', public: '127.0.0.1:8081', rate_limit: { max: 10, per: '1s' } },
});

/** Texts that were trouble once, here or elsewhere. */
const CORPUS = [
  '',
  'null',
  '42',
  '[]',
  '{',
  '\uFEFFa: 1',
  'a: 1\n---\nb: 2',
  '%YAML 9.9\n---\n{}',
  '<<: &x {<<: *x}',
  'a: &x [*x]',
  'a: *nothing',
  'c: !!omap [1]\nd: !!binary "////"\n? [1, 2]\n: x',
  '['.repeat(5_000),
  `${'{a: '.repeat(1_400)}1${'}'.repeat(1_400)}`,
  `a: &a x\nb: [${'*a,'.repeat(3_000)}*a]`,
  `${'k'.repeat(100_000)}: 1`,
  `{${'k'.repeat(100_000)}: 1}`,
  Array.from({ length: 1_000 }, (_, at) => `k${at}: 1`).join('\n'),
  'x'.repeat(1024 * 1024 + 1),
  write({ policies: { default: { schedule: '0-99999999 * * * *' } } }),
  write({ policies: { default: { schedule: '1,'.repeat(50_000) } } }),
  write({ policies: { default: { rotate_every: '100000000d' } } }),
  write({ shutdown_grace: '30d' }),
  write({ data_dir: 'a\0b' }),
  write({ http: { tls: { cert: 'env:constructor', key: 'env:KEK' } } }),
  write({ encryption: { keks: [{ id: 'k', key: 'env:constructor' }] } }),
  write({ policies: {} }).replace('"policies":{}', '"policies":{"__proto__":{"alg":"none"}}'),
  write({ policies: { constructor: { alg: 'ES256' } } }),
];

function check(config: Config): void {
  expect(config.encryption.keks.map((kek) => (kek.kind === 'local' ? kek.key.revealBytes().length : 32))).toEqual(
    config.encryption.keks.map(() => 32),
  );
  const names = config.deployments.flatMap(({ id, apps }) => [id, ...apps.map(({ slug }) => slug)]);
  expect(names.filter((name) => !isSegment(name))).toEqual([]);
  for (const policy of Object.values(config.policies)) {
    for (const ms of [policy.rotateEveryMs, policy.splayMs, policy.overlapMs, policy.propagationMs]) {
      expect(ms >= 0 && ms <= YEARS_MS).toBe(true);
    }
  }
  // What a timer of Node takes at most.
  for (const ms of [config.shutdownGraceMs, ...config.deployments.map(({ timeoutMs }) => timeoutMs)]) {
    expect(ms < 2 ** 31).toBe(true);
  }
  for (const { apiUrl } of config.deployments) {
    expect(apiUrl).toMatch(/^(?:https:\/\/|http:\/\/(?:127\.|\[::1\]|(?:[^/]+\.)?localhost(?![^/:])))/);
  }
  expect(JSON.stringify(config)).not.toContain(KEK);
}

const atPlaces = fc.constantFrom(
  'data_dir',
  'redis',
  'durability',
  'encryption',
  'deployments',
  'policies',
  'sinks',
  'http',
  'publish',
);
const texts = fc.oneof(
  mutated(FULL),
  fc.dictionary(atPlaces, oddJson, { maxKeys: 4 }).map((top) => write(top)),
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc
    .array(
      fc.constantFrom(
        'a: ',
        '- ',
        '\n',
        '  ',
        '&x ',
        '*x',
        '"',
        "'",
        '|',
        '{',
        '}',
        '[',
        ']',
        '? ',
        '!!set ',
        '#',
        '---',
      ),
      { maxLength: 60 },
    )
    .map((parts) => parts.join('')),
);

test('any text is a config that can be used, or is refused without showing a secret', async () => {
  await fuzz(
    texts,
    CORPUS,
    async (text) => {
      const result = await came(() => read(text), [...piecesOf(KEK), API_KEY, 'hidden']);
      if ('value' in result) check(result.value);
    },
    0.5,
  );
});

test('a whole config is accepted, so that not everything is refused', async () => {
  check(await read(FULL));
});
