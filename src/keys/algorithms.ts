/** The one place that knows the signature algorithms: what their keys look like, as JWK (RFC 7518 section 6, RFC 8037 section 2). */
import { ALGORITHMS, type Algorithm } from '../core/keys.ts';

export interface KeyShape {
  readonly kty: 'RSA' | 'EC' | 'OKP';
  /** The curve, or null for RSA. */
  readonly crv: 'P-256' | 'P-384' | 'P-521' | 'Ed25519' | null;
  /** The standard public members: what is published, and what the thumbprint covers (RFC 7638 section 3.2). */
  readonly members: readonly ['kty', 'n', 'e'] | readonly ['kty', 'crv', 'x', 'y'] | readonly ['kty', 'crv', 'x'];
}

/** The least RSA modulus, in bits (RFC 7518 sections 3.3 and 3.5). */
export const MIN_MODULUS_LENGTH = 2048;

const RSA = { kty: 'RSA', crv: null, members: ['kty', 'n', 'e'] } as const satisfies KeyShape;

export const KEY_SHAPES = {
  RS256: RSA,
  RS384: RSA,
  RS512: RSA,
  PS256: RSA,
  PS384: RSA,
  PS512: RSA,
  ES256: { kty: 'EC', crv: 'P-256', members: ['kty', 'crv', 'x', 'y'] },
  ES384: { kty: 'EC', crv: 'P-384', members: ['kty', 'crv', 'x', 'y'] },
  ES512: { kty: 'EC', crv: 'P-521', members: ['kty', 'crv', 'x', 'y'] },
  EdDSA: { kty: 'OKP', crv: 'Ed25519', members: ['kty', 'crv', 'x'] },
} as const satisfies Record<Algorithm, KeyShape>;

/** All algorithms that a key of this type and curve can sign with, preferred first, in the order of {@link ALGORITHMS}; none for an unknown curve. */
export function algorithmsFor(jwk: { readonly kty?: unknown; readonly crv?: unknown }): Algorithm[] {
  return ALGORITHMS.filter((alg) => KEY_SHAPES[alg].kty === jwk.kty && KEY_SHAPES[alg].crv === (jwk.crv ?? null));
}
