/** Redis URLs as people write them: each works, or is refused with the part that is wrong. */
import { expect, test } from 'vitest';
import { readRedisUrl } from '../../src/config/redis-url.ts';
import { env, read, refusal, useFolder, write } from './write.ts';

useFolder();

const TCP = { host: 'r', port: 6379, isTls: false, database: 0, username: null, password: null };

test.each([
  ['redis://r', TCP],
  ['REDIS://r:6380', { ...TCP, port: 6380 }],
  ['rediss://r/', { ...TCP, isTls: true }],
  ['redis://r/15', { ...TCP, database: 15 }],
  ['redis://r?db=7', { ...TCP, database: 7 }],
  ['redis://[fd00::1]:7000/1', { ...TCP, host: 'fd00::1', port: 7000, database: 1 }],
  ['redis://:p@r', { ...TCP, password: 'p' }],
  ['redis://u:p@r/2', { ...TCP, username: 'u', password: 'p', database: 2 }],
  ['redis://u:p@w@r', { ...TCP, username: 'u', password: 'p@w' }],
  ['redis://u:p:w[x]+$!@r', { ...TCP, username: 'u', password: 'p:w[x]+$!' }],
  ['redis://u%3Av:%2F%3F%23%40%25%20é@r', { ...TCP, username: 'u:v', password: '/?#@% é' }],
  ['unix:///run/redis.sock', { path: '/run/redis.sock', database: 0 }],
  ['unix:///run/a%20b.sock?db=3', { path: '/run/a b.sock', database: 3 }],
])('%s is understood', (url, address) => {
  expect(readRedisUrl(url)).toEqual({ address });
});

test.each([
  ['http://r', /not a Redis URL/],
  ['redis://:SECRET%@r', /its password has a % without two hex digits behind it: write %25/],
  ['redis://:50%SECRET@r', /its password has a %.*write %25/],
  ['redis://u%:SECRET@r', /its user name has a %/],
  ['redis://:%ffSECRET@r', /its password has codes \(%…\) that are not UTF-8/],
  ['redis://:SECRET/x@r', /a \/ or \? in it: write %2F/],
  ['redis://:SECRET?x@r', /a \/ or \? in it: write %2F for \/ and %3F/],
  ['redis://:SECRET#x@r', /# in it.*write %23/],
  ['redis://:SEC RET@r', /a blank/],
  ['redis://SECRET@r', /names a user and no password/],
  ['redis://u:@r', /names a user and no password/],
  ['redis://', /names no host/],
  ['redis://:6379', /names no host/],
  ['redis://r:SECRET', /its port is not a number/],
  ['redis://r:0', /its port is not a number from 1/],
  ['redis://r:65536', /its port is not a number/],
  ['redis://a b', /a blank/],
  ['redis://r%41', /its host is not a name/],
  ['redis://[fd00]:1', /its host is not a name/],
  ['redis://r/SECRET', /its database, after the last \/, is not a number/],
  ['redis://r/-1', /its database.* is not a number/],
  ['redis://r/1/2', /its database.* is not a number/],
  ['redis://r/1?db=2', /names the database twice/],
  ['redis://r?password=SECRET', /the option password.*write user:password@/],
  ['redis://r?ssl_cert_reqs=none', /the option ssl_cert_reqs.*redis\.tls/],
  ['redis://r?family=6', /the option family/],
  ['unix://run/redis.sock', /its path is not absolute/],
  ['unix:///r%.sock', /its path has a %/],
])('%s is refused with the part that is wrong', (url, message) => {
  const answer = readRedisUrl(url);
  expect(answer).toEqual({ problem: expect.stringMatching(message) });
  expect(JSON.stringify(answer)).not.toContain('SECRET');
});

test('the config check says which part of a URL behind a reference is wrong, and shows no password', async () => {
  const { problems, message } = await refusal(write({ redis: { url: 'env:URL' } }), {
    ...env,
    URL: 'redis://:hunter2%@r:6379/1',
  });
  expect(problems.map(({ path }) => path)).toEqual(['redis.url']);
  expect(message).toMatch(/its password has a %/);
  expect(message).not.toContain('hunter2');
});

test.each([
  ['a password over plain TCP', { url: 'env:REDIS' }, /write rediss:/],
  ['the same, beside the URL', { url: 'redis://r', password: 'env:KEK' }, /write rediss:/],
  ['a password of a cluster', { cluster: ['r:1'], password: 'env:KEK' }, /write tls: \{\} beside cluster/],
  [
    'a password of Sentinels',
    { sentinels: { name: 'm', nodes: ['r:1'], password: 'env:KEK' } },
    /write tls: \{\} beside sentinels/,
  ],
  ['a password over TLS', { url: 'rediss://r', password: 'env:KEK' }, null],
  ['a password to this machine', { url: 'redis://127.0.0.1', password: 'env:KEK' }, null],
  ['a password through a socket', { url: 'unix:///r.sock', password: 'env:KEK' }, null],
  ['a password of a cluster over TLS', { cluster: ['r:1'], password: 'env:KEK', tls: {} }, null],
  ['no password', { url: 'redis://r' }, null],
])('%s is warned about where others can read it', async (_, redis, message) => {
  const { warnings } = await read(write({ redis }));
  const told = warnings.filter(({ path }) => path === 'redis').map((warning) => warning.message);
  expect(told).toEqual(message === null ? [] : [expect.stringMatching(message)]);
});
