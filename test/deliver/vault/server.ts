/**
 * A local Vault, made after the published API (HashiCorp's OpenAPI document of Vault 1.15 and its pages on KV version 2, tokens, AppRole and Kubernetes): what
 * the sink asks of one, and the errors that it answers with. It keeps no secret from tests.
 */
import { randomUUID } from 'node:crypto';
import { createServer as createPlainServer, type IncomingMessage, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { json } from 'node:stream/consumers';
import { listening } from '../../support/listening.ts';

type Members = Record<string, unknown>;

export interface StoredVersion {
  data: Record<string, string> | null;
  deleted: boolean;
  destroyed: boolean;
}

interface Token {
  endsAt: number;
  readonly ttlSeconds: number;
  readonly renewable: boolean;
  readonly policy: Policy;
}

/** Capabilities by the kind of path below the mount; `root` may do everything. */
type Policy = Readonly<Record<string, readonly string[]>> | 'root';

export const REKEYD_POLICY: Policy = { data: ['create', 'read', 'update'], destroy: ['update'] };

export interface Vault {
  readonly url: string;
  sealed: boolean;
  /** Moves the clock by which leases end, in seconds. */
  passed: number;
  /** By path below the mount, without `data/`. */
  readonly secrets: Map<string, StoredVersion[]>;
  readonly tokens: Map<string, Token>;
  /** What was asked, such as `POST secret/data/rekeyd/1/a/4`. */
  readonly calls: string[];
  readonly engine: { type: string; version: string };
  /** For logins by AppRole (`role-1`, `secret-1`) and Kubernetes (`role-1`, any of these tokens). */
  readonly login: { ttlSeconds: number; renewable: boolean; policy: Policy; readonly jwts: Set<string> };
  /** Called before a write is looked at: another writer may be faster. */
  onWrite: (path: string) => void;
  /** Asked first: what it answers goes out in place of what Vault would say. `cut`: the connection ends. */
  interfere: (path: string) => Answer | 'cut' | null;
  /** Other engines, by their mounts. They see the calls of tokens with the policy `root`. */
  readonly engines: Map<string, (path: string, body: Members) => Answer>;
  addToken(token: string, more?: Partial<Token>): void;
  /** The latest version of a secret. */
  latest(path: string): StoredVersion | undefined;
}

const MOUNT = 'secret';
export const NAMESPACE = 'team-a';

/** @param tls PEM texts */
export async function startVault(tls?: { readonly cert: string; readonly key: string }): Promise<Vault> {
  const now = () => performance.now() / 1000 + vault.passed;
  const vault: Vault = {
    url: '',
    sealed: false,
    passed: 0,
    secrets: new Map(),
    tokens: new Map(),
    calls: [],
    engine: { type: 'kv', version: '2' },
    login: { ttlSeconds: 3600, renewable: true, policy: REKEYD_POLICY, jwts: new Set() },
    onWrite: () => {},
    interfere: () => null,
    engines: new Map(),
    addToken(token, more = {}) {
      vault.tokens.set(token, {
        endsAt: Number.POSITIVE_INFINITY,
        ttlSeconds: 0,
        renewable: false,
        policy: 'root',
        ...more,
      });
    },
    latest: (path) => vault.secrets.get(path)?.at(-1),
  };

  const listener: RequestListener = async (request, response) => {
    const body: Members = request.headers['content-length'] === undefined ? {} : ((await json(request)) as Members);
    const answer = vault.interfere(pathOf(request)) ?? handle(request, body, vault, now);
    if (answer === 'cut') return void request.socket.destroy();
    response.writeHead(answer.status, { 'content-type': 'application/json' });
    response.end(answer.status === 204 ? undefined : (answer.text ?? JSON.stringify(answer.body)));
  };
  const server = tls === undefined ? createPlainServer(listener) : createTlsServer(tls, listener);
  const port = await listening(server);
  return Object.assign(vault, { url: `http${tls === undefined ? '' : 's'}://127.0.0.1:${port}` });
}

export interface Answer {
  readonly status: number;
  readonly body?: unknown;
  /** In place of `body`, as it is. */
  readonly text?: string;
}

function pathOf({ url = '' }: IncomingMessage): string {
  return url.replace(/^\/v1\//, '').replace(/\?.*$/, '');
}

export const errors = (status: number, ...texts: string[]): Answer => ({ status, body: { errors: texts } });
const DENIED = errors(403, '1 error occurred:\n\t* permission denied\n\n');
const BAD_TOKEN = errors(403, '2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n');

function handle(request: IncomingMessage, body: Members, vault: Vault, now: () => number): Answer {
  const { method = '', headers } = request;
  const path = pathOf(request);
  vault.calls.push(`${method} ${path}`);
  if (path === 'sys/health')
    return { status: vault.sealed ? 503 : 200, body: { initialized: true, sealed: vault.sealed } };
  if (vault.sealed) return errors(503, 'Vault is sealed');
  if (headers['x-vault-request'] !== 'true') return errors(412, 'the header X-Vault-Request is missing');
  if ((headers['x-vault-namespace'] ?? NAMESPACE) !== NAMESPACE) return errors(404, 'no handler for route');
  if (/^auth\/[a-z-]+\/login$/.test(path)) return logIn(path, body, vault, now);

  const id = String(headers['x-vault-token']);
  const token = vault.tokens.get(id);
  if (token === undefined || token.endsAt <= now()) return BAD_TOKEN;
  if (path.startsWith('auth/token/')) return aboutToken(path, id, token, vault, now);
  if (path === 'sys/capabilities-self') {
    const paths = body.paths as string[]; // as the API has it
    const found = paths.map((one) => [one, capabilities(token, kindOf(one))] as const);
    return { status: 200, body: { data: { ...Object.fromEntries(found), capabilities: found[0]?.[1] } } };
  }
  if (path === `sys/internal/ui/mounts/${MOUNT}`) {
    const { type, version } = vault.engine;
    return { status: 200, body: { data: { type, path: `${MOUNT}/`, options: { version } } } };
  }
  const [mount = ''] = path.split('/');
  const other = vault.engines.get(mount);
  if (other !== undefined) return token.policy === 'root' ? other(path.slice(mount.length + 1), body) : DENIED;
  if (mount !== MOUNT) return errors(404, `no handler for route "${path}". route entry not found.`);
  const [, kind = '', secret = ''] = /^[^/]+\/([^/]+)\/(.*)$/.exec(path) ?? [];
  return engine(method, kind, secret, body, token, vault);
}

function kindOf(path: string): string {
  return path.slice(MOUNT.length + 1).split('/')[0] ?? '';
}

function capabilities({ policy }: Token, kind: string): readonly string[] {
  return policy === 'root' ? ['root'] : (policy[kind] ?? ['deny']);
}

function logIn(path: string, body: Members, vault: Vault, now: () => number): Answer {
  const isIn =
    (path === 'auth/approle/login' && body.role_id === 'role-1' && body.secret_id === 'secret-1') ||
    (path === 'auth/kubernetes/login' && body.role === 'role-1' && vault.login.jwts.has(String(body.jwt)));
  if (!isIn)
    return path.includes('approle') ? errors(400, 'invalid role or secret ID') : errors(403, 'permission denied');
  const { ttlSeconds, renewable, policy } = vault.login;
  const token = `hvs.${randomUUID()}`;
  vault.addToken(token, { endsAt: now() + ttlSeconds, ttlSeconds, renewable, policy });
  return { status: 200, body: { auth: { client_token: token, lease_duration: ttlSeconds, renewable } } };
}

function aboutToken(path: string, id: string, token: Token, vault: Vault, now: () => number): Answer {
  const { ttlSeconds, renewable } = token;
  if (path === 'auth/token/lookup-self') {
    const ttl = ttlSeconds === 0 ? 0 : Math.floor(token.endsAt - now());
    return { status: 200, body: { data: { id, ttl, renewable } } };
  }
  if (path === 'auth/token/revoke-self') {
    vault.tokens.delete(id);
    return { status: 204 };
  }
  if (path !== 'auth/token/renew-self') return errors(404);
  if (!renewable) return errors(400, 'lease is not renewable');
  token.endsAt = now() + ttlSeconds;
  return { status: 200, body: { auth: { client_token: id, lease_duration: ttlSeconds, renewable } } };
}

function engine(method: string, kind: string, path: string, body: Members, token: Token, vault: Vault): Answer {
  const versions = vault.secrets.get(path) ?? [];
  const latest = versions.at(-1);
  const needed = method === 'GET' ? 'read' : kind === 'data' && latest === undefined ? 'create' : 'update';
  const held = capabilities(token, kind);
  if (!held.includes('root') && !held.includes(needed)) return DENIED;
  if (kind === 'destroy') {
    for (const number of body.versions as number[]) {
      const version = versions[number - 1];
      if (version !== undefined) Object.assign(version, { data: null, destroyed: true });
    }
    return { status: 204 };
  }
  if (kind !== 'data') return errors(404);
  if (method === 'GET') {
    if (latest === undefined) return errors(404);
    const metadata = {
      version: versions.length,
      destroyed: latest.destroyed,
      deletion_time: latest.deleted ? 'then' : '',
    };
    const isGone = latest.destroyed || latest.deleted;
    return { status: isGone ? 404 : 200, body: { data: { data: isGone ? null : latest.data, metadata } } };
  }
  vault.onWrite(path);
  const { cas } = (body.options ?? {}) as { cas?: number };
  const written = vault.secrets.get(path) ?? [];
  if (cas !== undefined && cas !== written.length)
    return errors(400, 'check-and-set parameter did not match the current version');
  written.push({ data: body.data as Record<string, string>, deleted: false, destroyed: false });
  vault.secrets.set(path, written);
  return { status: 200, body: { data: { version: written.length, destroyed: false, deletion_time: '' } } };
}
