import Fastify from 'fastify';
import { adminRoutes } from './admin.ts';
import type { StoredClient } from './clients.ts';
import { Faults } from './faults.ts';
import { type LogEntry, RequestLog } from './log.ts';
import { managementRoutes } from './management.ts';
import { runtimeRoutes } from './runtime.ts';
import type { Context } from './serve.ts';
import { type ApiKey, type App, type ClientMembers, type NewApp, State } from './state.ts';

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
  /** Serve `/_emulator/faults`. Default false. */
  readonly admin?: boolean;
  /** How many log entries to keep. Default: all. */
  readonly logLimit?: number;
  /** Called for each request that was answered. */
  readonly onAnswered?: (call: LogEntry) => void;
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
  restoreClient(deployment: string, app: string, client: StoredClient): void;
  /** As it is stored now; a later PATCH does not change the object. @throws Refusal when there is none */
  client(deployment: string, app: string, id: string): StoredClient;
  /** Somebody else's PATCH, with the server's checks but without a request. @throws Refusal what PATCH would answer */
  edit(deployment: string, app: string, id: string, members: ClientMembers): StoredClient;
  /** Makes `key` valid for the deployment. */
  setApiKey(deployment: string, key: string, access?: ApiKey['access']): void;
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
    log: new RequestLog(options.logLimit ?? Number.POSITIVE_INFINITY),
    now,
    wrap: options.wrap ?? false,
    resolve: new Map(Object.entries(options.resolve ?? {})),
    onAnswered: options.onAnswered ?? (() => {}),
  };
  const server = Fastify({ forceCloseConnections: true, exposeHeadRoutes: false, bodyLimit: 2 << 20 });
  // Bodies stay text here: each API reads its own media type, and refuses others in its own words.
  server.removeAllContentTypeParsers();
  server.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => done(null, body));
  server.setNotFoundHandler((_request, reply) => reply.code(404).send());
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
    edit: (deployment, app, id, members) => state.patch(state.app(deployment, app), id, members),
    setApiKey: (deployment, key, access = 'write') => void state.apiKeys.set(key, { deployment, access }),
    revokeApiKey: (key) => void state.apiKeys.delete(key),
    close: async () => {
      closing.abort();
      await server.close();
    },
  };
}

function addClient(state: State, { deployment, app, alg, ...members }: NewClient): StoredClient {
  return state.create(state.app(deployment, app), {
    client_auth_method: 'private_key_jwt',
    grant_types: ['authorization_code', 'refresh_token'],
    redirect_uris: ['https://client.example.com/callback'],
    token_endpoint_auth_signing_alg: alg,
    ...members,
  });
}
