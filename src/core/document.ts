/** Public key material: what is sent to the server, and what it shows. */
import { canonicalJson } from './json.ts';

/** Any JSON object with a `kty` (RFC 7517 section 4). Members that are not known stay as they are. */
export type PublicJwk = { readonly kty: string; readonly [member: string]: unknown };

/** One entry of a published set. */
export interface PublishedKey {
  /** As the server shows it, without members that are null. */
  readonly jwk: PublicJwk;
  /**
   * The keys that this entry holds, by id: the SHA-256 of a key's SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7), base64url. One key has one id,
   * whatever its encoding. Usually one id; two when the JWK and its `public_key_pem` are different keys; none when nothing in it can be read.
   */
  readonly ids: readonly string[];
  /** The id of the key in `public_key_pem`; null when there is none. Wacht verifies with that member alone. */
  readonly pemId: string | null;
}

/** How the public key reaches the server. */
export type Format = 'jwks' | 'pem' | 'jwks_uri';

/** The key members of one PATCH, before they become a body: see {@link bodyOf}. */
export type KeyDocument = { readonly alg: string } & (
  | { readonly format: 'jwks'; readonly keys: readonly PublishedKey[] }
  | { readonly format: 'pem'; readonly pem: string; readonly id: string }
  | { readonly format: 'jwks_uri'; readonly uri: string }
);

/** The body of a PATCH with key material. */
export interface PatchBody {
  readonly jwks?: { readonly keys: readonly PublicJwk[] };
  readonly public_key_pem?: string;
  readonly jwks_uri?: string;
  readonly token_endpoint_auth_signing_alg: string;
}

/** Members in a fixed order: the same document is the same bytes on every machine. */
export function bodyOf(document: KeyDocument): PatchBody {
  const alg = { token_endpoint_auth_signing_alg: document.alg };
  switch (document.format) {
    case 'jwks':
      return { jwks: { keys: document.keys.map(({ jwk }) => jwk) }, ...alg };
    case 'pem':
      return { public_key_pem: document.pem, ...alg };
    case 'jwks_uri':
      return { jwks_uri: document.uri, ...alg };
    default:
      return document satisfies never;
  }
}

export function sameDocument(a: KeyDocument, b: KeyDocument): boolean {
  return JSON.stringify(bodyOf(a)) === JSON.stringify(bodyOf(b));
}

/** The key members of a client, as the server shows them. */
export interface ObservedKeys {
  /** Null: none is registered, and the server verifies RS256. */
  readonly alg: string | null;
  readonly jwksUri: string | null;
  readonly keys: readonly PublishedKey[];
}

/** A client as the server shows it. */
export interface ObservedClient extends ObservedKeys {
  /** Row id: the last path segment of its URL. */
  readonly id: string;
  /** The OAuth `client_id`. */
  readonly clientId: string;
  readonly authMethod: string;
  readonly active: boolean;
  readonly updatedAt: string;
  /** The maker of the probe that created it: a disposable client, which is never managed. Absent for all others. */
  readonly probe?: string;
  /** How long the access tokens live that it is given, in seconds. Absent: the server does not tell. */
  readonly tokenSeconds?: number;
}

/** All that matters of a client, as one text. Not `updatedAt`, which a look moves. */
export function contentOf({ clientId, authMethod, alg, jwksUri, keys }: ObservedClient): string {
  return canonicalJson([clientId, authMethod, alg, jwksUri, keys.map(({ jwk }) => jwk)]);
}

export function showsTheSame(a: ObservedClient, b: ObservedClient): boolean {
  return a.active === b.active && contentOf(a) === contentOf(b);
}
