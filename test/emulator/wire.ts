/** What the management API reads from a request: ids, and the bodies of POST and PATCH with the types of their members. */
import { refusal } from './answer.ts';
import type { RawBody } from './body.ts';
import { JsonFault } from './json/fault.ts';
import {
  boolean,
  defaulted,
  i32,
  list,
  object,
  optional,
  type Read,
  type Reader,
  readJson,
  string,
} from './json/reader.ts';

const texts = list(string);

const jwk = object('Jwk', {
  kty: string,
  kid: optional(string),
  use: optional(string),
  key_ops: optional(texts),
  alg: optional(string),
  n: optional(string),
  e: optional(string),
  crv: optional(string),
  x: optional(string),
  y: optional(string),
  k: optional(string),
  x5u: optional(string),
  x5c: optional(texts),
  x5t: optional(string),
  'x5t#S256': optional(string),
  public_key_pem: optional(string),
});

const jwks = object('JwksDocument', { keys: list(jwk) });

/** Members that POST and PATCH read alike. */
const common = {
  client_name: optional(string),
  client_uri: optional(string),
  logo_uri: optional(string),
  tos_uri: optional(string),
  policy_uri: optional(string),
  contacts: optional(texts),
  software_id: optional(string),
  software_version: optional(string),
  token_endpoint_auth_signing_alg: optional(string),
  jwks_uri: optional(string),
  jwks: optional(jwks),
  public_key_pem: optional(string),
};
const commonLast = {
  id_token_signing_alg: optional(string),
  access_token_format: optional(string),
  access_token_ttl_seconds: optional(i32),
  skip_consent: optional(boolean),
};

const createBody = object('CreateOAuthClientRequest', {
  client_auth_method: string,
  grant_types: texts,
  redirect_uris: defaulted(texts, []),
  ...common,
  post_logout_redirect_uris: defaulted(texts, []),
  ...commonLast,
});

const updateBody = object('UpdateOAuthClientRequest', {
  client_auth_method: optional(string),
  grant_types: optional(texts),
  redirect_uris: optional(texts),
  ...common,
  post_logout_redirect_uris: optional(texts),
  ...commonLast,
});

/** A JWK as stored and answered: the documented members, always all of them, and `public_key_pem`. Others are dropped on the way in. */
export type StoredJwk = Read<typeof jwk>;
export type StoredJwks = Read<typeof jwks>;
export type CreateBody = Read<typeof createBody>;
export type UpdateBody = Read<typeof updateBody>;

/** The members of a create or PATCH body, as a caller writes them; read with the server's own strictness. */
export type ClientMembers = Readonly<Record<string, unknown>>;

/** The value of a JSON text, `undefined` when it is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** @throws Refusal 400, 413, 415, 422 */
export const readCreate = (body: RawBody): CreateBody => readBody(createBody, body);

/** @throws Refusal 400, 413, 415, 422 */
export const readUpdate = (body: RawBody): UpdateBody => readBody(updateBody, body);

/** @throws Refusal 422 */
export function readJwks(value: unknown): StoredJwks {
  return reading(jwks, Buffer.from(JSON.stringify(value)));
}

/** What a bare `public_key_pem` becomes. */
export function pemJwks(pem: string): StoredJwks {
  return readJwks({ keys: [{ kty: 'PEM', public_key_pem: pem }] });
}

/** A 64-bit integer as Rust reads it from a path: a sign and leading zeros are fine. Null when it is none. */
export function parseId(text: string): string | null {
  if (!/^[+-]?\d+$/.test(text)) return null;
  const id = BigInt(text.replace('+', ''));
  return BigInt.asIntN(64, id) === id ? String(id) : null;
}

/** @throws Refusal 400 */
export function readId(text: string): string {
  const id = parseId(text);
  if (id === null) throw refusal(400, 'Bad request');
  return id;
}

function readBody<T>(reader: Reader<T>, body: RawBody): T {
  if (!/^application\/(?:[^;\s]+\+)?json\s*(?:;|$)/i.test(body.type)) throw refusal(415, 'Request failed');
  if (body.tooLarge) throw refusal(413, 'Request failed');
  return reading(reader, body.bytes);
}

function reading<T>(reader: Reader<T>, bytes: Uint8Array): T {
  try {
    // The platform stops reading after the body's value: what follows it is not seen.
    return readJson(reader, bytes, 'ignored');
  } catch (error) {
    if (!(error instanceof JsonFault)) throw error;
    if (error.kind === 'syntax') throw refusal(400, 'Bad request');
    throw refusal(422, 'Invalid request payload');
  }
}
