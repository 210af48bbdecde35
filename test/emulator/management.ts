import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type Answer, refusal } from './answer.ts';
import { bodyOf, type RawBody, textOf } from './body.ts';
import type { StoredClient } from './clients.ts';
import type { Credential } from './credentials.ts';
import type { LogEntry } from './log.ts';
import { type Context, serve } from './serve.ts';
import type { App } from './state.ts';
import { parseId, parseJson, readCreate, readId, readUpdate } from './wire.ts';

type Params = Readonly<Partial<Record<'deployment' | 'slug' | 'id', string>>>;

/** What a handler gets once the caller's key has been checked. */
interface Call {
  /** Null when the path says something that is no deployment id. */
  readonly deployment: string | null;
  readonly params: Params;
  readonly body: RawBody;
}

type Handler = (context: Context, call: Call) => Answer;
type Methods = Readonly<Partial<Record<'GET' | 'POST' | 'PATCH' | 'DELETE', Handler>>>;

const CLIENTS = '/oauth/apps/:slug/clients';
const ROUTES: Readonly<Record<string, Methods>> = {
  '/oauth/apps': { GET: listApps, POST: notEmulated },
  '/oauth/apps/:slug': { PATCH: notEmulated },
  '/oauth/apps/:slug/signing-keys': { GET: notEmulated },
  '/oauth/apps/:slug/signing-keys/rotate': { POST: notEmulated },
  [CLIENTS]: { GET: listClients, POST: createClient },
  [`${CLIENTS}/:id`]: { PATCH: patchClient, DELETE: deactivateClient },
  [`${CLIENTS}/:id/rotate-secret`]: { POST: notEmulated },
  [`${CLIENTS}/:id/grants`]: { GET: notEmulated },
};

/** Both URL styles: with the deployment in the path, and flat, where it follows from the API key. */
export function managementRoutes(server: FastifyInstance, context: Context): void {
  for (const prefix of ['', '/deployments/:deployment']) {
    for (const [path, methods] of Object.entries(ROUTES)) {
      server.all(`${prefix}${path}`, (request, reply) => manage(context, request, reply, methods));
    }
  }
  server.all('/deployments/:deployment/*', (request, reply) => manage(context, request, reply, null));
}

/** @param methods null: there is nothing at that path */
export function manage(context: Context, request: FastifyRequest, reply: FastifyReply, methods: Methods | null) {
  const params = (request.params ?? {}) as Params; // the route's own parameter names
  const key = bearer(request);
  const credential = context.state.credentials.get(key ?? '');
  const named = params.deployment === undefined ? null : parseId(params.deployment);
  const deployment = named ?? credential?.deployment ?? null;
  return serve(context, logEntry(context, request, params, deployment), request, reply, () => {
    if (key === null) throw refusal(401, 'Authorization header must be Bearer token');
    if (params.deployment === undefined) admitFlat(context, request, key, credential);
    else admitTo(context, request, key, credential, named);
    if (methods === null || params.slug === '' || params.id === '') throw refusal(404, 'Not found');
    const handler = methods[(request.method === 'HEAD' ? 'GET' : request.method) as keyof Methods];
    if (handler === undefined) throw refusal(405, 'Method not allowed');
    const place = params.deployment === undefined ? (credential?.deployment ?? null) : named;
    return handler(context, { deployment: place, params, body: bodyOf(request) });
  });
}

function logEntry(context: Context, request: FastifyRequest, params: Params, deployment: string | null): LogEntry {
  const app = context.state.findApp(deployment ?? '', params.slug ?? '');
  return {
    at: context.now(),
    api: 'management',
    method: request.method,
    path: request.url,
    deployment,
    app: params.slug ?? null,
    client: params.id ?? null,
    clientId: app?.clients.get(params.id ?? '')?.client_id ?? null,
    body: parseJson(textOf(request)) ?? null,
    status: null,
  };
}

/** `/oauth/apps/…`: an API key. */
function admitFlat(context: Context, request: FastifyRequest, key: string, credential: Credential | undefined): void {
  if (credential === undefined || credential.kind === 'access_token') throw refusal(401, 'Authentication failed');
  if (credential.kind === 'either') checkAccess(credential, request);
  context.rateLimits.count(key, credential, pathOf(request));
}

/** `/deployments/{id}/…`: an OAuth access token. The server that takes API keys has no such path. */
function admitTo(
  context: Context,
  request: FastifyRequest,
  key: string,
  credential: Credential | undefined,
  deployment: string | null,
): void {
  if (credential === undefined) throw refusal(401, 'Authentication failed');
  if (credential.kind !== 'api_key') checkAccess(credential, request);
  context.rateLimits.count(key, credential, pathOf(request));
  if (credential.kind === 'api_key') throw refusal(404, 'Not found');
  if (deployment === null || deployment === credential.deployment) return;
  if (context.state.apps(deployment).length === 0) throw refusal(404, 'Deployment not found');
  throw refusal(403, "You don't have permission to access this deployment");
}

function checkAccess({ access }: Credential, { method }: FastifyRequest): void {
  if (access === 'write' || ['GET', 'HEAD', 'OPTIONS'].includes(method)) return;
  throw refusal(403, 'Permission denied for this resource');
}

/** Newest first. */
function listApps(context: Context, call: Call): Answer {
  const deployment = deploymentOf(call);
  return ok(context, () => ({ apps: context.state.apps(deployment).map(appView).reverse() }));
}

/** The whole list, newest first and with the inactive ones: there is no paging and no way to read a single client. */
function listClients(context: Context, call: Call): Answer {
  const app = appOf(context, call);
  return ok(context, () => ({ clients: [...app.clients.values()].reverse() }));
}

/** The only answer that shows a client's secret. */
function createClient(context: Context, call: Call): Answer {
  deploymentOf(call);
  const members = readCreate(call.body);
  const app = appOf(context, call);
  const { id } = context.state.create(app, members);
  return ok(context, () => withSecret(context, context.state.client(app, id)));
}

function patchClient(context: Context, call: Call): Answer {
  deploymentOf(call);
  const id = readId(call.params.id ?? '');
  const members = readUpdate(call.body);
  const app = appOf(context, call);
  context.state.patch(app, id, members);
  return ok(context, () => context.state.client(app, id));
}

function deactivateClient(context: Context, call: Call): Answer {
  deploymentOf(call);
  const id = readId(call.params.id ?? '');
  context.state.deactivate(appOf(context, call), id);
  return { status: 204, headers: { 'content-type': 'application/json' }, body: () => undefined };
}

/** The real server has more to say here; nothing that rekeyd asks for. */
function notEmulated(): Answer {
  throw refusal(501, 'The emulator does not serve this');
}

function ok(context: Context, body: () => unknown): Answer {
  return { status: 200, body: context.wrap ? () => ({ data: body() }) : body };
}

function withSecret({ state }: Context, client: StoredClient) {
  const secret = state.secretOf(client);
  return secret === undefined ? client : { ...client, client_secret: secret };
}

function deploymentOf({ deployment }: Call): string {
  if (deployment === null) throw refusal(400, 'Deployment context not found');
  return deployment;
}

function appOf(context: Context, call: Call): App {
  const slug = call.params.slug ?? '';
  // PostgreSQL takes no text with a NUL in it.
  if (slug.includes('\0')) throw refusal(500, 'Something went wrong');
  return context.state.app(deploymentOf(call), slug);
}

function appView(app: App) {
  return {
    id: app.id,
    slug: app.slug,
    name: app.name,
    description: null,
    logo_url: null,
    fqdn: app.fqdn,
    supported_scopes: [],
    scope_definitions: [],
    allow_dynamic_client_registration: false,
    is_active: app.isActive,
    created_at: app.createdAt,
    updated_at: app.createdAt,
  };
}

function bearer(request: FastifyRequest): string | null {
  return /^Bearer (.*)$/.exec(request.headers.authorization ?? '')?.[1]?.trim() ?? null;
}

function pathOf(request: FastifyRequest): string {
  return request.url.split('?')[0] ?? '';
}
