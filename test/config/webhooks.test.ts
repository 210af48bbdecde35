/** `webhooks`: what is taken, and what is refused with its line. */
import { expect, test } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import { env, useFolder, write } from './write.ts';

useFolder();

const SECRET = `whsec_${Buffer.alloc(32, 1).toString('base64')}`;
const ENV = {
  ...{
    HOOK: SECRET,
    OLD_HOOK: `whsec_${Buffer.alloc(24, 2).toString('base64')}`,
    SHORT: 'whsec_AAAA',
    ROUTING: 'r0uting',
  },
  ...{ SLACK: 'https://hooks.slack.com/services/T0/B0/secret', PLAIN: 'http://hooks.example.com/hidden' },
};
const read = (webhook: object, ...others: object[]) =>
  parseConfig(
    write({
      webhooks: [{ name: 'siem', url: 'https://siem.example.com/in', secret: 'env:HOOK', ...webhook }, ...others],
    }),
    {
      file: '/nowhere/rekeyd.yaml',
      env: { ...env, ...ENV },
    },
  );

test('a webhook with its defaults, and one with all settings', async () => {
  const { webhooks } = await read(
    {},
    {
      ...{
        name: 'inside',
        url: 'http://localhost:9000/in',
        secret: 'env:HOOK',
        old_secret: 'env:OLD_HOOK',
        proxy: 'none',
      },
      ...{ events: ['rotation.*', 'key.compromised'], only: ['1/mcp-auth'], allow_private: ['LOCALHOST'] },
      ...{ timeout: '3s', give_up_after: '2d' },
    },
    { name: 'chat', format: 'slack', url: 'env:SLACK' },
    { name: 'pager', format: 'pagerduty', url: 'https://events.pagerduty.com/v2/enqueue', routing_key: 'env:ROUTING' },
  );
  expect(webhooks).toMatchObject([
    {
      name: 'siem',
      format: 'standard',
      events: [],
      only: [],
      allowPrivate: [],
      timeoutMs: 10_000,
      giveUpMs: 86_400_000,
    },
    { events: ['rotation.*', 'key.compromised'], allowPrivate: ['localhost'], timeoutMs: 3_000, giveUpMs: 172_800_000 },
    { format: 'slack', secrets: [] },
    { format: 'pagerduty', secrets: [] },
  ]);
  expect(webhooks[1]?.secrets.map((secret) => secret.revealBytes().length)).toEqual([32, 24]);
  expect(webhooks[2]?.url.reveal()).toBe(ENV.SLACK);
  expect(JSON.stringify(webhooks)).not.toMatch(/hooks\.slack|r0uting|AQEB/);
});

test.each<[string, object, RegExp]>([
  ['no secret', { secret: undefined }, /webhooks\[0\]\.secret.*is missing.*openssl rand/],
  ['a secret in the config', { secret: SECRET }, /webhooks\[0\]\.secret.*must not stand in the config/],
  ['a secret that is too short', { secret: 'env:SHORT' }, /24 to 64 random bytes/],
  ['a secret without its prefix', { secret: 'env:ROUTING' }, /whsec_/],
  ['http', { url: 'http://siem.example.com/' }, /webhooks\[0\]\.url.*is http:\/\//],
  ['http behind a reference', { url: 'env:PLAIN' }, /webhooks\[0\]\.url.*is http:\/\//],
  ['http to this machine', { url: 'http://localhost/' }, /allow_private: \["localhost"\]/],
  ['a private address', { url: 'https://10.1.2.3/' }, /private network.*allow_private: \["10\.1\.2\.3"\]/],
  ['a private address in disguise', { url: 'https://0x7f.1/' }, /private network.*\["127\.0\.0\.1"\]/],
  ['a private address in IPv6', { url: 'https://[::ffff:10.0.0.1]/' }, /private network/],
  ['a login', { url: 'https://me:secret@siem.example.com/' }, /must not hold a user or password/],
  [
    'an event that is none',
    { events: ['rotation.faild'] },
    /events\[0\].*is no event.*Did you mean "rotation\.failed"/,
  ],
  ['a group of events that is none', { events: ['rotations.*'] }, /events\[0\].*is no event/],
  ['all events', { events: ['*'] }, /events\[0\].*is no event/],
  ['an app that is none', { only: ['1/mcp-aut'] }, /webhooks\[0\]\.only\[0\].*Did you mean "1\/mcp-auth"/],
  ['a URL for a host', { allow_private: ['https://siem.internal'] }, /allow_private\[0\].*is not a host/],
  [
    'a written URL of Slack',
    { secret: undefined, format: 'slack', url: ENV.SLACK },
    /url.*is a secret with format: slack/,
  ],
  ['a secret for Teams', { format: 'teams', url: 'env:SLACK' }, /secret.*has no use with format: teams/],
  ['no key of PagerDuty', { secret: undefined, format: 'pagerduty' }, /routing_key.*is missing/],
  ['a setting that is none', { retries: 5 }, /retries.*is not a setting/],
])('%s is refused', async (_, changes, message) => {
  const error = await read(changes).catch((problem: unknown) => problem);
  const text = String(error instanceof Error ? error.message : error);
  expect(text).toMatch(message);
  expect(text).toMatch(/line \d+/);
  expect(text).not.toMatch(/secret@|services\/T0|hidden|AQEB/);
});

test('two of one name are refused', async () => {
  const other = { name: 'siem', url: 'https://other.example.com/', secret: 'env:HOOK' };
  await expect(read({}, other)).rejects.toThrow(/webhooks\[1\]\.name.*is there already/);
});
