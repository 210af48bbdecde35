/** Cookies of the page (RFC 6265bis). */
import { TLSSocket } from 'node:tls';
import type { FastifyRequest } from 'fastify';

/** Holds the id of the session. */
export const COOKIE = 'rekeyd';

/** Names a cookie as the connection demands. Over TLS, `__Host-` keeps other hosts of the domain, and plain connections, from setting one of that name. */
export function cookieName(name: string, isSecure: boolean): string {
  return isSecure ? `__Host-${name}` : name;
}

/** TLS may end at a proxy in front of rekeyd. A client that sends the header without TLS only gets a cookie that its browser does not send back. */
export function isSecure({ raw, headers }: Pick<FastifyRequest, 'raw' | 'headers'>): boolean {
  return raw.socket instanceof TLSSocket || /^https\b/.test(String(headers['x-forwarded-proto']));
}

/** Null: there is none. Of two cookies of one name the first counts: browsers send the one with the longer path first. */
export function readCookie({ headers }: Pick<FastifyRequest, 'headers'>, name: string): string | null {
  for (const part of (headers.cookie ?? '').split(';')) {
    const [key = '', ...value] = part.split('=');
    if (key.trim() === name) return value.join('=').trim();
  }
  return null;
}

/**
 * Lax, and not Strict: a link in a mail or a chat opens the page signed in. Every action is a POST with a token of its own, so a request that another site
 * causes does nothing.
 * @param seconds how long it is kept; 0 removes it
 */
export function setCookie(name: string, value: string, seconds: number, isSecure: boolean): string {
  const secure = isSecure ? '; Secure' : '';
  return `${cookieName(name, isSecure)}=${value}; Path=/; Max-Age=${seconds}; HttpOnly; SameSite=Lax${secure}`;
}
