/** A client as the server stores it, and what POST and PATCH make of one, checked in the server's order. */
import { refusal } from './answer.ts';
import {
  checkGrantTypes,
  checkJwks,
  checkJwksUri,
  checkMethod,
  checkRedirectUris,
  checkTokens,
  checkWebPage,
  checkWebUris,
  materialRefused,
} from './client-rules.ts';
import { type CreateBody, pemJwks, type StoredJwks, type UpdateBody } from './wire.ts';

/** A client as stored, which is also how it is answered. Never changed in place: a PATCH puts a new object in its stead. */
export interface StoredClient {
  readonly id: string;
  readonly oauth_app_id: string;
  readonly client_id: string;
  readonly client_auth_method: string;
  readonly grant_types: readonly string[];
  readonly redirect_uris: readonly string[];
  readonly client_name: string | null;
  readonly client_uri: string | null;
  readonly logo_uri: string | null;
  readonly tos_uri: string | null;
  readonly policy_uri: string | null;
  readonly contacts: readonly string[];
  readonly software_id: string | null;
  readonly software_version: string | null;
  readonly token_endpoint_auth_signing_alg: string | null;
  readonly jwks_uri: string | null;
  readonly jwks: StoredJwks | null;
  /** Of the first JWK that has the member, blank or not. */
  readonly public_key_pem: string | null;
  readonly is_active: boolean;
  readonly post_logout_redirect_uris: readonly string[];
  readonly id_token_signing_alg: string;
  readonly access_token_format: string;
  readonly access_token_ttl_seconds: number;
  readonly skip_consent: boolean;
  readonly created_at: string;
  readonly updated_at: string;
}

/** The part of a client that requests can set. */
export type Settings = Omit<
  StoredClient,
  'id' | 'oauth_app_id' | 'client_id' | 'is_active' | 'created_at' | 'updated_at'
>;

/** A client of whom nothing is said: the members that have a default, and all of them in the order in which they are answered. */
export const BLANK: StoredClient = {
  id: '',
  oauth_app_id: '',
  client_id: '',
  client_auth_method: '',
  grant_types: [],
  redirect_uris: [],
  client_name: null,
  client_uri: null,
  logo_uri: null,
  tos_uri: null,
  policy_uri: null,
  contacts: [],
  software_id: null,
  software_version: null,
  token_endpoint_auth_signing_alg: null,
  jwks_uri: null,
  jwks: null,
  public_key_pem: null,
  is_active: true,
  post_logout_redirect_uris: [],
  id_token_signing_alg: 'RS256',
  access_token_format: 'opaque',
  access_token_ttl_seconds: 3600,
  skip_consent: false,
  created_at: '',
  updated_at: '',
};

/** Texts that are stored trimmed. */
const TEXTS = [
  'client_name',
  'client_uri',
  'logo_uri',
  'tos_uri',
  'policy_uri',
  'software_id',
  'software_version',
] as const;
const WEB_PAGES = ['client_uri', 'logo_uri', 'tos_uri', 'policy_uri'] as const;

/** @throws Refusal 400, 500 */
export function newSettings(body: CreateBody): Settings {
  checkTokens(body);
  checkGrantTypes(body.grant_types);
  const method = body.client_auth_method;
  checkMethod(method);
  const material = materialOf(body);
  if (method === 'private_key_jwt') {
    if (material.length !== 1) {
      throw refusal(400, 'private_key_jwt requires exactly one of jwks_uri, jwks, or public_key_pem');
    }
    // Blank or not: a blank jwks_uri beside another kind of key is no URL.
    if (body.jwks_uri !== null) checkJwksUri(body.jwks_uri.trim());
    checkJwks(body.jwks);
  } else if (material.length > 0) throw materialRefused();
  for (const member of WEB_PAGES) checkWebPage(member, trimmed(body[member]));
  checkRedirectUris(body.redirect_uris, body.grant_types);
  checkWebUris('post_logout_redirect_uris', body.post_logout_redirect_uris);
  return changed(BLANK, body);
}

/**
 * `current` with what `body` sets. An absent or null member leaves the stored value, a blank one too, but for the texts: those it clears.
 * @throws Refusal 400, 404, 500
 */
export function changedSettings(current: StoredClient, body: UpdateBody): Settings {
  checkTokens(body);
  if (body.grant_types !== null) checkGrantTypes(body.grant_types);
  if (!current.is_active) throw refusal(404, 'OAuth client not found or inactive');
  const method = body.client_auth_method ?? current.client_auth_method;
  checkMethod(method);
  checkRedirectUris(body.redirect_uris ?? current.redirect_uris, body.grant_types ?? current.grant_types);
  checkWebUris('post_logout_redirect_uris', body.post_logout_redirect_uris ?? []);
  const material = materialOf(body);
  if (method === 'private_key_jwt') {
    if (material.length > 1) {
      throw refusal(400, 'private_key_jwt accepts only one of jwks_uri, jwks, or public_key_pem per update');
    }
    if (material.length === 0 && current.jwks_uri === null && current.jwks === null) {
      throw refusal(400, 'private_key_jwt requires existing or new key material');
    }
    const uri = trimmed(body.jwks_uri);
    if (uri !== null) checkJwksUri(uri);
    checkJwks(body.jwks);
  } else if (material.length > 0) throw materialRefused();
  return changed(current, body);
}

function changed(current: Settings, body: CreateBody | UpdateBody): Settings {
  if (hasNul(body)) throw refusal(500, 'Something went wrong');
  const pem = trimmed(body.public_key_pem);
  const jwks = (pem === null ? body.jwks : pemJwks(pem)) ?? current.jwks;
  const texts = Object.fromEntries(
    TEXTS.map((member) => [member, body[member] === null ? current[member] : trimmed(body[member])]),
  ) as Pick<Settings, (typeof TEXTS)[number]>; // one entry for each of them
  return {
    client_auth_method: body.client_auth_method ?? current.client_auth_method,
    grant_types: body.grant_types ?? current.grant_types,
    redirect_uris: body.redirect_uris ?? current.redirect_uris,
    ...texts,
    contacts: body.contacts ?? current.contacts,
    token_endpoint_auth_signing_alg:
      trimmed(body.token_endpoint_auth_signing_alg) ?? current.token_endpoint_auth_signing_alg,
    jwks_uri: trimmed(body.jwks_uri) ?? current.jwks_uri,
    jwks,
    public_key_pem: firstPem(jwks),
    post_logout_redirect_uris: body.post_logout_redirect_uris ?? current.post_logout_redirect_uris,
    id_token_signing_alg: trimmed(body.id_token_signing_alg) ?? current.id_token_signing_alg,
    access_token_format: body.access_token_format ?? current.access_token_format,
    access_token_ttl_seconds: body.access_token_ttl_seconds ?? current.access_token_ttl_seconds,
    skip_consent: body.skip_consent ?? current.skip_consent,
  };
}

/** The kinds of key material that a body has. */
function materialOf(body: CreateBody | UpdateBody): readonly unknown[] {
  return [trimmed(body.jwks_uri), body.jwks, trimmed(body.public_key_pem)].filter((member) => member !== null);
}

function firstPem(jwks: StoredJwks | null): string | null {
  return jwks?.keys.find((key) => key.public_key_pem !== null)?.public_key_pem ?? null;
}

/** Blank counts as absent, and surrounding white space is not kept: a PEM comes back without its last newline. */
function trimmed(text: string | null): string | null {
  return text?.trim() || null;
}

/** PostgreSQL stores no text with a NUL in it. */
function hasNul(value: unknown): boolean {
  if (typeof value === 'string') return value.includes('\0');
  return typeof value === 'object' && value !== null && Object.values(value).some(hasNul);
}
