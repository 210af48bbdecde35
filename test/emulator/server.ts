import Fastify, { type FastifyReply } from 'fastify';
import { adminRoutes } from './admin.ts';
import { refusal } from './answer.ts';
import { jsonBody, takeRawBodies } from './body.ts';
import type { StoredClient } from './clients.ts';
import { type Credential, type RateLimit, RateLimits } from './credentials.ts';
import { Faults } from './faults.ts';
import { type LogEntry, RequestLog } from './log.ts';
import { manage, managementRoutes } from './management.ts';
import { hostOf, runtimeRoutes } from './runtime.ts';
import type { Context } from './serve.ts';
import { type App, type KeptClient, type NewApp, State } from './state.ts';
import { type ClientMembers, readCreate, readUpdate } from './wire.ts';

export interface EmulatorOptions {
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default 0: any free port. */
  readonly port?: number;
  /** The server's clock, in milliseconds since the epoch. Default: this machine's. */
  readonly now?: () => number;
  /** Success bodies of the management API as `{"data": …}`. Default false. */
  readonly wrap?: boolean;
  /** Host of a `jwks_uri` → origin to fetch it from instead, e.g. `{"keys.example.com": "http://127.0.0.1:8080"}`. */
  readonly resolve?: Readonly<Record<string, string>>;
  /** How often the management API may be called; the real server's are `WACHT_RATE_LIMITS`. Default: as often as anybody likes. */
  readonly rateLimits?: readonly RateLimit[];
  /** Serve `/_emulator/faults`. Default false. */
  readonly admin?: boolean;
  /** How many log entries to keep. Default: all. */
  readonly logLimit?: number;
  /** Called for each request that was answered. */
  readonly onAnswered?: (call: LogEntry) => void;
  /** How long a request takes to arrive, and its answer again, in ms. Not of a list: one that is slow is read seldom. Default 0. */
  readonly latencyMs?: number;
}

/** A client for {@link Emulator.addClient}: members of the create body, of which only the key material has no default. */
interface NewClient {
  readonly deployment: string;
  /** App slug. */
  readonly app: string;
  /** `token_endpoint_auth_signing_alg`. */
  readonly alg?: string;
  readonly client_auth_method?: string;
  readonly jwks?: unknown;
  readonly public_key_pem?: string;
  readonly jwks_uri?: string;
  readonly client_name?: string;
  readonly grant_types?: readonly string[];
  readonly redirect_uris?: readonly string[];
}

export interface Emulator {
  /** Origin of both the management API and, told apart by `Host`, the apps' OAuth endpoints. */
  readonly url: string;
  readonly log: LogEntry[];
  readonly faults: Faults;
  addApp(app: NewApp): App;
  /** @throws Refusal what POST would answer */
  addClient(client: NewClient): StoredClient;
  /** A client that another emulator held, with its ids and without the server's checks. */
  restoreClient(deployment: string, app: string, client: KeptClient): void;
  /** As it is stored now; a later PATCH does not change the object. @throws Refusal when there is none */
  client(deployment: string, app: string, id: string): StoredClient;
  /** All of an app, as they are stored now, oldest first. */
  clients(deployment: string, app: string): readonly StoredClient[];
  /** Somebody else's PATCH, with the server's checks but without a request. @throws Refusal what PATCH would answer */
  edit(deployment: string, app: string, id: string, members: ClientMembers): StoredClient;
  /** The secret of a client that has one. */
  secretOf(client: StoredClient): string | undefined;
  /** Makes `key` valid for the deployment. Default: it may write, and is taken in both URL styles; see {@link Credential}. */
  setApiKey(deployment: string, key: string, access?: Credential['access'], kind?: Credential['kind']): void;
  revokeApiKey(key: string): void;
  /** Cuts every connection, stalled ones too. */
  close(): Promise<void>;
}

/** A local Wacht: see the route files for what it serves and `faults.ts` for what can be made to go wrong. */
export async function startEmulator(options: EmulatorOptions = {}): Promise<Emulator> {
  const now = options.now ?? Date.now;
  const closing = new AbortController();
  const state = new State(now);
  const context: Context = {
    state,
    faults: new Faults(state, closing.signal),
    rateLimits: new RateLimits(options.rateLimits ?? [], now),
    log: new RequestLog(options.logLimit ?? Number.POSITIVE_INFINITY),
    now,
    wrap: options.wrap ?? false,
    resolve: new Map(Object.entries(options.resolve ?? {})),
    onAnswered: options.onAnswered ?? (() => {}),
    latencyMs: options.latencyMs ?? 0,
  };
  const server = Fastify({
    forceCloseConnections: true,
    exposeHeadRoutes: false,
    routerOptions: { maxParamLength: 16_384 },
    // What is no HTTP at all gets an answer without a body.
    clientErrorHandler(_error, socket) {
      if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n');
    },
    frameworkErrors: (_error, _request, reply) => void refuse(reply as FastifyReply, 400, 'Bad request'), // a reply as any other
  });
  takeRawBodies(server);
  // On an app's own domain nobody asks who is calling.
  server.setNotFoundHandler((request, reply) =>
    state.appOfHost(hostOf(request)) === undefined
      ? manage(context, request, reply, null)
      : refuse(reply, 404, 'Not found'),
  );
  managementRoutes(server, context);
  runtimeRoutes(server, context);
  if (options.admin) adminRoutes(server, context);
  const url = await server.listen({ host: options.host ?? '127.0.0.1', port: options.port ?? 0 });

  return {
    url,
    log: context.log.entries,
    faults: context.faults,
    addApp: (app) => state.addApp(app),
    addClient: (client) => addClient(state, client),
    restoreClient: (deployment, app, client) => state.restore(state.app(deployment, app), client),
    client: (deployment, app, id) => state.client(state.app(deployment, app), id),
    clients: (deployment, app) => [...state.app(deployment, app).clients.values()],
    edit: (deployment, app, id, members) => state.patch(state.app(deployment, app), id, readUpdate(jsonBody(members))),
    secretOf: (client) => state.secretOf(client),
    setApiKey: (deployment, key, access = 'write', kind = 'either') =>
      void state.credentials.set(key, { deployment, access, kind }),
    revokeApiKey: (key) => void state.credentials.delete(key),
    close: async () => {
      closing.abort();
      await server.close();
    },
  };
}

function refuse(reply: FastifyReply, status: number, message: string): FastifyReply {
  return reply.code(status).send(refusal(status, message).answer.body());
}

function addClient(state: State, { deployment, app, alg, ...members }: NewClient): StoredClient {
  const body = jsonBody({
    client_auth_method: 'private_key_jwt',
    grant_types: ['authorization_code', 'refresh_token'],
    redirect_uris: ['https://client.example.com/callback'],
    token_endpoint_auth_signing_alg: alg,
    ...members,
  });
  return state.create(state.app(deployment, app), readCreate(body));
}
