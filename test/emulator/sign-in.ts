/** Client authentication as the real server does it (`selection: 'wacht'`). */
import { oauthRefusal, type Refusal } from './answer.ts';
import { decodeStandard } from './base64.ts';
import type { StoredClient } from './clients.ts';
import type { Form } from './form.ts';
import { byPublicKey, bySecret, type Claims, verifyJwt } from './jwt.ts';
import { pemKey } from './pem.ts';
import type { Context } from './serve.ts';
import type { PublicKey } from './signature.ts';
import type { App } from './state.ts';

export const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const MAX_LIFETIME = 300;
const SKEW = 60;
/** ES512 is let through here and refused one step later. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512'];

/** What a sign-in is made of. */
export interface Attempt {
  readonly form: Form;
  /** Header. */
  readonly authorization: string | undefined;
  /** Of the endpoint: what an assertion has to name. */
  readonly audience: string;
}

export interface SignedIn {
  readonly client: StoredClient;
  /** Null when it signed in without one. */
  readonly key: PublicKey | null;
}

/** The `client_id` of the Basic credentials, else of the form. */
export function clientIdOf({ form, authorization }: Omit<Attempt, 'audience'>): string | null {
  return basicOf(authorization)?.id ?? form.client_id ?? null;
}

/** @throws Refusal of RFC 6749 form; the `cause` of a 401 tells more than its answer does */
export function signIn(context: Context, app: App, attempt: Attempt): SignedIn {
  const basic = basicOf(attempt.authorization);
  if (basic === null) throw invalidClient('the Basic credentials cannot be read');
  const id = basic?.id ?? attempt.form.client_id;
  if (id === undefined) throw invalidClient('no client_id');
  // PostgreSQL takes no text with a NUL in it.
  if (id.includes('\0')) throw oauthRefusal(500, 'server_error');
  const client = context.state.clientById(app, id);
  if (client === undefined || !client.is_active) throw invalidClient('no such active client');
  const secret = context.state.secretOf(client);
  switch (client.client_auth_method) {
    case 'private_key_jwt':
      return { client, key: byAssertion(context, client, attempt) };
    case 'client_secret_basic':
      checkSecret(secret, basic?.secret);
      break;
    case 'client_secret_post':
      checkSecret(secret, attempt.form.client_secret?.trim());
      break;
    case 'client_secret_jwt':
      bySharedSecret(context, client, secret, attempt);
      break;
  }
  return { client, key: null };
}

function byAssertion(context: Context, client: StoredClient, attempt: Attempt): PublicKey | null {
  const assertion = assertionOf(attempt.form);
  // The first that has the member, even when it is blank; `kid` and `jwks_uri` are not looked at.
  const jwk = client.jwks?.keys.find((key) => key.public_key_pem !== null);
  if (jwk === undefined) throw invalidRequest('private_key_jwt requires a registered PEM key in jwks');
  const alg = client.token_endpoint_auth_signing_alg ?? 'RS256';
  if (!ALGORITHMS.includes(alg)) throw invalidClient(`${alg} is not verified here`);
  if (alg === 'ES512') throw invalidRequest(`Unsupported algorithm: ${alg}`);
  const key = pemKey(jwk, alg.startsWith('RS') ? 'rsa' : 'ec');
  if (key === null) throw oauthRefusal(500, 'server_error');
  acceptClaims(context, client, attempt, verifyJwt(assertion, alg, byPublicKey(alg, key), secondsOf(context)));
  return key.key;
}

function bySharedSecret(context: Context, client: StoredClient, secret: string | undefined, attempt: Attempt): void {
  if (secret === undefined) throw invalidClient('the client has no secret');
  const assertion = assertionOf(attempt.form);
  const alg = client.token_endpoint_auth_signing_alg ?? 'HS256';
  if (!['HS256', 'HS384', 'HS512'].includes(alg)) throw invalidClient(`${alg} is not verified here`);
  acceptClaims(context, client, attempt, verifyJwt(assertion, alg, bySecret(alg, secret), secondsOf(context)));
}

function assertionOf({ client_assertion_type: type, client_assertion: assertion }: Form): string {
  if (type !== ASSERTION_TYPE) throw invalidClient('client_assertion_type');
  if (assertion === undefined) throw invalidClient('client_assertion is missing');
  return assertion;
}

function acceptClaims(context: Context, client: StoredClient, { audience }: Attempt, claims: Claims): void {
  const { iss, sub, aud, exp, iat, nbf, jti } = claims;
  const now = secondsOf(context);
  if (iss !== client.client_id || sub !== client.client_id) throw invalidClient('iss and sub must be the client_id');
  if (aud !== audience && !(Array.isArray(aud) && aud.includes(audience)))
    throw invalidClient(`aud is not ${audience}`);
  if (exp === null || iat === null || jti === null) throw invalidClient('exp, iat and jti are required');
  if (exp <= now) throw invalidClient('expired');
  // Counted from now, not from iat: the longest life fails as soon as the signer's clock is ahead.
  if (exp > now + MAX_LIFETIME) throw invalidClient('ends more than 300 s from now');
  if (iat > now + SKEW) throw invalidClient('iat is in the future');
  if (iat < now - MAX_LIFETIME) throw invalidClient('iat is more than 300 s ago');
  if (exp - iat > MAX_LIFETIME) throw invalidClient('lives longer than 300 s');
  if (nbf !== null && nbf > now + SKEW) throw invalidClient('nbf is in the future');
  if (jti.trim() === '') throw invalidClient('jti is required');
  const until = context.now() / 1000 + Math.min(Math.max(exp - now, 1), MAX_LIFETIME);
  if (!context.state.spend(`${client.client_id} ${jti.trim()}`, until)) throw invalidClient('jti was used before');
}

function checkSecret(expected: string | undefined, given: string | undefined): void {
  if (!given) throw invalidClient('no client_secret');
  if (given !== expected) throw invalidClient('another client_secret');
}

/** Undefined when there are none, null when they cannot be read. */
function basicOf(
  authorization: string | undefined,
): { readonly id: string; readonly secret: string } | null | undefined {
  if (!authorization?.startsWith('Basic ')) return undefined;
  const pair = decodeStandard(authorization.slice('Basic '.length).trim())?.toString() ?? '';
  const [, id, secret] = /^([^:]+):(.+)$/s.exec(pair) ?? [];
  return id === undefined || secret === undefined ? null : { id, secret };
}

function secondsOf(context: Context): number {
  return Math.floor(context.now() / 1000);
}

function invalidRequest(message: string): Refusal {
  return oauthRefusal(400, 'invalid_request', message);
}

export function invalidClient(why: string): Refusal {
  const refusal = oauthRefusal(401, 'invalid_client');
  refusal.cause = why;
  return refusal;
}
