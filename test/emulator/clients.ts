/** What the server checks before it stores a client, in its order and with its messages. */
import { refusal } from './answer.ts';
import { type ClientBody, pemJwks, type StoredJwks } from './wire.ts';

/** A client as stored, which is also how it is answered. Never changed in place: a PATCH puts a new object in its stead. */
export interface StoredClient {
  readonly id: string;
  readonly oauth_app_id: string;
  readonly client_id: string;
  readonly client_auth_method: string;
  readonly grant_types: readonly string[];
  readonly redirect_uris: readonly string[];
  readonly client_name: string | null;
  readonly token_endpoint_auth_signing_alg: string | null;
  readonly jwks_uri: string | null;
  readonly jwks: StoredJwks | null;
  /** The first PEM found in `jwks`. */
  readonly public_key_pem: string | null;
  readonly is_active: boolean;
  readonly created_at: string;
  readonly updated_at: string;
}

/** The part of a client that requests can set. */
type Settings = Omit<StoredClient, 'id' | 'oauth_app_id' | 'client_id' | 'is_active' | 'created_at' | 'updated_at'>;

const METHODS = ['client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'none', 'private_key_jwt'];

/** @throws Refusal 400 */
export function newSettings(body: ClientBody): Settings {
  checkGrantTypes(body.grant_types ?? []);
  const method = body.client_auth_method ?? '';
  checkMethod(method);
  if (method === 'private_key_jwt' && materialCount(body) !== 1) {
    throw refusal(400, 'private_key_jwt requires exactly one of jwks_uri, jwks, or public_key_pem');
  }
  checkMaterial(method, body);
  checkRedirectUris(body.redirect_uris ?? [], body.grant_types ?? []);
  const jwks = materialOf(body);
  return {
    client_auth_method: method,
    grant_types: body.grant_types ?? [],
    redirect_uris: body.redirect_uris ?? [],
    client_name: body.client_name,
    token_endpoint_auth_signing_alg: body.token_endpoint_auth_signing_alg,
    jwks_uri: body.jwks_uri,
    jwks,
    public_key_pem: firstPem(jwks),
  };
}

/** `current` with what `body` sets; an absent member leaves the stored value, so nothing can be cleared. @throws Refusal 400 */
export function changedSettings(current: StoredClient, body: ClientBody): Settings {
  if (body.grant_types !== null) checkGrantTypes(body.grant_types);
  const method = body.client_auth_method ?? current.client_auth_method;
  checkMethod(method);
  const grantTypes = body.grant_types ?? current.grant_types;
  const redirectUris = body.redirect_uris ?? current.redirect_uris;
  checkRedirectUris(redirectUris, grantTypes);
  if (method === 'private_key_jwt') {
    if (materialCount(body) > 1) {
      throw refusal(400, 'private_key_jwt accepts only one of jwks_uri, jwks, or public_key_pem per update');
    }
    if (materialCount(body) === 0 && current.jwks_uri === null && current.jwks === null) {
      throw refusal(400, 'private_key_jwt requires existing or new key material');
    }
  }
  checkMaterial(method, body);
  const jwks = materialOf(body) ?? current.jwks;
  return {
    client_auth_method: method,
    grant_types: grantTypes,
    redirect_uris: redirectUris,
    client_name: body.client_name ?? current.client_name,
    token_endpoint_auth_signing_alg: body.token_endpoint_auth_signing_alg ?? current.token_endpoint_auth_signing_alg,
    jwks_uri: body.jwks_uri ?? current.jwks_uri,
    jwks,
    public_key_pem: firstPem(jwks),
  };
}

function materialCount(body: ClientBody): number {
  return [body.jwks_uri, body.jwks, body.public_key_pem].filter((member) => member !== null).length;
}

function materialOf(body: ClientBody): StoredJwks | null {
  return body.public_key_pem === null ? body.jwks : pemJwks(body.public_key_pem);
}

function firstPem(jwks: StoredJwks | null): string | null {
  return jwks?.keys.find((key) => key.public_key_pem !== null)?.public_key_pem ?? null;
}

function checkMethod(method: string): void {
  if (!METHODS.includes(method)) throw refusal(400, `unsupported client_auth_method: ${method}`);
}

function checkMaterial(method: string, body: ClientBody): void {
  if (method !== 'private_key_jwt') {
    if (materialCount(body) === 0) return;
    throw refusal(400, 'jwks_uri/jwks/public_key_pem are only allowed when client_auth_method is private_key_jwt');
  }
  if (body.jwks_uri !== null) {
    if (!URL.canParse(body.jwks_uri)) throw refusal(400, 'jwks_uri must be a valid URL');
    if (new URL(body.jwks_uri).protocol !== 'https:') throw refusal(400, 'jwks_uri must use https');
  }
  if (body.jwks === null) return;
  if (body.jwks.keys.length === 0) throw refusal(400, 'jwks.keys must include at least one key');
  if (body.jwks.keys.some((key) => key.k !== null)) {
    throw refusal(400, 'jwks for private_key_jwt must contain public keys, not symmetric secrets');
  }
}

function checkGrantTypes(grantTypes: readonly string[]): void {
  if (grantTypes.length === 0) throw refusal(400, 'grant_types must include at least one grant');
  for (const grant of grantTypes.map((entry) => entry.trim())) {
    if (grant === '') throw refusal(400, 'grant_types must not contain empty values');
    if (grant === 'client_credentials') throw refusal(400, 'client_credentials is disabled for now');
    if (grant !== 'authorization_code' && grant !== 'refresh_token') {
      throw refusal(400, `unsupported grant_type: ${grant}. supported values: authorization_code, refresh_token`);
    }
  }
  if (!grantTypes.some((grant) => grant.trim() === 'authorization_code')) {
    throw refusal(400, 'authorization_code grant is required');
  }
}

function checkRedirectUris(uris: readonly string[], grantTypes: readonly string[]): void {
  if (uris.length === 0 && grantTypes.includes('authorization_code')) {
    throw refusal(400, 'redirect_uris must include at least one URI for authorization_code');
  }
  for (const uri of uris.map((entry) => entry.trim())) {
    if (uri === '') throw refusal(400, 'redirect_uris must not contain empty values');
    if (!URL.canParse(uri)) throw refusal(400, 'redirect_uris must contain valid URLs');
    const { protocol } = new URL(uri);
    if (protocol !== 'http:' && protocol !== 'https:') {
      throw refusal(400, 'redirect_uris must use http or https');
    }
    if (uri.includes('#')) throw refusal(400, 'redirect_uris must not include fragments');
  }
}
