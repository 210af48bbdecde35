/** The disposable client of a probe is known by its redirect URI, and nobody else's client is taken for one. */
import { expect, test } from 'vitest';
import { probeOf, probeUri } from '../../src/wacht/mark.ts';
import { observedClient } from '../../src/wacht/observed.ts';

const MAKER = '0b8c1a52-95a7-4f9e-9a5f-3f3f5d0c2a10';

const ROW = {
  id: '13',
  client_id: 'oc_1',
  client_auth_method: 'private_key_jwt',
  token_endpoint_auth_signing_alg: 'ES256',
  jwks_uri: null,
  jwks: { keys: [] },
  public_key_pem: null,
  is_active: true,
  updated_at: '2026-11-05T12:00:00Z',
};

test('a mark says who made the client', () => {
  const uri = probeUri(MAKER, 'n1');
  expect(probeOf([uri])).toBe(MAKER);
  expect(probeOf(['https://client.example.com/callback', uri])).toBe(MAKER);
  expect(observedClient({ ...ROW, redirect_uris: [uri] }).probe).toBe(MAKER);
});

test.each<[string, unknown]>([
  ['none', []],
  ['no list', 'https://rekeyd-probe.invalid/x'],
  ['null', null],
  ['an ordinary one', ['https://client.example.com/callback']],
  ['the host in the path', ['https://client.example.com/rekeyd-probe.invalid/x']],
  ['a host that begins so', ['https://rekeyd-probe.invalid.example.com/x']],
  ['a host that ends so', ['https://my-rekeyd-probe.invalid/x']],
  ['no URL', ['rekeyd-probe.invalid', 'https://[rekeyd-probe.invalid', 7, null, {}]],
])('%s is no mark, and the client is read', (_, redirectUris) => {
  expect(probeOf(redirectUris)).toBeNull();
  expect(observedClient({ ...ROW, redirect_uris: redirectUris })).not.toHaveProperty('probe');
});

test('a client that does not tell its redirect URIs is read', () => {
  expect(observedClient(ROW)).not.toHaveProperty('probe');
});

test.each(['https://rekeyd-probe.invalid', 'https://rekeyd-probe.invalid/%zz/1', 'https://rekeyd-probe.invalid//'])(
  'an odd mark (%s) is a mark',
  (uri) => {
    expect(probeOf([uri])).not.toBeNull();
  },
);
