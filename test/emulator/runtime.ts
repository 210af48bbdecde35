import { randomUUID } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type Answer, oauthRefusal, plainRefusal, Refusal } from './answer.ts';
import { authenticate, decodeAssertion } from './assertion.ts';
import type { StoredClient } from './clients.ts';
import type { LogEntry } from './log.ts';
import { type Context, serve } from './serve.ts';
import type { App } from './state.ts';

/** What each endpoint needs in its form, and says once the client is authenticated. */
const ENDPOINTS: ReadonlyMap<string, (form: URLSearchParams) => Answer> = new Map([
  ['/oauth/token', token],
  ['/oauth/introspect', (form: URLSearchParams) => aboutToken(form, { active: false })],
  ['/oauth/revoke', (form: URLSearchParams) => aboutToken(form, { revoked: true })],
]);

/** The OAuth endpoints on the apps' own domains: the app is found by `X-Forwarded-Host`, else `Host`. */
export function runtimeRoutes(server: FastifyInstance, context: Context): void {
  for (const [path, endpoint] of ENDPOINTS) {
    server.post(path, (request, reply) => login(context, request, reply, path, endpoint));
  }
}

function login(
  context: Context,
  request: FastifyRequest,
  reply: FastifyReply,
  path: string,
  endpoint: (form: URLSearchParams) => Answer,
) {
  const app = context.state.appOfHost(hostOf(request));
  const form = new URLSearchParams(typeof request.body === 'string' ? request.body : '');
  const clientId = app === undefined ? null : clientIdOf(app, form);
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
  const kid = decodeAssertion(form.get('client_assertion') ?? '')?.header.kid;
  if (typeof kid === 'string') call.presentedKid = kid;
  return serve(context, call, request, reply, async () => {
    try {
      const answer = await checked(context, call, request, app, client, form, endpoint);
      call.verdict = 'accepted';
      return answer;
    } catch (error) {
      if (error instanceof Refusal) explain(call, error);
      throw error;
    }
  });
}

async function checked(
  context: Context,
  call: LogEntry,
  request: FastifyRequest,
  app: App | undefined,
  client: StoredClient | undefined,
  form: URLSearchParams,
  endpoint: (form: URLSearchParams) => Answer,
): Promise<Answer> {
  if (!/^application\/x-www-form-urlencoded\b/i.test(request.headers['content-type'] ?? '')) {
    throw plainRefusal(415, 'Form requests must have `Content-Type: application/x-www-form-urlencoded`');
  }
  if (app === undefined) throw oauthRefusal(500, 'server_error');
  const answer = endpoint(form);
  const key = await authenticate(context, app, client, form, `https://${app.fqdn}${call.path}`);
  call.authenticatedKid = key.thumbprint;
  return answer;
}

/** Wacht wants `client_id` in the form; a server that follows RFC 7521 section 4.2 can also take the assertion's subject. */
function clientIdOf(app: App, form: URLSearchParams): string | null {
  const given = form.get('client_id');
  if (given !== null || app.selection === 'first_pem') return given;
  const subject = decodeAssertion(form.get('client_assertion') ?? '')?.claims.sub;
  return typeof subject === 'string' ? subject : null;
}

/** Client authentication is what this emulator is about: any client that passes it is given a token of no use. */
function token(form: URLSearchParams): Answer {
  const grant = form.get('grant_type');
  if (grant === null) throw oauthRefusal(400, 'invalid_request', 'grant_type is required');
  if (grant !== 'client_credentials') throw oauthRefusal(400, 'unsupported_grant_type');
  return { status: 200, body: () => ({ access_token: randomUUID(), token_type: 'Bearer', expires_in: 3600 }) };
}

function aboutToken(form: URLSearchParams, body: unknown): Answer {
  if (!form.get('token')?.trim()) throw oauthRefusal(400, 'invalid_request', 'token is required');
  return { status: 200, body: () => body };
}

function explain(call: LogEntry, refusal: Refusal): void {
  const body: unknown = refusal.answer.body();
  call.verdict = typeof body === 'object' && body !== null && 'error' in body ? String(body.error) : 'refused';
  call.why = typeof refusal.cause === 'string' ? refusal.cause : refusal.message;
}

/** Without its port, in lower case; of a list of proxies, the first one's. */
function hostOf(request: FastifyRequest): string {
  const forwarded = request.headers['x-forwarded-host'];
  const host = (Array.isArray(forwarded) ? forwarded[0] : forwarded) ?? request.headers.host ?? '';
  return (host.split(',')[0] ?? '').trim().replace(/:\d+$/, '').toLowerCase();
}
