import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type Answer, refusal } from './answer.ts';
import type { LogEntry } from './log.ts';
import { type Context, serve } from './serve.ts';
import type { ApiKey, App } from './state.ts';
import { parseJson, readId, requireJson } from './wire.ts';

type Params = Readonly<Partial<Record<'deployment' | 'slug' | 'id', string>>>;

/** What a handler gets once the API key has been checked. */
interface Call {
  readonly deployment: string;
  readonly params: Params;
  readonly json: () => unknown;
}

type Handler = (context: Context, call: Call) => Answer;

const ROUTES: readonly [method: 'GET' | 'POST' | 'PATCH' | 'DELETE', path: string, handler: Handler][] = [
  ['GET', '/oauth/apps', listApps],
  ['GET', '/oauth/apps/:slug/clients', listClients],
  ['POST', '/oauth/apps/:slug/clients', createClient],
  ['PATCH', '/oauth/apps/:slug/clients/:id', patchClient],
  ['DELETE', '/oauth/apps/:slug/clients/:id', deactivateClient],
];

/** Both URL styles: with the deployment in the path, and flat, where it follows from the API key. */
export function managementRoutes(server: FastifyInstance, context: Context): void {
  for (const prefix of ['', '/deployments/:deployment']) {
    for (const [method, path, handler] of ROUTES) {
      server.route({
        method,
        url: `${prefix}${path}`,
        handler: (request, reply) => manage(context, request, reply, handler),
      });
    }
  }
}

function manage(context: Context, request: FastifyRequest, reply: FastifyReply, handler: Handler) {
  const params = request.params as Params; // the route's own parameter names
  const key = context.state.apiKeys.get(bearer(request) ?? '');
  const body = typeof request.body === 'string' ? parseJson(request.body) : undefined;
  const deployment = params.deployment ?? key?.deployment ?? null;
  return serve(context, logEntry(context, request, params, deployment, body), request, reply, () => {
    authorize(context, request, params, key);
    return handler(context, {
      deployment: params.deployment ?? key.deployment,
      params,
      json: () => requireJson(request.headers['content-type'], body),
    });
  });
}

function logEntry(
  context: Context,
  request: FastifyRequest,
  params: Params,
  deployment: string | null,
  body: unknown,
): LogEntry {
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
    body: body ?? null,
    status: null,
  };
}

function authorize(
  context: Context,
  request: FastifyRequest,
  params: Params,
  key: ApiKey | undefined,
): asserts key is ApiKey {
  if (bearer(request) === null) throw refusal(401, 'Authorization header must be Bearer token');
  if (key === undefined) throw refusal(401, 'Authentication failed');
  if (key.access === 'read' && request.method !== 'GET') throw refusal(403, 'Permission denied for this resource');
  if (params.deployment === undefined || params.deployment === key.deployment) return;
  if (context.state.apps(params.deployment).length === 0) throw refusal(404, 'Deployment not found');
  throw refusal(403, "You don't have permission to access this deployment");
}

function listApps(context: Context, { deployment }: Call): Answer {
  return ok(context, () => ({ apps: context.state.apps(deployment).map(appView) }));
}

/** The whole list, newest first and with the inactive ones: there is no paging and no way to read a single client. */
function listClients(context: Context, call: Call): Answer {
  const app = appOf(context, call);
  return ok(context, () => ({ clients: [...app.clients.values()].reverse() }));
}

function createClient(context: Context, call: Call): Answer {
  const app = appOf(context, call);
  const { id } = context.state.create(app, call.json());
  return ok(context, () => context.state.client(app, id));
}

function patchClient(context: Context, call: Call): Answer {
  const id = clientIdOf(call);
  const members = call.json();
  const app = appOf(context, call);
  context.state.patch(app, id, members);
  return ok(context, () => context.state.client(app, id));
}

function deactivateClient(context: Context, call: Call): Answer {
  const id = clientIdOf(call);
  context.state.deactivate(appOf(context, call), id);
  return { status: 204, body: () => undefined };
}

function ok(context: Context, body: () => unknown): Answer {
  return { status: 200, body: context.wrap ? () => ({ data: body() }) : body };
}

function appOf(context: Context, { deployment, params }: Call): App {
  return context.state.app(deployment, params.slug ?? '');
}

function clientIdOf({ params }: Call): string {
  return readId('oauth_client_id', params.id ?? '');
}

function appView(app: App) {
  return {
    id: app.id,
    slug: app.slug,
    name: app.slug,
    description: null,
    logo_url: null,
    fqdn: app.fqdn,
    supported_scopes: [],
    scope_definitions: [],
    allow_dynamic_client_registration: false,
    is_active: true,
    created_at: app.createdAt,
    updated_at: app.createdAt,
  };
}

function bearer(request: FastifyRequest): string | null {
  return /^Bearer (.*)$/.exec(request.headers.authorization ?? '')?.[1] ?? null;
}
