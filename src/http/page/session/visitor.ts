/** Who has signed in, by the cookie of the browser. */
import type { FastifyRequest } from 'fastify';
import { hasCode } from '../../../errors.ts';
import { answerOf } from '../../../store/redis/patience.ts';
import { trusted } from '../../auth.ts';
import type { Visitor } from '../routes.ts';
import { COOKIE, cookieName, isSecure, readCookie } from './cookies.ts';
import { derived, type Session, type SessionBook } from './session.ts';

/** How long a visitor waits for the lookup of a token or a session, in ms. */
export const KNOWN_MS = 4_000;

const NEVER = new AbortController().signal;

/** Null: nobody, or the session has ended. @throws RekeydError `redis_unreachable`; ProblemError 503 */
export async function visitorOf(
  request: Pick<FastifyRequest, 'raw' | 'headers'>,
  sessions: SessionBook,
): Promise<Visitor | null> {
  const id = readCookie(request, cookieName(COOKIE, isSecure(request)));
  const session = id === null ? null : await known(sessions.find(id));
  return session === null ? null : visitorIn(session, sessions);
}

/** @throws RekeydError `redis_unreachable`; ProblemError 503 */
function known<T>(work: Promise<T>): Promise<T> {
  return trusted(answerOf(work, { signal: NEVER, ms: KNOWN_MS }, '')) as Promise<T>; // null only after an abort
}

function visitorIn(session: Session, { find }: SessionBook): Visitor {
  const { id, token } = session;
  const { name, hash: key, scopes, only } = token;
  // While the store does not answer, the session is taken to go on.
  const isValid = () =>
    known(find(id)).then(
      (found) => found !== null,
      (error: unknown) => hasCode(error, 'redis_unreachable'),
    );
  const principal = { claimedBy: `token:${name}`, key, scopes, only, isValid };
  return { principal, session, csrf: derived(id, 'csrf'), mayAct: scopes.includes('rotate') };
}
