/**
 * How the server reads a request: a typed Rust server, so that unknown members are dropped, `null` means absent, and a member of the
 * wrong type is refused with 422 and plain text before any validation runs.
 */
import { plainRefusal } from './answer.ts';

const STRING_MEMBERS = ['kid', 'use', 'alg', 'n', 'e', 'crv', 'x', 'y', 'k', 'x5u', 'x5t', 'x5t#S256'] as const;
type StringMember = (typeof STRING_MEMBERS)[number] | 'public_key_pem';

/** A JWK as stored and answered: the documented members, always all of them, and `public_key_pem`. Others are dropped on the way in. */
export type StoredJwk = {
  readonly kty: string;
  readonly key_ops: readonly string[] | null;
  readonly x5c: readonly string[] | null;
} & { readonly [member in StringMember]: string | null };

export interface StoredJwks {
  readonly keys: readonly StoredJwk[];
}

/** The body of POST and PATCH once read: `null` wherever a member was absent, null or, being a text, blank. */
export interface ClientBody {
  readonly client_auth_method: string | null;
  readonly grant_types: readonly string[] | null;
  readonly redirect_uris: readonly string[] | null;
  readonly client_name: string | null;
  readonly token_endpoint_auth_signing_alg: string | null;
  readonly jwks_uri: string | null;
  readonly jwks: StoredJwks | null;
  readonly public_key_pem: string | null;
}

/** The value of a JSON text, `undefined` when it is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** @throws Refusal 415, 400 */
export function requireJson(contentType: string | undefined, parsed: unknown): unknown {
  if (!/^application\/(?:[^;]+\+)?json\b/i.test(contentType ?? '')) {
    throw plainRefusal(415, 'Expected request with `Content-Type: application/json`');
  }
  if (parsed === undefined) throw plainRefusal(400, 'Failed to parse the request body as JSON');
  return parsed;
}

/** 64-bit ids travel as decimal text; anything else never reaches the handler. */
export function readId(parameter: string, text: string): string {
  if (!/^-?\d{1,19}$/.test(text)) {
    throw plainRefusal(400, `Invalid URL: Cannot parse \`${parameter}\` with value \`${text}\` to a \`i64\``);
  }
  return text;
}

export function readClientBody(value: unknown): ClientBody {
  const body = object(value, 'body');
  return {
    client_auth_method: unlessBlank(text(body, 'client_auth_method')),
    grant_types: texts(body, 'grant_types'),
    redirect_uris: texts(body, 'redirect_uris'),
    client_name: unlessBlank(text(body, 'client_name')),
    token_endpoint_auth_signing_alg: trimmed(text(body, 'token_endpoint_auth_signing_alg')),
    jwks_uri: trimmed(text(body, 'jwks_uri')),
    jwks: absent(body.jwks) ? null : readJwks(body.jwks, 'jwks'),
    public_key_pem: trimmed(text(body, 'public_key_pem')),
  };
}

export function readJwks(value: unknown, at: string): StoredJwks {
  const { keys } = object(value, at);
  if (!Array.isArray(keys)) throw wrongType(`${at}.keys`, 'a sequence');
  return { keys: keys.map((key, index) => readJwk(key, `${at}.keys[${index}]`)) };
}

/** What a bare `public_key_pem` becomes. */
export function pemJwks(pem: string): StoredJwks {
  return { keys: [readJwk({ kty: 'PEM', public_key_pem: pem }, 'public_key_pem')] };
}

function readJwk(value: unknown, at: string): StoredJwk {
  const jwk = object(value, at);
  const one = (member: StringMember) => text(jwk, member, at);
  const kty = text(jwk, 'kty', at);
  if (kty === null) throw wrongType(`${at}.kty`, 'a string');
  return {
    kty,
    kid: one('kid'),
    use: one('use'),
    key_ops: texts(jwk, 'key_ops', at),
    alg: one('alg'),
    n: one('n'),
    e: one('e'),
    crv: one('crv'),
    x: one('x'),
    y: one('y'),
    k: one('k'),
    x5u: one('x5u'),
    x5c: texts(jwk, 'x5c', at),
    x5t: one('x5t'),
    'x5t#S256': one('x5t#S256'),
    public_key_pem: unlessBlank(one('public_key_pem')),
  };
}

type JsonObject = Readonly<Record<string, unknown>>;

function object(value: unknown, at: string): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrongType(at, 'a map');
  return value as JsonObject; // an object and not an array: its members can be looked at
}

function text(from: JsonObject, member: string, at = 'body'): string | null {
  const value = from[member];
  if (absent(value)) return null;
  if (typeof value !== 'string') throw wrongType(`${at}.${member}`, 'a string');
  return value;
}

function texts(from: JsonObject, member: string, at = 'body'): readonly string[] | null {
  const value = from[member];
  if (absent(value)) return null;
  if (!Array.isArray(value) || !value.every((item) => typeof item === 'string')) {
    throw wrongType(`${at}.${member}`, 'a sequence of strings');
  }
  return value;
}

function absent(value: unknown): value is null | undefined {
  return value === null || value === undefined;
}

/** Blank counts as absent; anything else is kept as it came. */
function unlessBlank(value: string | null): string | null {
  return value?.trim() ? value : null;
}

/** Blank counts as absent, and surrounding white space is not kept: a PEM comes back without its last newline. */
function trimmed(value: string | null): string | null {
  return value?.trim() || null;
}

function wrongType(at: string, expected: string) {
  return plainRefusal(
    422,
    `Failed to deserialize the JSON body into the target type: ${at}: invalid type, expected ${expected}`,
  );
}
