/**
 * Sessions of the page. The browser holds a random id. The store holds, under the hash of the id, a text that is signed with a KEK and names the token that
 * the visitor has signed in with. So write access to Redis is not enough to make a session, or to give one to another token. A session has the rights of its
 * token, and ends with it.
 */
import { createHmac, hash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Token } from '../../../core/token.ts';
import { hasCode } from '../../../errors.ts';
import type { Kek } from '../../../keys/kek.ts';
import { signDocument, verifyDocument } from '../../../keys/signed.ts';
import type { Log } from '../../../rotation/resources.ts';
import type { Store } from '../../../store/store.ts';
import { openLimiter, type Rate, slowDown } from '../../rate.ts';
import type { TokenBook } from '../../tokens.ts';

export const SESSION_MS = 8 * 3_600_000;

/** How many sessions a token may have: when one more begins, the oldest ends. */
export const MOST_SESSIONS = 20;

/**
 * For each token: a sign-in writes to the audit log and to disk. Not for each address, since all visitors may come through one proxy, and one of them could
 * keep the others out.
 */
const SIGN_INS: Rate = { max: 30, perMs: 60_000 };

const PURPOSE = 'sessions of the page';
const ID = /^[A-Za-z0-9_-]{43}$/;

interface Document {
  readonly v: 1;
  /** The id of the store: a session of another store does not count. */
  readonly store: string;
  /** The hash that it is stored under: a copy under another hash does not count. */
  readonly session: string;
  /** Hash of the token's value. */
  readonly token: string;
  /** On the store's clock, in ms since the epoch. */
  readonly until: number;
}

export interface Session {
  /** What the cookie holds. */
  readonly id: string;
  readonly token: Token;
}

export interface SessionBook {
  /** Always under a new id. @throws RekeydError `not_durable`; ProblemError 429 */
  begin(token: Token, address: string): Promise<Session>;
  /** Null: it has ended, or its token has. @throws RekeydError `redis_unreachable`, `kms_unavailable`; `key_tampered`, `kek_missing` when no token can be trusted */
  find(id: string): Promise<Session | null>;
  /** @throws RekeydError `not_durable` */
  end(session: Session, address: string): Promise<void>;
}

export interface SessionParts {
  readonly store: Pick<Store, 'id' | 'now' | 'signedSession' | 'beginSession' | 'endSession'>;
  readonly keks: readonly Kek[];
  readonly tokens: TokenBook;
  readonly log: Log;
}

/** @param parts of the config in force */
export function openSessionBook(parts: () => SessionParts): SessionBook {
  const limit = openLimiter(() => SIGN_INS);
  return {
    async begin(token, address) {
      const { store, keks } = parts();
      slowDown(limit(token.hash), `token:${token.name}`);
      const id = randomBytes(32).toString('base64url');
      const session = hashOf(id);
      const until = (await store.now()) + SESSION_MS;
      const document: Document = { v: 1, store: store.id, session, token: token.hash, until };
      const signed = await signDocument(JSON.stringify(document), PURPOSE, keks);
      const life = { ms: SESSION_MS, most: MOST_SESSIONS };
      const told = entryOf('session.started', 'signed in on the page', token, address);
      await store.beginSession({ session, token: token.hash }, signed, life, [told]);
      return { id, token };
    },
    async find(id) {
      if (!ID.test(id)) return null;
      const { store, tokens } = parts();
      const session = hashOf(id);
      const [signed, now] = await Promise.all([store.signedSession(session), store.now()]);
      const document = signed === null ? null : await documentIn(signed, parts());
      if (document === null || document.store !== store.id || document.session !== session) return null;
      // Redis removes it at its end, but a person who can write to Redis may put it back.
      const token = document.until <= now ? null : await tokens.findByHash(document.token);
      return token === null ? null : { id, token };
    },
    async end({ id, token }, address) {
      const told = entryOf('session.ended', 'signed out on the page', token, address);
      await parts().store.endSession({ session: hashOf(id), token: token.hash }, [told]);
    },
  };
}

/** Null: it was not signed with a KEK of this config. */
async function documentIn(signed: string, { keks, log }: SessionParts): Promise<Document | null> {
  try {
    return JSON.parse(await verifyDocument(signed, PURPOSE, keks)); // only `begin` signs one
  } catch (error) {
    // Its KEK has left the config. The visitor signs in again.
    if (hasCode(error, 'kek_missing')) return null;
    if (!hasCode(error, 'key_tampered')) throw error;
    log.error({ error: error.message }, 'a session of the page in Redis has a wrong signature: it is not accepted');
    return null;
  }
}

function entryOf(type: 'session.started' | 'session.ended', reason: string, { name }: Token, address: string) {
  const claimedBy = `token:${name}`;
  const who = { actor: claimedBy, claimed_by: claimedBy, reason };
  return { type, client: null, rotation: null, ...who, data: { name, address } } as const;
}

/** The id has 256 random bits, so no salt is needed. */
export function hashOf(id: string): string {
  return hash('sha256', id, 'base64url');
}

/** A value that takes the id of the session to make, such as its CSRF token. Nothing in Redis tells it. */
export function derived(id: string, what: string): string {
  return createHmac('sha256', id).update(`rekeyd page ${what}`).digest('base64url');
}

/** A text with a seal of the session, for a place where others may write. @param what the text is for: sealed for something else, it does not count */
export function sealed(id: string, what: string, text: string): string {
  const body = Buffer.from(text).toString('base64url');
  return `${body}.${derived(id, `${what} ${body}`)}`;
}

/** Null: this session did not seal it for that. */
export function unsealed(id: string, what: string, given: string): string | null {
  const [body = '', seal = ''] = given.split('.');
  return isSame(seal, derived(id, `${what} ${body}`)) ? Buffer.from(body, 'base64url').toString() : null;
}

/** Compares in constant time. */
export function isSame(given: string, wanted: string): boolean {
  const [one, other] = [Buffer.from(given), Buffer.from(wanted)];
  return one.length === other.length && timingSafeEqual(one, other);
}
