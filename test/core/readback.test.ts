import { describe, expect, test } from 'vitest';
import type { KeyDocument, ObservedKeys, PublicJwk, PublishedKey } from '../../src/core/document.ts';
import { sameJson } from '../../src/core/json.ts';
import { readBack } from '../../src/core/readback.ts';
import { address, jwks, pem } from './support.ts';

const EC: PublicJwk = { kty: 'EC', crv: 'P-256', x: 'xa', y: 'ya', kid: 'a', use: 'sig', alg: 'ES256' };
const ODD: PublicJwk = { kty: 'AKP', alg: 'ML-DSA-44', pub: 'zz', nested: { a: 1, b: [1, 2] } };

/** An entry that holds these keys, the last of them in its PEM when `pemId` says so. */
function entry(jwk: PublicJwk, ids: readonly string[], pemId: string | null = null): PublishedKey {
  return { jwk, ids, pemId };
}

const A = entry(EC, ['id-a']);
const A_WITH_PEM = entry({ ...EC, public_key_pem: 'A' }, ['id-a'], 'id-a');
const A_WITH_OTHER_PEM = entry({ ...EC, public_key_pem: 'B' }, ['id-a', 'id-b'], 'id-b');
const B = entry({ ...EC, x: 'xb', kid: 'b' }, ['id-b']);
const PEM_A = entry({ kty: 'PEM', public_key_pem: 'A' }, ['id-a'], 'id-a');
const PEM_B = entry({ kty: 'PEM', public_key_pem: 'B' }, ['id-b'], 'id-b');
const UNREADABLE = entry(ODD, []);
const HALF = entry({ kty: 'RSA', public_key_pem: 'B' }, ['id-b'], 'id-b');

const renamed = (key: PublishedKey, change: object) => entry({ ...key.jwk, ...change }, key.ids, key.pemId);

function seen(keys: readonly PublishedKey[], more: Partial<ObservedKeys> = {}): ObservedKeys {
  return { alg: 'ES256', jwksUri: null, keys, ...more };
}

describe('equal', () => {
  const equal: [string, KeyDocument, ObservedKeys][] = [
    ['the same set', jwks(A, B), seen([A, B])],
    ['members that the server adds', jwks(A), seen([renamed(A, { x5t: 't', key_ops: ['verify'] })])],
    ['a kid that the server adds to a key sent without', jwks(renamed(B, { kid: null })), seen([B])],
    ['a use that the server leaves out', jwks(A), seen([renamed(A, { use: undefined })])],
    [
      'the same key in another shape',
      jwks(A),
      seen([entry({ kty: 'PEM', public_key_pem: 'A', kid: 'a', alg: 'ES256' }, ['id-a'], 'id-a')]),
    ],
    ['a key to which the server adds its own PEM', jwks(A), seen([A_WITH_PEM])],
    ['a PEM with other line breaks', jwks(A_WITH_PEM), seen([renamed(A_WITH_PEM, { public_key_pem: 'A\r\n' })])],
    ['a sent PEM, stored as a set', pem('a'), seen([PEM_A])],
    ['a foreign PEM entry', jwks(A, PEM_B), seen([A, PEM_B])],
    [
      'a foreign entry of two keys, in whichever order',
      jwks(A_WITH_OTHER_PEM),
      seen([entry(A_WITH_OTHER_PEM.jwk, ['id-b', 'id-a'], 'id-b')]),
    ],
    ['a foreign entry that lacks the members of its kind', jwks(A, HALF), seen([A, HALF])],
    ['an entry that nobody can read', jwks(A, UNREADABLE), seen([A, UNREADABLE])],
    [
      'the same with its members in another order',
      jwks(UNREADABLE),
      seen([entry({ nested: { b: [1, 2], a: 1 }, pub: 'zz', alg: 'ML-DSA-44', kty: 'AKP' }, [])]),
    ],
    [
      'the same with null members and one that the server adds',
      jwks(renamed(UNREADABLE, { n: null })),
      seen([renamed(UNREADABLE, { e: 1 })]),
    ],
    [
      'a foreign entry whose kid is no text',
      jwks(renamed(UNREADABLE, { kid: { a: 1 } })),
      seen([renamed(UNREADABLE, { kid: { a: 1 } })]),
    ],
    [
      'jwks_uri, whatever keys are stored',
      address('https://a.example/jwks'),
      seen([B], { jwksUri: 'https://a.example/jwks' }),
    ],
    ['a set, with a jwks_uri left from before', jwks(A), seen([A], { jwksUri: 'https://old.example' })],
  ];
  test.each(equal)('%s', (_, sent, client) => {
    expect(readBack(sent, client)).toBeNull();
  });
});

describe('different', () => {
  const different: [string, KeyDocument, ObservedKeys, string][] = [
    [
      'the alg of the client',
      jwks(A),
      seen([A], { alg: 'RS256' }),
      'token_endpoint_auth_signing_alg "RS256" instead of "ES256"',
    ],
    ['no alg', jwks(A), seen([A], { alg: null }), 'token_endpoint_auth_signing_alg null instead of "ES256"'],
    [
      'the alg beside an address',
      address('https://a.example'),
      seen([], { alg: null, jwksUri: 'https://a.example' }),
      'alg',
    ],
    ['the alg beside a PEM', pem('a', 'RS256'), seen([PEM_A]), 'alg'],
    ['a key is missing', jwks(A, B), seen([A]), 'shows 1 keys instead of 2'],
    ['a key too many', jwks(A), seen([A, B]), 'shows 2 keys instead of 1'],
    ['the order', jwks(A, B), seen([B, A]), 'key 1 of 2 is not the key'],
    ['another key under the same kid', jwks(A), seen([entry(EC, ['id-z'])]), 'key 1 of 1 is not the key'],
    [
      'a key that can no longer be read',
      jwks(A),
      seen([entry({ kty: 'EC', kid: 'a', alg: 'ES256' }, [])]),
      'key 1 of 1 is not the key',
    ],
    ['a kid', jwks(A), seen([renamed(A, { kid: 'z' })]), 'key 1 of 1 has kid "z" instead of "a"'],
    ['no kid', jwks(A), seen([renamed(A, { kid: undefined })]), 'key 1 of 1 has kid null instead of "a"'],
    ['the alg of a key', jwks(A), seen([renamed(A, { alg: null })]), 'key 1 of 1 has alg null instead of "ES256"'],
    ['an embedded PEM that was dropped', jwks(A_WITH_PEM), seen([A]), 'another public_key_pem'],
    ['an embedded PEM of another key', jwks(A_WITH_PEM), seen([A_WITH_OTHER_PEM]), 'is not the key'],
    ['a PEM of another key beside one sent without', jwks(A), seen([A_WITH_OTHER_PEM]), 'is not the key'],
    ['another PEM', pem('a'), seen([PEM_B]), 'another public_key_pem'],
    ['a key in place of a PEM', pem('a'), seen([A]), 'another public_key_pem'],
    ['a PEM that did not replace the set', pem('a'), seen([PEM_A, B]), 'shows 2 keys instead of the one PEM'],
    ['no PEM at all', pem('a'), seen([]), 'shows 0 keys instead of the one PEM'],
    [
      'jwks_uri',
      address('https://a.example'),
      seen([], { jwksUri: 'https://b.example' }),
      'jwks_uri "https://b.example"',
    ],
    ['no jwks_uri', address('https://a.example'), seen([A]), 'jwks_uri null'],
    [
      'a member of an unknown kty',
      jwks(UNREADABLE),
      seen([renamed(UNREADABLE, { nested: { a: 1, b: [2, 1] } })]),
      'is not the key',
    ],
  ];
  test.each(different)('%s', (_, sent, client, text) => {
    expect(readBack(sent, client)).toContain(text);
  });

  test('a long value is cut: it goes into the audit trail', () => {
    const long = readBack(address('https://a.example'), seen([], { jwksUri: 'x'.repeat(5_000) }));
    expect(long?.length).toBeLessThan(300);
  });
});

describe('JSON values', () => {
  test.each<[string, unknown, unknown, boolean]>([
    ['another order of members', { a: 1, b: { c: 2, d: 3 } }, { b: { d: 3, c: 2 }, a: 1 }, true],
    ['a null member counts as absent', { a: 1, b: null }, { a: 1 }, true],
    ['the order in a list matters', [1, 2], [2, 1], false],
    ['null in a list counts', [1, null], [1], false],
    ['a text is no number', '1', 1, false],
    ['nothing is null', undefined, null, true],
    ['an empty object is not null', {}, null, false],
  ])('%s', (_, a, b, same) => {
    expect(sameJson(a, b)).toBe(same);
    expect(sameJson(b, a)).toBe(same);
  });
});
