/** Config texts that once made the reader hang, crash, or take what it should refuse. The random search for more is in `test/fuzz`. */
import { expect, test } from 'vitest';
import { app, deployment, inApp, inDeployment, inPolicy, refusal, useFolder, write } from './write.ts';

useFolder();

test.each<[string, string, string]>([
  ['a range without end in a schedule', inPolicy({ schedule: '0-99999999 * * * *' }), 'is not a schedule'],
  ['a schedule of many parts', inPolicy({ schedule: `${'1,'.repeat(500)}1 * * * *` }), 'is not a schedule'],
  ['a duration that no date can hold', inPolicy({ rotate_every: '100000000d' }), 'is too long: write at most 3650d'],
  ['a time-out that no timer can hold', inDeployment({ timeout: '30d' }), 'is too long: write at most 1d'],
  ['a grace period that no timer can hold', write({ shutdown_grace: '25d' }), 'is too long: write at most 1d'],
  ['a path that no system takes', write({ data_dir: 'a\0b' }), 'is not a path'],
  [
    'an environment variable that only looks like one',
    write({ encryption: { keks: [{ id: 'k', key: 'env:constructor' }] } }),
    'the environment variable is not set',
  ],
  [
    'another of these',
    write({ http: { tls: { cert: 'env:toString', key: 'env:KEK' } } }),
    'the environment variable is not set',
  ],
  [
    'a policy that an object cannot hold',
    write({ policies: {} }).replace('"policies":{}', '"policies":{"__proto__":{"alg":"none"}}'),
    '"__proto__" cannot be a name',
  ],
  [
    'a host that an object cannot hold',
    inApp({ resolve: {} }).replace('"resolve":{}', '"resolve":{"__proto__":"http://127.0.0.1:1"}'),
    '"__proto__" cannot be a name',
  ],
  ['a setting that is written twice', 'data_dir: a\ndata_dir: b', 'Map keys must be unique'],
  [
    'a secret in a file without end',
    write({ encryption: { keks: [{ id: 'k', key: 'file:/dev/zero' }] } }),
    '/dev/zero is larger than 4 MiB',
  ],
  ['a file of another kind', ' '.repeat(1024 * 1024 + 1), 'which no config is'],
])('%s is refused', async (_, text, message) => {
  expect((await refusal(text)).message).toContain(message);
});

test('aliases by the thousand are refused as soon as they are seen', async () => {
  const text = `a: &a x\nb: [${'*a,'.repeat(100_000)}*a]`;
  expect((await refusal(text)).message).toContain('not usable YAML');
});

test('of thousands of problems the first are shown, and how many more there are', async () => {
  const apps = Array.from({ length: 3_000 }, (_, at) => app({ slug: `a/${at}` }));
  const { problems } = await refusal(write({ deployments: [deployment({ apps })] }));
  expect(problems).toHaveLength(501);
  expect(problems.at(-1)?.message).toBe('and 2500 more');
});
