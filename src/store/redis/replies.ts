/** Reading what Redis answers: checked shapes instead of casts, and Redis's own errors as ours. */
import { hasCode, messageOf, RekeydError } from '../../errors.ts';
import { OTHER_STORE, ROLLED_BACK } from '../lua/prelude.ts';
import { ConnectError } from './socket.ts';

/** @throws TypeError when a script did not answer with a list: a mistake of ours, not of the caller. */
export function list(reply: unknown): readonly unknown[] {
  if (!Array.isArray(reply)) throw new TypeError(`Redis answered ${typeof reply} where a list was expected`);
  return reply;
}

export function integer(value: unknown): number {
  const number = typeof value === 'string' ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isSafeInteger(number)) {
    throw new TypeError(`Redis answered ${typeof value} where an integer was expected`);
  }
  return number;
}

export function text(value: unknown): string {
  if (typeof value !== 'string') throw new TypeError(`Redis answered ${typeof value} where a string was expected`);
  return value;
}

/** ioredis gives up a half-answered pipeline with this when the connection drops; whether the command ran is unknown. */
export function isAborted(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError';
}

/**
 * The answer of a server that is not, or no longer, the one that takes our writes: a primary that was demoted (Redis 6 hides the word in
 * a script's error), a cluster node that gave our keys away or has lost its cluster. A new connection finds the right one, or waits for it; nothing
 * was changed here.
 */
export function isMisdirected(error: unknown): boolean {
  return (
    error instanceof Error &&
    /^(READONLY|MOVED|CLUSTERDOWN|UNBLOCKED) |-READONLY |with replica instances/.test(error.message)
  );
}

/** The right server, at a bad moment: it loads its data, or our keys are being moved to another node. */
export function isPassing(error: unknown): boolean {
  return error instanceof Error && /^(TRYAGAIN|ASK|MASTERDOWN|LOADING) /.test(error.message);
}

/** Another script has run for seconds, perhaps one of another application. Until it ends, the server refuses every command. */
export function isBusy(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('BUSY ');
}

/** The server, or a member of its group by name, does not take our user and password. The next connection brings them again, and by then they may be the right ones. */
export function isLoginRefused(error: unknown): boolean {
  return error instanceof Error && /(^|: )(WRONGPASS|NOAUTH) |(^|: )ERR invalid password/.test(error.message);
}

/** An error of the connection, not an answer to what was asked: it could not be made, or was lost. */
export function isOutage(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (error instanceof AggregateError) return error.errors.every(isOutage);
  if (error instanceof ConnectError) return true;
  return (
    'syscall' in error ||
    isLoginRefused(error) ||
    /^(Connection is closed|Socket (closed|timeout))|^LOADING /.test(error.message) ||
    isAborted(error)
  );
}

/**
 * The answer of a server that does not take this write, or any: it is full, its disk is, its replicas are gone, or its user may not. Trying again at once
 * does not help, and the store's guard tells it once ({@link ../guard.ts}).
 */
export function isRefusal(error: unknown): boolean {
  const message = messageOf(error);
  return hasCode(error, 'redis_denied') || isFull(message) || isDenial(message) || /^READONLY /.test(message);
}

/** Redis 6 hides the word in the error of a script. */
function isFull(message: string): boolean {
  return /^(MISCONF|OOM|NOREPLICAS) |-(MISCONF|OOM) |^Redis refuses to write: /.test(message);
}

/** Redis 6 and 7 say it in other words when a script does it. */
export function isDenial(message: string): boolean {
  return /^NOPERM |ACL failure in script|The user executing the script can't/.test(message);
}

/** A script's own refusal: this is not the store that its caller means; see {@link ../lua/prelude.ts}. */
export function isOtherStore(error: unknown): error is Error {
  return error instanceof Error && (error.message.includes(OTHER_STORE) || error.message.includes(ROLLED_BACK));
}

/**
 * The error of a command as one of ours. Only the message is kept: ioredis hangs the whole command, arguments included, on its errors,
 * and arguments may be passwords or sealed keys.
 */
export function storeError(error: unknown): Error {
  if (error instanceof RekeydError) return error;
  const message = messageOf(error);
  if (isOtherStore(error)) return new Error(message);
  if (isFull(message)) {
    return new RekeydError(
      'not_durable',
      `Redis refuses to write: ${message} Nothing was changed. Free disk or memory on the Redis server, or bring its replicas back.`,
    );
  }
  if (isDenial(message)) return denied(message);
  if (message === 'Connection is closed.') {
    return new RekeydError('redis_unreachable', 'The connection to Redis was closed before the command was answered.');
  }
  return new Error(`Redis answered: ${message}`);
}

/** @param what the user may not do; Redis's own words end with a full stop, or not */
export function denied(what: string): RekeydError {
  return new RekeydError(
    'redis_denied',
    `Redis does not let its user do what rekeyd needs: ${what.replace(/\.$/, '')}. Nothing was changed. Give the user the rights that docs/operations.md lists; \`rekeyd doctor\` says which are missing.`,
  );
}
