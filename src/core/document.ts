/** Public key material as JSON: what is sent to and found on the server. */

/** Any JSON object with a `kty` (RFC 7517 section 4); foreign members are kept as they are. */
export type PublicJwk = { readonly kty: string; readonly [member: string]: unknown };

/** The key members of one PATCH body: exactly one of the three, with the alg. Same bytes for the same document. */
export interface KeyDocument {
  readonly jwks?: { readonly keys: readonly PublicJwk[] };
  readonly public_key_pem?: string;
  readonly jwks_uri?: string;
  readonly token_endpoint_auth_signing_alg: string;
}

/** A client as the server shows it, members that are null inside JWKs already dropped. */
export interface ObservedClient {
  /** Row id: the last path segment of its URL. */
  readonly id: string;
  /** The OAuth `client_id`. */
  readonly clientId: string;
  readonly authMethod: string;
  readonly alg: string | null;
  readonly jwksUri: string | null;
  readonly keys: readonly PublicJwk[];
  readonly active: boolean;
  readonly updatedAt: string;
}
