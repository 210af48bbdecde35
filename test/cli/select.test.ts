import { expect, test } from 'vitest';
import { selectionOf } from '../../src/commands/select.ts';
import { parseConfig } from '../../src/config/load.ts';

const config = await parseConfig(
  JSON.stringify({
    encryption: { keks: [{ id: 'k', key: 'env:KEK' }] },
    deployments: [{ id: '1', api_key: 'env:API_KEY', apps: [{ slug: 'a' }] }],
  }),
  { file: 'rekeyd.yaml', env: { KEK: Buffer.alloc(32).toString('base64url'), API_KEY: 'x' } },
);

test.each<[string, string[], Parameters<typeof selectionOf>[1], ReturnType<typeof selectionOf>]>([
  ['nothing', [], {}, { select: null, compromised: false }],
  ['an app', [], { app: '1/a' }, { select: { app: '1/a' }, compromised: false }],
  ['a policy', [], { policy: 'default' }, { select: { policy: 'default' }, compromised: false }],
  ['all, compromised', [], { all: true, compromised: true }, { select: { all: true }, compromised: true }],
])('%s is selected', (_, clients, options, expected) => {
  expect(selectionOf(clients, options, config)).toEqual(expected);
});

test('clients are selected once each', () => {
  expect(selectionOf(['1/a/2', '1/a/1', '1/a/2'], {}, config).select).toEqual({ clients: ['1/a/2', '1/a/1'] });
});

test('--compromised takes a kid, and leaves a client that follows it a client', () => {
  const one = { clients: ['1/a/2'] };
  expect(selectionOf(['1/a/2'], { compromised: 'k1' }, config)).toEqual({ select: one, compromised: { kid: 'k1' } });
  expect(selectionOf([], { compromised: '1/a/2' }, config)).toEqual({ select: one, compromised: true });
  // A kid may look like a reference; only one into a configured deployment is taken for one.
  expect(selectionOf(['1/a/2'], { compromised: '9/a/2' }, config).compromised).toEqual({ kid: '9/a/2' });
});

test.each<[string, string[], Parameters<typeof selectionOf>[1], RegExp]>([
  ['two kinds of selectors', [], { all: true, policy: 'default' }, /give one of them/],
  ['clients and an app', ['1/a/2'], { app: '1/a' }, /give one of them/],
  ['a kid for several clients', ['1/a/2', '1/a/3'], { compromised: 'k1' }, /is about one client/],
  ['a kid for all', [], { all: true, compromised: 'k1' }, /is about one client/],
  ['an unknown app', [], { app: '1/b' }, /has no app "1\/b"\. It has: 1\/a\./],
  ['an unknown policy', [], { policy: 'constructor' }, /has no policy "constructor"\. It has: default\./],
  ['a client that is none', ['4711'], {}, /not a client reference/],
])('%s cannot be selected', (_, clients, options, message) => {
  expect(() => selectionOf(clients, options, config)).toThrow(message);
});
