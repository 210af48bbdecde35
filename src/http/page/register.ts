/** Registers the pages at the listener of the API: checks the visitor, runs the route, and shows errors as pages. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Log } from '../../rotation/resources.ts';
import { answerOf } from '../../store/redis/patience.ts';
import { ProblemError } from '../problem.ts';
import { openLimiter, type Rate, slowDown } from '../rate.ts';
import { type Refused, refusalIn } from '../refusals.ts';
import { goneSignal } from '../register.ts';
import { errorPage } from './errors.ts';
import type { PageAnswer, PageCall, PageContext, PageRoute, Visitor } from './routes.ts';
import { formPath, hasPage, readNotice, sendAnswer, sendPage, signInPath } from './send.ts';
import { fromOurOwn, ownPath } from './session/origin.ts';
import { hashOf, isSame } from './session/session.ts';
import { SIGN_IN as TITLE } from './session/sign-in.ts';
import { visitorOf } from './session/visitor.ts';
import { signInPage } from './views/sign-in.ts';

export interface PageRegistering {
  readonly context: PageContext;
  readonly rate: () => Rate;
  readonly refused: (refused: Refused) => void;
  readonly log: Log;
}

/** The largest body of a form, in bytes: it holds a reason and a few names. */
const MOST_FORM = 64 * 1024;

/** How long a visitor waits for an answer, in ms. The session is looked up before: when Redis is away, that lookup ends sooner: see {@link ./session/visitor.ts}. */
const PATIENCE_MS = { GET: 10_000, POST: 20_000 } as const;
const NEVER = new AbortController().signal;

export function registerPages(app: FastifyInstance, routes: readonly PageRoute[], registering: PageRegistering): void {
  const limit = openLimiter(registering.rate);
  const visitors = new WeakMap<FastifyRequest, Visitor>();
  const admitted = (request: FastifyRequest) => visitors.get(request) ?? null;
  for (const route of routes) {
    app.route({
      method: route.method,
      url: urlOf(route),
      bodyLimit: MOST_FORM,
      // Before the body is read, as for the API.
      onRequest: async (request) => {
        if (route.method === 'POST') fromOurOwn(request);
        const visitor = await admit(request, route, limit, registering.context);
        if (visitor === null) return;
        visitors.set(request, visitor);
        allow(visitor, route);
      },
      handler: async (request, reply) => {
        const visitor = admitted(request);
        const form = formOf(request, route);
        if (visitor !== null && route.method === 'POST') checkCsrf(form, visitor);
        const notice = visitor === null || isRefresh(request) ? null : readNotice(request, visitor);
        const call: PageCall<Visitor | null> = {
          ...{ context: registering.context, visitor, form, notice },
          params: request.params as PageCall['params'], // the router has decoded them
          query: new URL(request.url, 'http://rekeyd.invalid').searchParams,
          signal: goneSignal(reply),
          address: request.ip,
        };
        const work = route.handle(call as never); // a route with a scope has a visitor: see onRequest
        const patience = { signal: NEVER, ms: PATIENCE_MS[route.method] };
        const answer = (await answerOf(work, patience, '')) as PageAnswer; // null only after an abort
        return sendAnswer(request, reply, answer, { visitor, notice });
      },
      errorHandler: (error, request, reply) => {
        const visitor = admitted(request);
        const told = refusalIn(error);
        // A visitor without a session is redirected to the sign-in. For a GET that is no refusal.
        const isSentOn = told?.status === 401 && route.path !== SIGN_IN;
        if (told !== null && !(isSentOn && route.method === 'GET')) {
          const { method, path } = route;
          const claimedBy = visitor?.principal.claimedBy ?? null;
          registering.refused({ ...told, claimedBy, address: request.ip, method, path });
        }
        if (isSentOn) {
          return sendAnswer(request, reply, { to: signInPath(request, route, routes) }, { visitor, notice: null });
        }
        const page = errorPage(error, registering.log, route.method === 'POST' && visitor === null);
        // After a token that is not accepted the sign-in is shown again.
        const isRetried = route.path === SIGN_IN && told !== null && told.status !== 429;
        const shown = isRetried ? { ...page, ...signInAgain(request.body, told.detail) } : page;
        return sendPage(reply, shown, { visitor, notice: null });
      },
    });
    // The page of an error has the address of its form. With Enter in the address bar a person comes back to the form.
    if (route.method === 'POST' && !hasPage(route.path, routes)) {
      app.get(urlOf(route), (request, reply) =>
        sendAnswer(request, reply, { to: formPath(request, route, routes) }, { visitor: null, notice: null }),
      );
    }
  }
}

/** The script of an open page asks for the page again. The notice is for the page that the visitor is led to, which may be in another tab. */
function isRefresh({ headers }: FastifyRequest): boolean {
  return headers['x-rekeyd-refresh'] !== undefined;
}

function urlOf({ path }: PageRoute): string {
  return path.replaceAll(/\{(\w+)\}/g, ':$1');
}

const SIGN_IN = '/sign-in';

function signInAgain(body: unknown, problem: string) {
  const form = new URLSearchParams(Buffer.isBuffer(body) ? body.toString() : '');
  return { title: TITLE, body: signInPage({ to: ownPath(form.get('to')), problem }) };
}

/** Null: the route needs no session. @throws ProblemError 401, 429, 503 */
async function admit(
  request: FastifyRequest,
  { scope }: PageRoute,
  limit: (caller: string) => number,
  { sessions }: PageContext,
): Promise<Visitor | null> {
  if (scope === null) {
    slowDown(limit(`page ${request.ip}`), 'This address');
    return null;
  }
  const visitor = await visitorOf(request, sessions);
  if (visitor === null) throw new ProblemError(401, 'You are not signed in, or your session has ended.');
  slowDown(limit(hashOf(visitor.session.id)), visitor.principal.claimedBy);
  return visitor;
}

/** @throws ProblemError 403 */
function allow({ principal: { claimedBy, scopes } }: Visitor, { scope }: PageRoute): void {
  if (scope === null || scopes.includes(scope)) return;
  throw new ProblemError(
    403,
    `${claimedBy} has ${scopes.join(', ')}, and this takes the scope ${scope}: \`rekeyd token create NAME --scope read,rotate\`.`,
  );
}

/** @throws ProblemError 415 */
function formOf({ body, headers }: FastifyRequest, { method }: PageRoute): URLSearchParams {
  if (method === 'GET') return new URLSearchParams();
  const [type = ''] = (headers['content-type'] ?? '').split(';');
  if (type.trim().toLowerCase() !== 'application/x-www-form-urlencoded') {
    throw new ProblemError(415, 'This is for the forms of the page. Programs call the API: see GET /openapi.json.');
  }
  return new URLSearchParams(Buffer.isBuffer(body) ? body.toString() : '');
}

/** @throws ProblemError 403 */
function checkCsrf(form: URLSearchParams, { csrf }: Visitor): void {
  if (isSame(form.get('csrf') ?? '', csrf)) return;
  throw new ProblemError(
    403,
    'This form belongs to another session. Nothing was done. Open the page again, and send the form from there.',
  );
}
