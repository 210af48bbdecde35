/** What a reload tells of two configs, and what it may not change. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { changesBetween, fixedChanges } from '../../src/config/changes.ts';
import { parseConfig } from '../../src/config/load.ts';
import { app, deployment, env, folder, useFolder, write } from './write.ts';

useFolder();

const read = (top: object, variables: object = {}) =>
  parseConfig(write({ ...top }), { file: join(folder, 'rekeyd.yaml'), env: { ...env, ...variables } });
const keks = (...ids: string[]) => ({ encryption: { keks: ids.map((id) => ({ id, key: 'env:KEK' })) } });
const cluster = (over: object = {}) => ({ redis: { cluster: ['r:1'], password: 'env:API_KEY', ...over } });

test.each<[string, object, object, string[]]>([
  ['nothing', {}, {}, []],
  ['a default that is written out', {}, { shutdown_grace: '30s' }, []],
  ['top-level settings', {}, { shutdown_grace: '5s', reconcile_every: '5s' }, ['reconcile_every', 'shutdown_grace']],
  ['producers', {}, { queue: { producers: { siem: {} } } }, ['queue']],
  ['sinks', {}, { sinks: [{ kind: 'directory', path: './elsewhere' }] }, ['sinks']],
  [
    'a policy',
    {},
    { policies: { default: { overlap: '1h', foreign_keys: 'retire' } } },
    ['policy default: foreign_keys', 'policy default: overlap'],
  ],
  [
    'policies that come and go',
    { policies: { a: {} } },
    { policies: { b: {} } },
    ['policy a removed', 'policy b added'],
  ],
  ['a deployment', {}, { deployments: [deployment({ timeout: '5s' })] }, ['deployment 1: timeout']],
  [
    'a proxy',
    {},
    { deployments: [deployment({ proxy: 'http://proxy:3128' })] },
    ['deployment 1: proxy or ca', 'app 1/mcp-auth: proxy or ca'],
  ],
  ['another deployment', {}, { deployments: [deployment(), deployment({ id: '2' })] }, ['deployment 2 added']],
  [
    'apps',
    {},
    { deployments: [deployment({ apps: [app({ issuer: 'https://x.example' }), app({ slug: 'b' })] })] },
    ['app 1/mcp-auth: issuer', 'app 1/b added'],
  ],
  ['KEKs', keks('k1'), keks('k2', 'k1'), ['KEK k2 added', 'KEK k2 encrypts from now on']],
  ['a user of Redis', cluster(), cluster({ username: 'worker' }), ['redis']],
])('%s', async (_, before, after, changes) => {
  const [old, fresh] = [await read(before), await read(after)];
  expect([...changesBetween(old, fresh)].sort()).toEqual([...changes].sort());
  expect(fixedChanges(old, fresh)).toEqual([]);
});

test('another value behind the same reference is a change, and is not shown', async () => {
  const fresh = { API_KEY: 'another_key', KEK: Buffer.alloc(32, 1).toString('base64url') };
  const changes = changesBetween(await read({}), await read({}, fresh));
  expect(changes).toEqual(['KEK k1: another value', 'deployment 1: api_key']);
});

test.each<[string, object, object]>([
  ['data_dir', {}, { data_dir: './elsewhere' }],
  ['durability', {}, { durability: 'relaxed' }],
  ['http.listen', {}, { http: { listen: '127.0.0.1:9' } }],
  ['redis', { redis: { url: 'redis://a' } }, { redis: { url: 'redis://b' } }],
  ['redis', { redis: { url: 'redis://a' } }, { redis: { url: 'redis://a/1' } }],
  ['redis', {}, { redis: { url: 'redis://a' } }],
  ['redis', cluster(), cluster({ cluster: ['s:1'] })],
  ['redis', cluster(), cluster({ replicas: 1 })],
])('%s is fixed', async (path, before, after) => {
  const [old, fresh] = [await read(before), await read(after)];
  expect(fixedChanges(old, fresh)).toMatchObject([{ path, message: expect.stringContaining('restart rekeyd') }]);
});

test('what a Redis URL has for a user and a password is not', async () => {
  const url = { redis: { url: 'env:REDIS' } };
  const [old, fresh] = [await read(url), await read(url, { REDIS: env.REDIS.replace('user:hidden', 'other:secret') })];
  expect(changesBetween(old, fresh)).toEqual(['redis']);
  expect(fixedChanges(old, fresh)).toEqual([]);
});
