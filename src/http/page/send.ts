/** Sends pages, with security headers, and with notices that are shown once. */
import type { SafeHtml } from '@remix-run/html-template';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { PageAnswer, PageRoute, Visitor } from './routes.ts';
import { COOKIE, cookieName, isSecure, readCookie, setCookie } from './session/cookies.ts';
import { ownPath } from './session/origin.ts';
import { SESSION_MS, sealed, unsealed } from './session/session.ts';
import { layout } from './views/layout.ts';

const NOTICE = 'rekeyd-notice';
const NOTICE_SECONDS = 60;

/**
 * No script, style or frame but our own, and no form that goes elsewhere. `same-origin`, and not `no-referrer`: with that one browsers hide the `Origin` of
 * our own forms, too, and {@link ./session/origin.ts} could not tell them from those of another site.
 */
const HEADERS = {
  'content-security-policy':
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
  'referrer-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
  'cache-control': 'no-store',
  'cross-origin-opener-policy': 'same-origin',
} as const;

export interface Shown {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly title: string;
  readonly body: SafeHtml;
}

interface Around {
  readonly visitor: Visitor | null;
  readonly notice: string | null;
  /** The path of the page: its entry in the navigation is marked. */
  readonly path?: string;
}

export function sendPage(
  reply: FastifyReply,
  { status = 200, headers = {}, title, body }: Shown,
  around: Around,
): FastifyReply {
  const text = String(layout({ title, body, ...around }));
  return reply
    .code(status)
    .headers({ ...HEADERS, ...headers })
    .type('text/html; charset=utf-8')
    .send(text);
}

export function sendAnswer(
  request: FastifyRequest,
  reply: FastifyReply,
  answer: PageAnswer,
  around: Around,
): FastifyReply {
  if ('stream' in answer) return sendStream(request, reply, answer.stream);
  if ('file' in answer) {
    return reply
      .headers({ ...HEADERS, ...answer.headers })
      .type(answer.type)
      .send(answer.file);
  }
  if ('to' in answer) return sendOn(request, reply, answer, around.visitor);
  // This page shows the notice: it is removed, so that the next page does not.
  if (around.notice !== null) reply.header('set-cookie', setCookie(NOTICE, '', 0, isSecure(request)));
  const notice = answer.notice ?? around.notice;
  return sendPage(reply, answer, { ...around, notice, path: new URL(request.url, 'http://rekeyd.invalid').pathname });
}

function sendOn(
  request: FastifyRequest,
  reply: FastifyReply,
  { to, notice, session }: Extract<PageAnswer, { to: string }>,
  visitor: Visitor | null,
): FastifyReply {
  const secure = isSecure(request);
  const cookies: string[] = [];
  if (session !== undefined) {
    cookies.push(setCookie(COOKIE, session?.id ?? '', session === null ? 0 : SESSION_MS / 1_000, secure));
  }
  const id = session?.id ?? visitor?.session.id;
  if (notice !== undefined && id !== undefined) {
    cookies.push(setCookie(NOTICE, sealed(id, NOTICE, notice), NOTICE_SECONDS, secure));
  }
  if (cookies.length > 0) reply.header('set-cookie', cookies);
  return reply.headers(HEADERS).redirect(ownPath(to), 303);
}

function sendStream(request: FastifyRequest, reply: FastifyReply, stream: Stream): FastifyReply {
  const headers = { ...HEADERS, 'content-type': 'text/event-stream', 'x-accel-buffering': 'no' };
  if (request.method === 'HEAD') return reply.headers(headers).send();
  // Before the head is written: it may refuse, and an error sends its own head.
  stream(reply.raw);
  reply.hijack();
  reply.raw.writeHead(200, headers);
  reply.raw.flushHeaders();
  return reply;
}

type Stream = Extract<PageAnswer, { stream: unknown }>['stream'];

/** Null: there is none, or it is not ours: another host of the domain may set cookies for us, but cannot make the seal. */
export function readNotice(request: FastifyRequest, { session }: Visitor): string | null {
  const text = readCookie(request, cookieName(NOTICE, isSecure(request)));
  return text === null ? null : unsealed(session.id, NOTICE, text);
}

/** The path of the sign-in, which then leads back to the page that was asked for. After a form it leads to the page of the form: the action is not done. */
export function signInPath(request: FastifyRequest, route: PageRoute, routes: readonly PageRoute[]): string {
  const { pathname, search } = new URL(request.url, 'http://rekeyd.invalid');
  const to = route.method === 'GET' ? `${pathname}${search}` : formPath(request, route, routes);
  return to === '/' ? '/sign-in' : `/sign-in?${new URLSearchParams({ to })}`;
}

/** The page with the form of an action: of the pages, the one with the longest path above that of the action. */
export function formPath({ url }: FastifyRequest, { path }: PageRoute, routes: readonly PageRoute[]): string {
  const { pathname } = new URL(url, 'http://rekeyd.invalid');
  const parts = path.split('/');
  for (let count = parts.length; count > 1; count -= 1) {
    const above = parts.slice(0, count).join('/');
    if (hasPage(above, routes)) return pathname.split('/').slice(0, count).join('/');
  }
  return '/';
}

export function hasPage(wanted: string, routes: readonly PageRoute[]): boolean {
  return routes.some(({ method, path }) => method === 'GET' && path === wanted);
}
