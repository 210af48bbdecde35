import { randomUUID } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type Answer, oauthRefusal, Refusal, refusal } from './answer.ts';
import { authenticate, decodeAssertion } from './assertion.ts';
import { bodyOf } from './body.ts';
import { type Form, peekForm, readForm } from './form.ts';
import type { LogEntry } from './log.ts';
import { type Context, serve } from './serve.ts';
import { type Attempt, clientIdOf, type SignedIn, signIn } from './sign-in.ts';
import type { App } from './state.ts';

interface Endpoint {
  /** The one member that a form has to have, client authentication aside. */
  readonly required: keyof Form;
  /** What is checked before anything else is looked at. */
  readonly first: (form: Form) => void;
  /** What it says to a client that has signed in. */
  readonly answer: (form: Form, app: App, signedIn: SignedIn) => Answer;
}

const ENDPOINTS: Readonly<Record<string, Endpoint>> = {
  '/oauth/token': { required: 'grant_type', first: () => {}, answer: token },
  '/oauth/introspect': { required: 'token', first: needsToken, answer: () => ok({ active: false }) },
  '/oauth/revoke': { required: 'token', first: needsToken, answer: () => ok({ revoked: true }) },
};

/** The OAuth endpoints on the apps' own domains: the app is found by `X-Forwarded-Host`, else `Host`. */
export function runtimeRoutes(server: FastifyInstance, context: Context): void {
  for (const [path, endpoint] of Object.entries(ENDPOINTS)) {
    server.all(path, (request, reply) => login(context, request, reply, path, endpoint));
  }
}

function login(context: Context, request: FastifyRequest, reply: FastifyReply, path: string, endpoint: Endpoint) {
  const app = context.state.appOfHost(hostOf(request));
  const call = logEntry(context, request, path, app);
  return serve(context, call, request, reply, async () => {
    try {
      if (request.method !== 'POST') throw refusal(405, 'Method not allowed');
      const form = readForm(bodyOf(request), endpoint.required);
      endpoint.first(form);
      if (app === undefined) throw oauthRefusal(500, 'server_error');
      const attempt = { form, authorization: request.headers.authorization, audience: `https://${app.fqdn}${path}` };
      const signedIn = await accept(context, app, attempt);
      if (signedIn.key !== null) call.authenticatedKid = signedIn.key.thumbprint;
      const answer = endpoint.answer(form, app, signedIn);
      call.verdict = 'accepted';
      return answer;
    } catch (error) {
      if (error instanceof Refusal) explain(call, error);
      throw error;
    }
  });
}

function logEntry(context: Context, request: FastifyRequest, path: string, app: App | undefined): LogEntry {
  const form = peekForm(bodyOf(request));
  const clientId = app === undefined ? null : namedClient(app, { form, authorization: request.headers.authorization });
  const client = app === undefined ? undefined : context.state.clientById(app, clientId ?? '');
  const call: LogEntry = {
    at: context.now(),
    api: 'runtime',
    method: request.method,
    path,
    deployment: app?.deployment ?? null,
    app: app?.slug ?? null,
    client: client?.id ?? null,
    clientId,
    body: null,
    status: null,
  };
  const kid = decodeAssertion(form.client_assertion ?? '')?.header.kid;
  if (typeof kid === 'string') call.presentedKid = kid;
  return call;
}

async function accept(context: Context, app: App, attempt: Attempt): Promise<SignedIn> {
  if (app.selection === 'wacht') return signIn(context, app, attempt);
  const client = context.state.clientById(app, namedClient(app, attempt) ?? '');
  return authenticate(context, app, client, attempt);
}

/** Wacht wants `client_id` in the form; a server that follows RFC 7521 section 4.2 can also take the assertion's subject. */
function namedClient(app: App, attempt: Omit<Attempt, 'audience'>): string | null {
  const given = clientIdOf(attempt);
  if (given !== null || app.selection !== 'jwks_kid') return given;
  const subject = decodeAssertion(attempt.form.client_assertion ?? '')?.claims.sub;
  return typeof subject === 'string' ? subject : null;
}

/** There is no code and no refresh token that this server knows. The variants give a token of no use to any client that has signed in. */
function token(form: Form, app: App, { client }: SignedIn): Answer {
  const grant = form.grant_type ?? '';
  if (app.selection !== 'wacht') {
    if (grant !== 'client_credentials') throw oauthRefusal(400, 'unsupported_grant_type');
    return ok({ access_token: randomUUID(), token_type: 'Bearer', expires_in: 3600 });
  }
  if (!client.grant_types.includes(grant)) {
    throw oauthRefusal(400, 'unauthorized_client', 'grant_type is not allowed for this client');
  }
  for (const member of grant === 'refresh_token' ? (['refresh_token'] as const) : (['code', 'redirect_uri'] as const)) {
    if (!form[member]?.trim()) throw oauthRefusal(400, 'invalid_request', `${member} is required`);
  }
  throw oauthRefusal(400, 'invalid_grant');
}

function needsToken(form: Form): void {
  if (!form.token?.trim()) throw oauthRefusal(400, 'invalid_request', 'token is required');
}

function ok(body: unknown): Answer {
  return { status: 200, body: () => body };
}

function explain(call: LogEntry, refused: Refusal): void {
  const body: unknown = refused.answer.body();
  call.verdict = typeof body === 'object' && body !== null && 'error' in body ? String(body.error) : 'refused';
  call.why = typeof refused.cause === 'string' ? refused.cause : refused.message;
}

/** Without its port, letter by letter; of a list of proxies, the first one's. */
export function hostOf(request: FastifyRequest): string {
  const forwarded = request.headers['x-forwarded-host'];
  const host = (Array.isArray(forwarded) ? forwarded[0] : forwarded) ?? request.headers.host ?? '';
  return (host.split(',')[0] ?? '').trim().split(':')[0] ?? '';
}
