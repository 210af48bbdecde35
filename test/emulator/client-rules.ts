/** What the members of a client have to be, each with the server's message. All throw a Refusal with 400. */
import { refusal } from './answer.ts';
import type { StoredJwks, UpdateBody } from './wire.ts';

const METHODS = ['client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'none', 'private_key_jwt'];

type TokenMembers = Pick<UpdateBody, 'id_token_signing_alg' | 'access_token_format' | 'access_token_ttl_seconds'>;

export function checkTokens(body: TokenMembers): void {
  const { id_token_signing_alg: alg, access_token_format: format, access_token_ttl_seconds: life } = body;
  if (alg !== null && alg !== 'RS256') {
    throw refusal(400, `id_token_signing_alg \`${alg}\` is not supported. Only RS256 is currently supported.`);
  }
  if (format !== null && format !== 'opaque' && format !== 'jwt') {
    throw refusal(400, "access_token_format must be 'opaque' or 'jwt'");
  }
  if (life !== null && (life < 60 || life > 86_400)) {
    throw refusal(400, 'access_token_ttl_seconds must be between 60 and 86400');
  }
}

export function checkMethod(method: string): void {
  if (!METHODS.includes(method)) throw refusal(400, `unsupported client_auth_method: ${method}`);
}

export function materialRefused() {
  return refusal(400, 'jwks_uri/jwks/public_key_pem are only allowed when client_auth_method is private_key_jwt');
}

export function checkJwksUri(uri: string): void {
  if (!URL.canParse(uri)) throw refusal(400, 'jwks_uri must be a valid URL');
  if (new URL(uri).protocol !== 'https:') throw refusal(400, 'jwks_uri must use https');
}

export function checkJwks(jwks: StoredJwks | null): void {
  if (jwks === null) return;
  if (jwks.keys.length === 0) throw refusal(400, 'jwks.keys must include at least one key');
  if (jwks.keys.some((key) => key.k !== null)) {
    throw refusal(400, 'jwks for private_key_jwt must contain public keys, not symmetric secrets');
  }
}

export function checkGrantTypes(grantTypes: readonly string[]): void {
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

export function checkRedirectUris(uris: readonly string[], grantTypes: readonly string[]): void {
  if (uris.length === 0 && grantTypes.includes('authorization_code')) {
    throw refusal(400, 'redirect_uris must include at least one URI for authorization_code');
  }
  checkWebUris('redirect_uris', uris);
}

export function checkWebUris(member: string, uris: readonly string[]): void {
  for (const uri of uris.map((entry) => entry.trim())) {
    if (uri === '') throw refusal(400, `${member} must not contain empty values`);
    if (!URL.canParse(uri)) throw refusal(400, `${member} must contain valid URLs`);
    if (!isWeb(uri)) throw refusal(400, `${member} must use http or https`);
    if (uri.includes('#')) throw refusal(400, `${member} must not include fragments`);
  }
}

export function checkWebPage(member: string, uri: string | null): void {
  if (uri === null) return;
  if (!URL.canParse(uri)) throw refusal(400, `${member} must be a valid URL`);
  if (!isWeb(uri)) throw refusal(400, `${member} must use http or https`);
}

function isWeb(uri: string): boolean {
  return ['http:', 'https:'].includes(new URL(uri).protocol);
}
