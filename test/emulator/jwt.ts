/** A signed JWT checked as Rust's `jsonwebtoken` 9 does it for the platform: in its order, and with its words for each refusal. */
import { createHmac } from 'node:crypto';
import { oauthRefusal, type Refusal } from './answer.ts';
import { Base64Fault, decodeUrl } from './base64.ts';
import { JsonFault } from './json/fault.ts';
import {
  anything,
  i64,
  list,
  object,
  oneOf,
  optional,
  type Read,
  type Reader,
  readJson,
  string,
} from './json/reader.ts';
import type { PemKey } from './pem.ts';
import { verifies } from './signature.ts';

const LEEWAY = 60;

/** All that the library knows; the platform lets it verify fewer. */
const ALGORITHMS = [
  ...['HS256', 'HS384', 'HS512', 'ES256', 'ES384'],
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'EdDSA'],
];

const header = object('Header', {
  typ: optional(string),
  alg: oneOf(ALGORITHMS),
  cty: optional(string),
  jku: optional(string),
  jwk: optional(anything),
  kid: optional(string),
  x5u: optional(string),
  x5c: optional(list(string)),
  x5t: optional(string),
  'x5t#S256': optional(string),
});

const claims = object('ClientAssertionClaims', {
  iss: optional(string),
  sub: optional(string),
  aud: optional(anything),
  exp: optional(i64),
  iat: optional(i64),
  nbf: optional(i64),
  jti: optional(string),
});

export type Claims = Read<typeof claims>;

/**
 * The claims of a token that `check` finds signed by `alg`.
 * @param now seconds since the epoch
 * @throws Refusal 400
 */
export function verifyJwt(token: string, alg: string, check: SignatureCheck, now: number): Claims {
  const [, head, payload, signature] = /^(.*)\.([^.]*)\.([^.]*)$/s.exec(token) ?? [];
  if (head === undefined || payload === undefined || signature === undefined) throw invalidToken('InvalidToken');
  if (decode(header, head).alg !== alg) throw invalidToken('InvalidAlgorithm');
  if (!check(`${head}.${payload}`, signature)) throw invalidToken('InvalidSignature');
  const found = decode(claims, payload);
  if (found.exp === null || found.exp < 0) throw invalidToken('Missing required claim: exp');
  if (found.exp < now - LEEWAY) throw invalidToken('ExpiredSignature');
  return found;
}

/** @param signature as it is written in the token */
type SignatureCheck = (signed: string, signature: string) => boolean;

export function byPublicKey(alg: string, { key }: PemKey): SignatureCheck {
  return (signed, signature) => {
    const bytes = bytesOf(signature);
    return key !== null && verifies(alg, key, signed, bytes);
  };
}

/** Compares texts: what is no Base64 is just another signature. */
export function bySecret(alg: string, secret: string): SignatureCheck {
  return (signed, signature) =>
    createHmac(`sha${alg.slice(2)}`, secret)
      .update(signed)
      .digest('base64url') === signature;
}

export function invalidToken(kind: string): Refusal {
  return oauthRefusal(400, 'invalid_request', `Invalid token: ${kind}`);
}

function decode<T>(reader: Reader<T>, part: string): T {
  const bytes = bytesOf(part);
  try {
    return readJson(reader, bytes);
  } catch (error) {
    if (error instanceof JsonFault) throw invalidToken(`JSON error: ${error.message}`);
    throw error;
  }
}

function bytesOf(part: string): Buffer {
  try {
    return decodeUrl(part);
  } catch (error) {
    if (error instanceof Base64Fault) throw invalidToken(`Base64 error: ${error.message}`);
    throw error;
  }
}
