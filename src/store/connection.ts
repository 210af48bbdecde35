import { Redis, type RedisOptions } from 'ioredis';
import { messageOf, RekeydError } from '../errors.ts';
import { sleep } from '../time.ts';

/** Where Redis is: a URL (`redis://`, `rediss://` or `unix:///path`), or a unix socket. */
export type RedisTarget = { readonly url: string } | { readonly socketPath: string };

/** The part of a logger that a connection needs. */
export interface ConnectionLog {
  warn(fields: object, message: string): void;
  info(fields: object, message: string): void;
}

export interface ConnectOptions {
  /** Shown in `CLIENT LIST`. */
  readonly name: string;
  readonly log?: ConnectionLog;
  /** How long the first connection may take, in ms. */
  readonly connectTimeout?: number;
}

/** A reply that takes longer comes from a dead peer: the socket is dropped and the command sent again. Longer than any wait for the disk. */
const SOCKET_TIMEOUT_MS = 30_000;

/**
 * A connection that is ready. Lost later, it comes back by itself and sends unanswered commands again; until then commands wait.
 * @throws RekeydError `redis_unreachable`, `config` (not a Redis URL)
 */
export async function connectRedis(target: RedisTarget, options: ConnectOptions): Promise<Redis> {
  const redis = new Redis({
    ...commonOptions(target),
    connectionName: options.name,
    disconnectTimeout: 100, // ioredis keeps the process for that long after a connection that had ended already
    enableAutoPipelining: true,
    socketTimeout: SOCKET_TIMEOUT_MS,
  });
  const firstError = await firstConnection(redis, options.connectTimeout ?? 5000);
  if (firstError !== null) {
    redis.disconnect();
    throw unreachable(target, firstError);
  }
  if (options.log !== undefined) logChanges(redis, describe(target), options.log);
  return redis;
}

/** Options for BullMQ's own connections to the same Redis. */
export function bullConnectionOptions(target: RedisTarget): RedisOptions {
  return commonOptions(target);
}

function commonOptions(target: RedisTarget) {
  return {
    ...addressOptions(target),
    // Never give a command up: it waits for the connection to come back. BullMQ insists on it for its blocking connections.
    maxRetriesPerRequest: null,
    retryStrategy: (attempt: number) => Math.min(50 * 2 ** (attempt - 1), 2000),
    // After a failover the old primary refuses writes; a new connection finds the new one.
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
  } satisfies RedisOptions;
}

function addressOptions(target: RedisTarget) {
  if ('socketPath' in target) return { path: target.socketPath };
  const url = parseUrl(target.url);
  if (url.protocol === 'unix:') return { path: decodeURIComponent(url.pathname) };
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? 6379 : Number(url.port),
    ...(url.username !== '' && { username: decodeURIComponent(url.username) }),
    ...(url.password !== '' && { password: decodeURIComponent(url.password) }),
    ...(url.pathname.length > 1 && { db: Number(url.pathname.slice(1)) }),
    ...(url.protocol === 'rediss:' && { tls: {} }),
  };
}

function parseUrl(url: string): URL {
  const parsed = URL.parse(url);
  const usable = parsed?.protocol === 'unix:' ? parsed.pathname.length > 1 : isServerUrl(parsed);
  // The value is not shown: it may hold a password.
  if (parsed === null || !usable) {
    throw new RekeydError(
      'config',
      'redis.url is not a Redis URL. Write redis://[user:password@]host[:port][/database], rediss:// for TLS, or unix:///path/of/the/socket.',
    );
  }
  return parsed;
}

function isServerUrl(url: URL | null): boolean {
  const tcp = url?.protocol === 'redis:' || url?.protocol === 'rediss:';
  return tcp && url.hostname !== '' && /^\/?\d*$/.test(url.pathname);
}

/** Null once the connection is ready, else what was wrong at the last try. A refused password fails at once, anything else is tried again. */
async function firstConnection(redis: Redis, timeout: number): Promise<string | null> {
  let problem: string | null = `no answer within ${timeout} ms`;
  const settled = new AbortController();
  redis.once('ready', () => {
    problem = null;
    settled.abort();
  });
  // Stays on for good: an `error` event without a listener is printed by ioredis, command arguments and all.
  redis.on('error', (error) => {
    if (settled.signal.aborted) return;
    problem = messageOf(error);
    if (/NOAUTH|WRONGPASS|NOPERM/.test(problem)) settled.abort();
  });
  await sleep(timeout, settled.signal);
  settled.abort();
  return problem;
}

function unreachable(target: RedisTarget, problem: string): RekeydError {
  return new RekeydError(
    'redis_unreachable',
    `Could not connect to Redis at ${describe(target)}: ${problem}. Start the server or correct redis.url (host, port, user and password, rediss:// for TLS).`,
  );
}

/** The address without user and password. */
function describe(target: RedisTarget): string {
  if ('socketPath' in target) return target.socketPath;
  const { protocol, host, pathname } = parseUrl(target.url);
  return protocol === 'unix:' ? pathname : host;
}

/** One line when the connection goes and one when it is back, not one for every try. */
function logChanges(redis: Redis, address: string, log: ConnectionLog): void {
  let connected = true;
  let last = '';
  redis.on('error', (error) => {
    last = messageOf(error);
  });
  redis.on('reconnecting', () => {
    if (connected)
      log.warn({ redis: address, error: last }, 'lost the connection to Redis; work waits until it is back');
    connected = false;
  });
  redis.on('ready', () => {
    if (!connected) log.info({ redis: address }, 'connected to Redis again');
    connected = true;
  });
}
