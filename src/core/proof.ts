/** What the authorization server's answer to a client assertion says about the key that signed it. */
import { answerMessage, members, parseJson, type ServerAnswer } from './reply.ts';
import { wishedWaitMs } from './wish.ts';

export type Verdict =
  /** The server authenticated the client: the key works. */
  | { readonly verdict: 'accepted' }
  /**
   * The server looked at the assertion and turned it down. `claims` is true when the reason may be its claims (a wrong clock, an unknown
   * client) rather than its signature.
   */
  | { readonly verdict: 'refused'; readonly status: number; readonly message: string; readonly claims: boolean }
  | { readonly verdict: 'throttled'; readonly retryAfterMs: number; readonly message: string }
  /** Nothing was learned about the key. `status` is null when there was no answer. */
  | { readonly verdict: 'unknown'; readonly status: number | null; readonly message: string };

/** The server's words for a signature or alg that does not fit, and for a key set that holds nothing it can verify with. */
const KEY_REFUSED =
  /\binvalid token\b|requires a registered PEM key|unsupported algorithm|\bInvalidAlgorithm\b|\b(?:JSON|Base64) error\b/i;

/** Among those, the ones that name a claim: the signature was never the question. */
const CLAIM_REFUSED = /invalid token: ?(?:expired|immature|invalid(?:issuer|audience|subject)|missing)/i;

/**
 * Reads the answer of an introspection endpoint (RFC 7662) that was asked, with a client assertion, about a made-up token. Only answers that can
 * come from nothing but the check of that assertion decide; a rotation is rolled back on `refused`, so all else is `unknown`.
 */
export function classifyProof(answer: ServerAnswer): Verdict {
  const { status } = answer;
  const { active, error, error_description: description } = members(parseJson(answer.body));
  if (status === 200 && typeof active === 'boolean') return { verdict: 'accepted' };
  const message = answerMessage(answer);
  if (status === 429) return { verdict: 'throttled', retryAfterMs: wishedWaitMs(answer), message };
  // RFC 6749 section 5.2 leaves a server the choice between 400 and 401 for invalid_client.
  if (error === 'invalid_client' && (status === 400 || status === 401))
    return { verdict: 'refused', status, message, claims: true };
  if (
    status === 400 &&
    error === 'invalid_request' &&
    typeof description === 'string' &&
    KEY_REFUSED.test(description)
  ) {
    return { verdict: 'refused', status, message, claims: CLAIM_REFUSED.test(description) };
  }
  return { verdict: 'unknown', status, message };
}
