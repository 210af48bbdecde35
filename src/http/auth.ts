/** Who calls: by a bearer token (RFC 6750), or by a client certificate. */
import type { FastifyRequest } from 'fastify';
import type { CertificateConfig } from '../config/model.ts';
import type { Token, TokenScope } from '../core/token.ts';
import { hasCode } from '../errors.ts';
import { certificatePrincipal } from './certificate.ts';
import { soon } from './patience.ts';
import type { Principal } from './principal.ts';
import { ProblemError } from './problem.ts';
import type { TokenBook } from './tokens.ts';

/** Of the config in force. */
export interface Credentials {
  readonly tokens: TokenBook;
  readonly certificates: readonly CertificateConfig[];
}

/**
 * @param onKnown told who calls, also when the scope is missing
 * @throws ProblemError 401 without a valid credential; 403 when it has not the scope; 503 when tokens cannot be checked
 */
export async function authenticate(
  request: FastifyRequest,
  scope: TokenScope,
  credentials: () => Credentials,
  onKnown: (principal: Principal) => void,
): Promise<Principal> {
  const principal = await principalOf(request, credentials);
  onKnown(principal);
  if (principal.scopes.includes(scope)) return principal;
  throw new ProblemError(
    403,
    `${principal.claimedBy} has ${principal.scopes.join(', ')}, and this takes the scope ${scope}: \`rekeyd token create NAME --scope ${scope}\`.`,
    { headers: { 'www-authenticate': challenge(`error="insufficient_scope", scope="${scope}"`) } },
  );
}

async function principalOf(request: FastifyRequest, credentials: () => Credentials): Promise<Principal> {
  const { authorization } = request.headers;
  if (authorization === undefined) {
    const certified = certificatePrincipal(request.raw.socket, () => credentials().certificates);
    if (certified !== null) return certified;
    throw unauthenticated('This takes a token: send Authorization: Bearer TOKEN. `rekeyd token create` makes one.', '');
  }
  const [, value] = /^Bearer +([A-Za-z0-9._~+/-]+=*)$/i.exec(authorization) ?? [];
  const token = value === undefined ? null : await find(credentials().tokens, value);
  if (value === undefined || token === null) {
    throw unauthenticated(
      'This token is not accepted: it was never made, has expired, or was revoked.',
      'error="invalid_token"',
    );
  }
  // While the store does not answer, the token counts as valid: a stream has nothing new to tell then either.
  const isValid = () =>
    find(credentials().tokens, value).then(
      (found) => found !== null,
      (error: unknown) => hasCode(error, 'redis_unreachable'),
    );
  return { claimedBy: `token:${token.name}`, key: token.hash, scopes: token.scopes, only: token.only, isValid };
}

function find(tokens: TokenBook, value: string): Promise<Token | null> {
  return trusted(soon(tokens.find(value)));
}

/** The answer of a lookup in the list of tokens. @throws ProblemError 503 when the list cannot be trusted */
export async function trusted<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (hasCode(error, 'kms_unavailable')) throw new ProblemError(503, `No token can be checked now. ${error.message}`);
    if (!(hasCode(error, 'key_tampered') || hasCode(error, 'kek_missing'))) throw error;
    const detail =
      'No token is accepted now: the list of tokens in the store cannot be trusted. The log of rekeyd says why.';
    throw new ProblemError(503, detail, { cause: error });
  }
}

function unauthenticated(detail: string, error: string): ProblemError {
  return new ProblemError(401, detail, { headers: { 'www-authenticate': challenge(error) } });
}

function challenge(error: string): string {
  return `Bearer realm="rekeyd"${error === '' ? '' : `, ${error}`}`;
}
