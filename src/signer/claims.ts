/** The assertion itself (RFC 7523 section 3). */
import { randomUUID } from 'node:crypto';
import { SignJWT } from 'jose';
import type { SigningKey } from './folder.ts';

/** `iat` and `exp`, in seconds since the Unix epoch. */
export interface Times {
  readonly iat: number;
  readonly exp: number;
}

/** Seconds. rekeyd keeps an old key for longer than the longest. */
const [USUAL_LIFETIME, LONGEST_LIFETIME] = [60, 300];

/** Seconds. A server whose clock is behind refuses an assertion that is not made yet. */
const BACKDATED = 10;

/** @throws RangeError */
export function lifetimeOf(lifetime = USUAL_LIFETIME): number {
  if (Number.isInteger(lifetime) && lifetime >= 1 && lifetime <= LONGEST_LIFETIME) return lifetime;
  throw new RangeError(`lifetime is ${lifetime}, but must be a whole number of seconds from 1 to ${LONGEST_LIFETIME}`);
}

/** Valid at `now`, ms since the Unix epoch, and a little before: for the lifetime in all, since a server may refuse one that ends later than it allows. */
export function backdatedTimes(now: number, lifetime: number): Times {
  const iat = Math.floor(now / 1000) - Math.min(BACKDATED, Math.floor(lifetime / 6));
  return { iat, exp: iat + lifetime };
}

export function exactTimes(now: number, lifetime: number): Times {
  const iat = Math.floor(now / 1000);
  return { iat, exp: iat + lifetime };
}

/** @param audience one: an assertion for several can be used at each of them by the others */
export function signAssertion(
  clientId: string,
  { kid, alg, key }: SigningKey,
  audience: string,
  times: Times,
): Promise<string> {
  if (typeof audience !== 'string' || audience === '') throw new TypeError('audience must be one text, and not empty');
  return new SignJWT()
    .setProtectedHeader({ alg, kid, typ: 'JWT' })
    .setIssuer(clientId)
    .setSubject(clientId)
    .setAudience(audience)
    .setJti(randomUUID())
    .setIssuedAt(times.iat)
    .setExpirationTime(times.exp)
    .sign(key);
}
