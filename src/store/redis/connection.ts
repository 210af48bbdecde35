import { Redis, type RedisOptions } from 'ioredis';
import { messageOf, RekeydError } from '../../errors.ts';
import { monotonic, sleep } from '../../time.ts';
import { connectorTo } from './primary.ts';
import { isMisdirected, isPassing } from './replies.ts';
import { ConnectError, isTlsAlert, type Obstacle, tlsProblem } from './socket.ts';
import { describeTarget, type RedisTarget } from './target.ts';

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

/**
 * A reply that takes longer comes from a dead peer: the socket is dropped and the command sent again. Longer than any wait for the disk (twice 5 s), or
 * of BullMQ for a job (10 s). In a group another server may be the primary by then.
 */
const SOCKET_TIMEOUT_MS = 30_000;
const GROUP_SOCKET_TIMEOUT_MS = 15_000;

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
    // Not sent again by ioredis: a script resent on its own would part from the WAITAOF behind it.
    reconnectOnError: isMisdirected,
  });
  const firstError = await firstConnection(redis, options.connectTimeout ?? 5000);
  if (firstError !== null) {
    redis.disconnect();
    throw unreachable(target, firstError);
  }
  if (options.log !== undefined) logChanges(redis, describeTarget(target), options.log);
  return redis;
}

/** Options for BullMQ's own connections to the same Redis. */
export function bullConnectionOptions(target: RedisTarget): RedisOptions {
  return {
    ...commonOptions(target),
    // BullMQ takes an error for the end of its command, so ioredis sends it again, to the right server.
    reconnectOnError: (error) => (isMisdirected(error) || isPassing(error) ? 2 : false),
  };
}

function commonOptions(target: RedisTarget) {
  return {
    Connector: connectorTo(target),
    disableClientInfo: true, // it needs one right more, and only names the client library
    // Never give a command up: it waits for the connection to come back. BullMQ insists on it for its blocking connections.
    maxRetriesPerRequest: null,
    // The connector waits instead. A connection that was closed while ioredis waits would never say that it ended, and would forget what is queued.
    retryStrategy: () => 0,
    socketTimeout: 'group' in target ? GROUP_SOCKET_TIMEOUT_MS : SOCKET_TIMEOUT_MS,
  } satisfies RedisOptions;
}

/** Null once the connection is ready, else what was wrong at the last try. What does not pass by itself fails at once, anything else is tried again. */
async function firstConnection(redis: Redis, timeout: number): Promise<ConnectError | null> {
  let problem: ConnectError | null = new ConnectError('away', `no answer within ${timeout} ms`);
  const settled = new AbortController();
  redis.once('ready', () => {
    problem = null;
    settled.abort();
  });
  // Stays on for good: an `error` event without a listener is printed by ioredis, command arguments and all.
  redis.on('error', (error) => {
    if (settled.signal.aborted) return;
    problem = connectErrorOf(error);
    if (problem.obstacle !== 'away' || /cluster support disabled/.test(problem.message)) settled.abort();
  });
  await sleep(timeout, settled.signal);
  settled.abort();
  return problem;
}

/** What comes once the socket is open: a server that wants a password or a certificate, and was given none, says so then. */
function connectErrorOf(error: Error): ConnectError {
  if (error instanceof ConnectError) return error;
  if (isTlsAlert(error)) return tlsProblem(error);
  const isLogin = /NOAUTH|WRONGPASS|NOPERM/.test(messageOf(error));
  return new ConnectError(isLogin ? 'login' : 'away', messageOf(error));
}

const ADVICE: Readonly<Record<Obstacle, string>> = {
  away: 'Start the server or correct the redis section of the config (host and port, or the path of the socket; rediss:// for TLS).',
  tls: 'The port must speak TLS, with a certificate for the host (or redis.tls.servername) by an authority that Node.js knows or that redis.tls.ca names. A server that asks for a certificate of ours needs redis.tls.cert and key.',
  login:
    'The server runs and turns us away: correct user and password where the config refers to. A file is read again by itself.',
  database: 'Correct the number in redis.url, or give the server more databases (its setting `databases`).',
};

/** Redis ends only some of its messages with a full stop. The one about a missing password explains how HELLO works. */
function sentence(message: string): string {
  if (message.startsWith('NOAUTH')) return 'NOAUTH: it asks for a password, and none is configured.';
  return /[.?!]$/.test(message) ? message : `${message}.`;
}

function unreachable(target: RedisTarget, { obstacle, message }: ConnectError): RekeydError {
  return new RekeydError(
    'redis_unreachable',
    `Could not connect to Redis at ${describeTarget(target)}: ${sentence(message)} ${ADVICE[obstacle]}`,
  );
}

/** After a loss that was logged, another one within this time, in ms, is logged only if it lasts longer. */
const QUIET_MS = 60_000;

/** One line when the connection is lost and one when it is back, not one for every try; and one a minute where it is lost again and again. */
function logChanges(redis: Redis, address: string, log: ConnectionLog): void {
  let toldAt = Number.NEGATIVE_INFINITY;
  let isTold = false;
  let last = '';
  let refused = false;
  redis.on('error', (error) => {
    const { obstacle, message } = connectErrorOf(error);
    last = message;
    // A server that cannot be reached comes back. One that turns us away needs somebody.
    if (refused || obstacle === 'away') return;
    refused = true;
    log.warn(
      { redis: address, error: last, fix: ADVICE[obstacle] },
      'Redis does not take the connection; work waits until it does',
    );
  });
  redis.on('reconnecting', () => {
    if (isTold || monotonic() - toldAt <= QUIET_MS) return;
    isTold = true;
    toldAt = monotonic();
    const error = last || 'the server closed it';
    log.warn({ redis: address, error }, 'lost the connection to Redis; work waits until it is back');
  });
  redis.on('ready', () => {
    if (isTold) log.info({ redis: address }, 'connected to Redis again');
    isTold = false;
    refused = false;
    last = '';
  });
}
