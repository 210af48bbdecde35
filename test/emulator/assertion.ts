/** Client authentication with `private_key_jwt` (RFC 7523) by the variants: `first_pem`, and `jwks_kid` as RFC 7517 wants it. */
import { oauthRefusal, type Refusal } from './answer.ts';
import type { StoredClient } from './clients.ts';
import { invalidToken } from './jwt.ts';
import type { Context } from './serve.ts';
import { ASSERTION_TYPE, type Attempt, invalidClient, type SignedIn } from './sign-in.ts';
import { isAlgorithm, type PublicKey, publicKey, sameFamily, verifies } from './signature.ts';
import type { App } from './state.ts';
import { parseJson, readJwks, type StoredJwk } from './wire.ts';

const MAX_LIFETIME = 300;
const SKEW = 60;
const FIRST_PEM_ALGORITHMS = ['RS256', 'RS384', 'RS512', 'ES256', 'ES384'];

interface Assertion {
  readonly header: Readonly<Record<string, unknown>>;
  readonly claims: Readonly<Record<string, unknown>>;
  readonly signed: string;
  readonly signature: Buffer;
}

/** Decodes without checking anything; null when it is no compact JWS with JSON objects inside. */
export function decodeAssertion(jws: string): Assertion | null {
  const parts = jws.split('.');
  const [header, claims] = parts.slice(0, 2).map((part) => parseJson(Buffer.from(part, 'base64url').toString()));
  if (parts.length !== 3 || !isObject(header) || !isObject(claims)) return null;
  return {
    header,
    claims,
    signed: `${parts[0]}.${parts[1]}`,
    signature: Buffer.from(parts[2] ?? '', 'base64url'),
  };
}

/**
 * Checks the assertion, and answers with the key that it was signed with.
 * @throws Refusal of RFC 6749 form; its `cause` tells more than its answer does
 */
export async function authenticate(
  context: Context,
  app: App,
  client: StoredClient | undefined,
  { form, audience }: Attempt,
): Promise<SignedIn> {
  if (client === undefined || !client.is_active) throw invalidClient('no such active client');
  if (client.client_auth_method !== 'private_key_jwt') throw invalidClient('the client does not use private_key_jwt');
  if (form.client_assertion_type !== ASSERTION_TYPE) throw invalidClient('client_assertion_type');
  const jws = form.client_assertion;
  if (jws === undefined) throw invalidClient('client_assertion is missing');
  const assertion = decodeAssertion(jws);
  if (assertion === null) throw invalidToken('InvalidToken');
  const key = app.selection === 'first_pem' ? byFirstPem(client, assertion) : await byKid(context, client, assertion);
  checkClaims(assertion.claims, client.client_id, audience, Math.floor(context.now() / 1000));
  spendJti(context, client, assertion.claims);
  return { client, key };
}

function byFirstPem(client: StoredClient, { header, signed, signature }: Assertion): PublicKey {
  const jwk = client.jwks?.keys.find((key) => key.public_key_pem?.trim());
  if (jwk === undefined) {
    throw oauthRefusal(400, 'invalid_request', 'private_key_jwt requires a registered PEM key in jwks');
  }
  const alg = client.token_endpoint_auth_signing_alg ?? 'RS256';
  if (!FIRST_PEM_ALGORITHMS.includes(alg)) throw invalidSignature(`${alg} is not verified here`);
  const key = publicKey(jwk, 'pem');
  if (key === null || !sameFamily(alg, key)) throw oauthRefusal(500, 'server_error');
  if (header.alg !== alg) throw invalidSignature(`the alg is not ${alg}`);
  if (!verifies(alg, key, signed, signature)) throw invalidSignature('the key did not sign it');
  return key;
}

async function byKid(context: Context, client: StoredClient, assertion: Assertion): Promise<PublicKey> {
  const { header, signed, signature } = assertion;
  const { alg } = header;
  const registered = client.token_endpoint_auth_signing_alg;
  if (typeof alg !== 'string' || !isAlgorithm(alg)) throw invalidSignature('the alg is unknown');
  if (registered !== null && alg !== registered) throw invalidSignature(`the alg is not ${registered}`);
  const keys = client.jwks_uri === null ? (client.jwks?.keys ?? []) : await fetchKeys(context, client.jwks_uri);
  const jwk = selectKey(keys, header.kid);
  if (jwk === undefined || !mayVerify(jwk, alg)) throw invalidSignature('no key for that kid and alg');
  const key = publicKey(jwk, 'jwk');
  if (key === null || !verifies(alg, key, signed, signature)) throw invalidSignature('the key did not sign it');
  return key;
}

/** By `kid`; a key without one can only be meant when it is the only one. */
function selectKey(keys: readonly StoredJwk[], kid: unknown): StoredJwk | undefined {
  const only = keys.length === 1 ? keys[0] : undefined;
  if (kid === undefined || only?.kid === null) return only;
  return keys.find((key) => key.kid === kid);
}

/** RFC 7517 sections 4.2 to 4.4: a key that says what it is for is used for nothing else. */
function mayVerify(jwk: StoredJwk, alg: string): boolean {
  return (
    (jwk.alg === null || jwk.alg === alg) &&
    (jwk.use === null || jwk.use === 'sig') &&
    (jwk.key_ops === null || jwk.key_ops.includes('verify'))
  );
}

/** Read anew for every assertion: what the URL shows is what counts. */
async function fetchKeys(context: Context, jwksUri: string): Promise<readonly StoredJwk[]> {
  const url = new URL(jwksUri);
  const origin = context.resolve.get(url.host) ?? url.origin;
  try {
    const response = await fetch(`${origin}${url.pathname}${url.search}`, {
      headers: { accept: 'application/jwk-set+json, application/json' },
      redirect: 'error',
      signal: AbortSignal.timeout(5000),
    });
    if (!response.ok) throw new Error(`status ${response.status}`);
    return readJwks(await response.json()).keys;
  } catch (error) {
    throw withCause(oauthRefusal(400, 'invalid_request', 'jwks_uri could not be fetched'), String(error));
  }
}

function checkClaims(claims: Assertion['claims'], clientId: string, audience: string, now: number): void {
  const { iss, sub, aud, exp, iat, nbf } = claims;
  if (iss !== clientId || sub !== clientId) throw invalidClient('iss and sub must be the client_id');
  if (aud !== audience && !(Array.isArray(aud) && aud.includes(audience)))
    throw invalidClient(`aud is not ${audience}`);
  if (typeof exp !== 'number' || typeof iat !== 'number') throw invalidClient('iat and exp are required');
  // Together: no exp is more than 300 s and the skew ahead, and no iat as much behind.
  if (exp + SKEW <= now) throw invalidClient('expired');
  if (exp - iat > MAX_LIFETIME) throw invalidClient('lives longer than 300 s');
  if (iat > now + SKEW) throw invalidClient('iat is in the future');
  if (nbf !== undefined && (typeof nbf !== 'number' || nbf > now + SKEW)) throw invalidClient('nbf is in the future');
}

function spendJti(context: Context, client: StoredClient, { jti, exp }: Assertion['claims']): void {
  if (typeof jti !== 'string' || jti.trim() === '') throw invalidClient('jti is required');
  // Until the assertion is too old for this server: forgotten at its exp, it could come again while the skew lasts.
  if (!context.state.spend(`${client.client_id} ${jti.trim()}`, Number(exp) + SKEW))
    throw invalidClient('jti was used before');
}

/** A wrong alg has no answer of its own. */
function invalidSignature(why: string): Refusal {
  return withCause(invalidToken('InvalidSignature'), why);
}

function withCause(refusal: Refusal, why: string): Refusal {
  refusal.cause = why;
  return refusal;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
