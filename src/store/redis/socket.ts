/**
 * Opens a socket to Redis: connected, signed in, and in its database. ioredis gets it after that. On its own, ioredis goes on in database 0 when the server
 * does not have the one that was asked for, keeps the password that it was made with, and prints a warning where a server wants no password.
 */
import { createConnection, isIP, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { messageOf } from '../../errors.ts';
import { alarm } from '../../time.ts';
import type { Login, Place } from './target.ts';

/** What is wrong; each has its own advice. */
export type Obstacle = 'away' | 'tls' | 'login' | 'database';

/** Why there is no connection. Only `away` may pass by itself. */
export class ConnectError extends Error {
  override readonly name = 'ConnectError';
  readonly obstacle: Obstacle;

  constructor(obstacle: Obstacle, message: string) {
    super(message);
    this.obstacle = obstacle;
  }
}

/** For connecting and signing in together, in ms. Shorter than the wait for a first connection, so that its error says what was wrong. */
const CONNECT_MS = 4_000;

/**
 * @param signal ends the attempt
 * @throws ConnectError
 */
export async function openSocket(place: Place, signal: AbortSignal, ms = CONNECT_MS): Promise<Socket> {
  const stream = dial(place);
  // Stays on for good: an error that comes before somebody else listens would end the process.
  stream.on('error', () => {});
  const giveUp = () => stream.destroy(new ConnectError('away', 'Connection is closed.'));
  const stopAlarm = alarm(ms, () => stream.destroy(silence(ms, place, stream)));
  signal.addEventListener('abort', giveUp, { once: true });
  try {
    if (signal.aborted) giveUp();
    await connected(stream, place);
    const greetings = [...signIn(place.login), ...choose(place.database)];
    if (greetings.length > 0) await greet(stream, greetings);
    return stream;
  } catch (error) {
    stream.destroy();
    throw error;
  } finally {
    stopAlarm();
    signal.removeEventListener('abort', giveUp);
  }
}

function silence(ms: number, { tls }: Place, stream: Socket): ConnectError {
  if (tls === null || stream.connecting) return new ConnectError('away', `no answer within ${ms} ms`);
  return new ConnectError('tls', `connected, but no TLS within ${ms} ms: does that port speak TLS?`);
}

function dial({ at, tls }: Place): Socket {
  if ('path' in at) return createConnection(at);
  if (tls === null) return createConnection({ ...at });
  const { servername = isIP(at.host) === 0 ? at.host : undefined, ...pems } = tls;
  const options: ConnectionOptions = { ...at, ...pems, ...(servername !== undefined && { servername }) };
  return connectTls(options);
}

function connected(stream: Socket, { tls, at }: Place): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const isTls = tls !== null && !('path' in at);
  stream.once(isTls ? 'secureConnect' : 'connect', resolve);
  stream.once('error', (error) => reject(problemOf(error, isTls)));
  stream.once('close', () => reject(new ConnectError('away', 'the server closed the connection')));
  return promise;
}

function problemOf(error: Error, isTls: boolean): ConnectError {
  if (error instanceof ConnectError) return error;
  const isNetwork = 'syscall' in error || error instanceof AggregateError;
  const isTlsProblem = isTls || isTlsAlert(error);
  return isNetwork || !isTlsProblem ? new ConnectError('away', messageOf(error)) : tlsProblem(error);
}

/** What OpenSSL says. A server may refuse our certificate, or its absence, only after `secureConnect` (TLS 1.3). */
export function isTlsAlert(error: Error): boolean {
  return 'code' in error && String(error.code).startsWith('ERR_SSL_');
}

/** OpenSSL's own message has its source lines in it; `reason` is what it means. */
export function tlsProblem(error: Error): ConnectError {
  const reason = 'reason' in error ? String(error.reason) : messageOf(error).replaceAll('\n', ' ');
  const code = 'code' in error ? ` (${String(error.code)})` : '';
  return new ConnectError('tls', `TLS: ${reason}${code}`);
}

interface Greeting {
  readonly words: readonly string[];
  /** What an error answer means; null: it does not matter. */
  refused(answer: string): ConnectError | null;
}

function signIn({ username, password }: Login): readonly Greeting[] {
  if (password === undefined) return [];
  const words = ['AUTH', ...(username === undefined ? [] : [username]), password];
  // A server without passwords takes everybody, whatever password they bring.
  const isOpen = (answer: string) => /no password is set|without any password configured/.test(answer);
  return [{ words, refused: (answer) => (isOpen(answer) ? null : new ConnectError('login', answer)) }];
}

function choose(database: number): readonly Greeting[] {
  if (database === 0) return [];
  const refused = (answer: string) => {
    const obstacle = answer.startsWith('NOPERM') ? 'login' : 'database';
    return new ConnectError(obstacle, `database ${database} cannot be used: ${answer}`);
  };
  return [{ words: ['SELECT', String(database)], refused }];
}

/** Both commands are answered with one line each (RESP2, which a connection begins with). */
function greet(stream: Socket, greetings: readonly Greeting[]): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let heard = '';
  const onData = (bytes: Buffer) => {
    heard += bytes.toString('latin1');
    const lines = heard.split('\r\n').slice(0, -1);
    for (const [index, line] of lines.entries()) {
      const problem = line.startsWith('+') ? null : (greetings[index]?.refused(line.replace(/^-/, '')) ?? null);
      if (problem !== null) return reject(problem);
    }
    if (lines.length >= greetings.length) resolve();
  };
  const onEnd = () =>
    reject(new ConnectError('away', 'the server closed the connection: does it speak TLS (rediss://)?'));
  stream.on('data', onData);
  stream.once('error', (error) => reject(problemOf(error, false)));
  stream.once('close', onEnd);
  for (const { words } of greetings) stream.write(commandOf(words));
  return promise.finally(() => {
    stream.off('data', onData);
    stream.pause(); // what comes next is for the reader that follows
  });
}

function commandOf(words: readonly string[]): string {
  const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
  return `*${words.length}\r\n${parts.join('')}`;
}
