/** Whether a POST comes from a page of ours, by the headers of the browser. Unlike the CSRF token they are checked before the form is read, and guard the sign-in too. */
import type { FastifyRequest } from 'fastify';
import { ProblemError } from '../../problem.ts';

/**
 * Browsers send `Sec-Fetch-Site` over TLS and to loopback, and scripts cannot change it: it counts alone, since a proxy may give us another `Host` than
 * the browser sees. Older browsers, and plain HTTP, send `Origin`.
 * @throws ProblemError 403
 */
export function fromOurOwn({ headers }: Pick<FastifyRequest, 'headers'>): void {
  const { origin, host = '', 'sec-fetch-site': site } = headers;
  if (site === 'same-origin' || site === 'none') return;
  if (site === undefined && (origin === undefined || hostOf(origin) === host)) return;
  throw new ProblemError(403, 'Another site sent this form. Nothing was done. Open the page itself, and act there.');
}

function hostOf(origin: string): string | null {
  return URL.canParse(origin) ? new URL(origin).host : null;
}

/** A path of ours that a visitor may be redirected to; `/` for anything else, such as another site. */
export function ownPath(to: string | null): string {
  if (to === null || !to.startsWith('/') || !URL.canParse(to, BASE)) return '/';
  const { origin, pathname, search } = new URL(to, BASE);
  // `//host` and `/\host` are other sites.
  return origin === BASE && !pathname.startsWith('//') ? `${pathname}${search}` : '/';
}

const BASE = 'http://rekeyd.invalid';
