import { expect, test } from 'vitest';
import { observedApps, observedClient } from '../../src/wacht/observed.ts';

const APP = { id: '1', slug: 'a', name: 'A', fqdn: 'auth.example.com', is_active: true };

test.each(['a b', '', 'user:secret@127.0.0.1', 'auth.example.com/path', 'auth.example.com?q', 'x#y', 'x:99999', '\n'])(
  'an app whose domain is %j has none that an assertion could be sent to, and others keep theirs',
  (fqdn) => {
    expect(observedApps({ apps: [{ ...APP, fqdn }, APP] }).map((app) => app.fqdn)).toEqual([null, APP.fqdn]);
  },
);

test('a host with capitals or a port is a domain', () => {
  const apps = ['Auth.Example.com', 'localhost:8443'].map((fqdn) => ({ ...APP, fqdn }));
  expect(observedApps({ apps }).map((app) => app.fqdn)).toEqual(['Auth.Example.com', 'localhost:8443']);
});

const client = { id: '1', client_id: 'c', client_auth_method: 'none', is_active: true, updated_at: '' };
const withKey = (member: unknown) => observedClient({ ...client, jwks: { keys: [{ kty: 'X', member }] } });

test.each(['9007199254740993', '-12345678901234567890', '1e400', '[{"a":1e20}]'])(
  'a key with the number %s is not taken: it would be written back as another one',
  (number) => {
    expect(() => withKey(JSON.parse(number))).toThrow('numbers beyond 2^53');
  },
);

test.each(['9007199254740991', '-1', '0.5', '1.5e-7'])('a key with the number %s is kept', (number) => {
  expect(JSON.stringify(withKey(JSON.parse(number)).keys[0]?.jwk)).toBe(`{"kty":"X","member":${number}}`);
});

test('a key nested deeper than any JWK is no key: comparing or writing it would run out of stack', () => {
  const deep = JSON.parse('['.repeat(20_000) + ']'.repeat(20_000));
  expect(() => withKey(deep)).toThrow('nested at most 16 levels');
  expect(withKey([[[['x']]]]).keys).toMatchObject([{ jwk: { kty: 'X', member: [[[['x']]]] } }]);
});
