import { describe, expect, test } from 'vitest';
import type { KeyDocument, ObservedClient, PublicJwk } from '../../src/core/document.ts';
import { pemBody, samePublicKey } from '../../src/core/public-key.ts';
import { readBack } from '../../src/core/readback.ts';

const PEM_A = '-----BEGIN PUBLIC KEY-----\nAAAA\nBBBB\n-----END PUBLIC KEY-----\n';
const PEM_A_REFLOWED = '-----BEGIN PUBLIC KEY-----\r\nAA\r\nAABBBB\r\n-----END PUBLIC KEY-----';
const PEM_B = '-----BEGIN PUBLIC KEY-----\nCCCC\n-----END PUBLIC KEY-----\n';
const EC_A: PublicJwk = { kty: 'EC', crv: 'P-256', x: 'xa', y: 'ya', kid: 'a', use: 'sig', alg: 'ES256' };
const EC_B: PublicJwk = { ...EC_A, x: 'xb', kid: 'b' };
const RSA: PublicJwk = { kty: 'RSA', n: 'n', e: 'AQAB', kid: 'r', alg: 'RS256' };
const ODD: PublicJwk = { kty: 'AKP', alg: 'ML-DSA-44', pub: 'zz', nested: { a: 1, b: [1, 2] } };

function seen(keys: readonly PublicJwk[], more: Partial<ObservedClient> = {}): ObservedClient {
  return {
    id: '1',
    clientId: 'oc_1',
    authMethod: 'private_key_jwt',
    alg: 'ES256',
    jwksUri: null,
    keys,
    active: true,
    updatedAt: '2026-11-05T12:00:00Z',
    ...more,
  };
}

const alg = { token_endpoint_auth_signing_alg: 'ES256' };
const jwks = (...keys: PublicJwk[]): KeyDocument => ({ jwks: { keys }, ...alg });

describe('equal', () => {
  const equal: [string, KeyDocument, ObservedClient][] = [
    ['the same set', jwks(EC_A, RSA), seen([EC_A, RSA])],
    ['members that the server adds', jwks(EC_A), seen([{ ...EC_A, x5t: 't', key_ops: ['verify'] }])],
    ['a kid that the server adds to a key sent without', jwks({ ...RSA, kid: null }), seen([RSA])],
    ['null members', jwks({ ...EC_A, n: null, public_key_pem: null }), seen([{ ...EC_A, e: null }])],
    [
      'another order of members',
      jwks(ODD),
      seen([{ nested: { b: [1, 2], a: 1 }, pub: 'zz', alg: 'ML-DSA-44', kty: 'AKP' }]),
    ],
    [
      'a PEM with other line breaks',
      jwks({ ...EC_A, public_key_pem: PEM_A }),
      seen([{ ...EC_A, public_key_pem: PEM_A_REFLOWED }]),
    ],
    [
      'a sent PEM, stored as a set',
      { public_key_pem: PEM_A, ...alg },
      seen([{ kty: 'PEM', public_key_pem: PEM_A_REFLOWED }]),
    ],
    [
      'a foreign PEM entry',
      jwks(EC_A, { kty: 'PEM', public_key_pem: PEM_B }),
      seen([EC_A, { kty: 'PEM', public_key_pem: PEM_B }]),
    ],
    [
      'jwks_uri, whatever keys are stored',
      { jwks_uri: 'https://a.example/jwks', ...alg },
      seen([RSA], { jwksUri: 'https://a.example/jwks' }),
    ],
    [
      'an entry of others that lacks the members of its kind',
      jwks(EC_A, { kty: 'RSA', public_key_pem: PEM_B }),
      seen([EC_A, { kty: 'RSA', public_key_pem: PEM_B }]),
    ],
    ['an entry of others whose kid is no text', jwks({ ...ODD, kid: { a: 1 } }), seen([{ ...ODD, kid: { a: 1 } }])],
    ['a set, with a jwks_uri left from before', jwks(EC_A), seen([EC_A], { jwksUri: 'https://old.example' })],
  ];
  test.each(equal)('%s', (_, sent, client) => {
    expect(readBack(sent, client)).toBeNull();
  });
});

describe('different', () => {
  const different: [string, KeyDocument, ObservedClient, string][] = [
    [
      'the alg of the client',
      jwks(EC_A),
      seen([EC_A], { alg: 'RS256' }),
      'token_endpoint_auth_signing_alg "RS256" instead of "ES256"',
    ],
    ['no alg', jwks(EC_A), seen([EC_A], { alg: null }), 'token_endpoint_auth_signing_alg null instead of "ES256"'],
    ['a key is missing', jwks(EC_A, EC_B), seen([EC_A]), 'shows 1 keys instead of 2'],
    ['a key too many', jwks(EC_A), seen([EC_A, EC_B]), 'shows 2 keys instead of 1'],
    ['the order', jwks(EC_A, EC_B), seen([EC_B, EC_A]), 'key 1 of 2 is not the key'],
    ['another curve', jwks(EC_A), seen([{ ...EC_A, crv: 'P-384' }]), 'key 1 of 1 is not the key'],
    ['an RSA exponent', jwks(RSA), seen([{ ...RSA, e: 'Aw' }]), 'key 1 of 1 is not the key'],
    ['key members gone', jwks(EC_A), seen([{ kty: 'EC', kid: 'a', alg: 'ES256' }]), 'key 1 of 1 is not the key'],
    ['a kid', jwks(EC_A), seen([{ ...EC_A, kid: 'z' }]), 'key 1 of 1 has kid "z" instead of "a"'],
    ['the alg of a key', jwks(EC_A), seen([{ ...EC_A, alg: null }]), 'key 1 of 1 has alg null instead of "ES256"'],
    [
      'an embedded PEM that was dropped',
      jwks({ ...EC_A, public_key_pem: PEM_A }),
      seen([EC_A]),
      'another public_key_pem',
    ],
    [
      'an embedded PEM of another key',
      jwks({ ...EC_A, public_key_pem: PEM_A }),
      seen([{ ...EC_A, public_key_pem: PEM_B }]),
      'another public_key_pem',
    ],
    [
      'key members of another key under the same PEM',
      jwks({ ...EC_A, public_key_pem: PEM_A }),
      seen([{ ...EC_B, kid: 'a', public_key_pem: PEM_A }]),
      'is not the key',
    ],
    [
      'another PEM',
      { public_key_pem: PEM_A, ...alg },
      seen([{ kty: 'PEM', public_key_pem: PEM_B }]),
      'another public_key_pem',
    ],
    [
      'a PEM that did not replace the set',
      { public_key_pem: PEM_A, ...alg },
      seen([{ kty: 'PEM', public_key_pem: PEM_A }, RSA]),
      'shows 2 keys instead of the one PEM',
    ],
    ['no PEM at all', { public_key_pem: PEM_A, ...alg }, seen([]), 'shows 0 keys instead of the one PEM'],
    [
      'jwks_uri',
      { jwks_uri: 'https://a.example', ...alg },
      seen([], { jwksUri: 'https://b.example' }),
      'jwks_uri "https://b.example"',
    ],
    ['a member of an unknown kty', jwks(ODD), seen([{ ...ODD, nested: { a: 1, b: [2, 1] } }]), 'is not the key'],
  ];
  test.each(different)('%s', (_, sent, client, text) => {
    expect(readBack(sent, client)).toContain(text);
  });
});

describe('the same public key', () => {
  const cases: [string, PublicJwk, PublicJwk, boolean][] = [
    ['key members decide, not kid and alg', EC_A, { ...EC_A, kid: 'other', alg: 'ES384' }, true],
    ['other members', EC_A, EC_B, false],
    ['OKP', { kty: 'OKP', crv: 'Ed25519', x: 'q' }, { kty: 'OKP', crv: 'Ed25519', x: 'q', kid: 'k' }, true],
    ['another kty', { kty: 'OKP', crv: 'P-256', x: 'xa' }, EC_A, false],
    ['two keys without any key member', { kty: 'EC' }, { kty: 'EC' }, false],
    [
      'a PEM entry and a JWK that carries this PEM',
      { kty: 'PEM', public_key_pem: PEM_A_REFLOWED },
      { ...EC_A, public_key_pem: PEM_A },
      true,
    ],
    ['a PEM entry and a JWK that carries none', { kty: 'PEM', public_key_pem: PEM_A }, EC_A, false],
    ['two PEM entries', { kty: 'PEM', public_key_pem: PEM_A }, { kty: 'PEM', public_key_pem: PEM_B }, false],
    ['two empty PEM entries', { kty: 'PEM', public_key_pem: '' }, { kty: 'PEM', public_key_pem: '' }, false],
    ['an unknown kty, as JSON', ODD, { ...ODD, kid: null }, true],
    ['a kty named like an object member', { kty: 'constructor', a: 1 }, { kty: 'constructor', a: 2 }, false],
  ];
  test.each(cases)('%s', (_, a, b, expected) => {
    expect(samePublicKey(a, b)).toBe(expected);
    expect(samePublicKey(b, a)).toBe(expected);
  });

  test('the body of a PEM has neither boundaries nor white space', () => {
    expect(pemBody(PEM_A_REFLOWED)).toBe('AAAABBBB');
  });
});
