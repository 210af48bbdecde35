/** One HTTP exchange with a hard end: a deadline, a size cap, no redirects, and never an exception for what the network does. */
import { isUtf8 } from 'node:buffer';
import { parseHttpDate } from '../core/http-date.ts';
import { type AnswerHeaders, shortMessage } from '../core/reply.ts';
import { messageOf } from '../errors.ts';
import { alarm } from '../time.ts';
import { decoded, isReadable } from './coding.ts';
import type { HttpPool } from './pool.ts';

export interface Exchange {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** Absolute path with the encoded segments. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
  /** From the call to the last byte of the body, waiting for a free connection included. */
  readonly timeoutMs: number;
  /** Ends the exchange when nothing arrives for this long, in ms. */
  readonly stallMs?: number;
  /** Of the body, once it is decompressed. */
  readonly maxBytes: number;
  /** Takes the body of a 2xx in pieces, as it arrives; nothing of it is kept. Rejects when the rest is of no use. */
  readonly take?: ((piece: Uint8Array) => Promise<void>) | undefined;
  readonly signal: AbortSignal | undefined;
  /** Local time in ms since the epoch, to compare the server's `Date` with. */
  readonly now: () => number;
}

/** `skewMs` is the server's clock minus ours, null when it sent no `Date`. */
export type Exchanged =
  | {
      readonly kind: 'answered';
      readonly status: number;
      readonly headers: AnswerHeaders;
      readonly body: string;
      readonly skewMs: number | null;
    }
  /** No answer, or a 2xx without its whole body: what the server did is not known. */
  | { readonly kind: 'lost'; readonly status: number | null; readonly message: string; readonly skewMs: number | null };

type Headers = Record<string, string | string[] | undefined>;

/** What has arrived so far: it counts even when the rest never comes. */
interface Arrived {
  head: { readonly status: number; readonly headers: AnswerHeaders; readonly skewMs: number | null } | null;
  readonly chunks: Uint8Array[];
}

/** Never throws for what the network or the server does. */
export async function exchange(pool: HttpPool, request: Exchange): Promise<Exchanged> {
  const deadline = startDeadline(request, request.signal);
  const arrived: Arrived = { head: null, chunks: [] };
  try {
    return outcomeOf(arrived, await run(pool, request, deadline, arrived));
  } catch (error) {
    const why = deadline.why() ?? shortMessage(messageOf(error));
    return outcomeOf(arrived, arrived.head === null ? `${why}${pool.via}` : why);
  } finally {
    deadline.clear();
  }
}

/** Returns why the answer is not whole, or null when it is. */
async function run(pool: HttpPool, request: Exchange, deadline: Deadline, arrived: Arrived): Promise<string | null> {
  const { method, path, headers, body, now } = request;
  const startedAt = now();
  const answer = await pool.request({ method, path, headers, body, signal: deadline.signal });
  const received = firstValues(answer.headers);
  arrived.head = { status: answer.statusCode, headers: received, skewMs: skewOf(received, (startedAt + now()) / 2) };
  const coding = received['content-encoding'] ?? 'identity';
  if (!isReadable(coding)) {
    await collect(answer.body, 0, [], deadline, undefined);
    return `the answer is encoded as ${shownCoding(coding)}, which rekeyd does not read`;
  }
  const isWanted = isSuccess(answer.statusCode);
  const maxBytes = isWanted ? request.maxBytes : Math.min(request.maxBytes, ERROR_BYTES);
  return collect(decoded(answer.body, coding), maxBytes, arrived.chunks, deadline, isWanted ? request.take : undefined);
}

/** A name of a coding, or several. A header of another form may repeat what was sent, a token for one. */
function shownCoding(coding: string): string {
  return /^[a-z]{1,10}(?:, ?[a-z]{1,10}){0,3}$/i.test(coding) ? coding : 'something unknown';
}

/** Enough of an error page to say what it is. */
const ERROR_BYTES = 64 * 1024;

function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}

function outcomeOf({ head, chunks }: Arrived, fault: string | null): Exchanged {
  if (head === null) return { kind: 'lost', status: null, message: fault ?? 'no answer', skewMs: null };
  const { status, skewMs } = head;
  const bytes = Buffer.concat(chunks);
  // U+FFFD for an odd byte will do in an error text; in a document it would be written back into somebody else's key.
  const broken = fault ?? (isUtf8(bytes) ? null : 'the answer is not UTF-8');
  // Any other status says what it has to say before its body, and a broken body does not unsay it.
  if (broken !== null && isSuccess(status)) return { kind: 'lost', status, message: broken, skewMs };
  return { kind: 'answered', ...head, body: new TextDecoder().decode(bytes) };
}

/** Fills `chunks`, so that what did arrive is there even when this throws. Returns why it stopped early, or null at the end of the body. */
async function collect(
  body: AsyncIterable<Uint8Array>,
  maxBytes: number,
  chunks: Uint8Array[],
  deadline: Deadline,
  take: Exchange['take'],
): Promise<string | null> {
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (take === undefined) chunks.push(chunk.subarray(0, Math.max(0, chunk.length - (size - maxBytes))));
    else {
      deadline.rest();
      await take(chunk);
    }
    // Leaving the loop destroys the body and its connection: the rest is never read.
    if (size > maxBytes) return `the answer is larger than ${maxBytes} bytes`;
    deadline.moved();
  }
  return null;
}

interface Deadline {
  readonly signal: AbortSignal;
  /** Something arrived: the time in which nothing does begins anew. */
  moved(): void;
  /** What arrived is worked on: nothing has to arrive until it moves again. */
  rest(): void;
  /** Null while it has not come, and the caller has not aborted. */
  why(): string | null;
  clear(): void;
}

/** One signal for the deadline and the caller's abort that remembers which of the two it was. */
function startDeadline(
  { timeoutMs, stallMs }: Pick<Exchange, 'timeoutMs' | 'stallMs'>,
  signal: AbortSignal | undefined,
): Deadline {
  const abort = new AbortController();
  let why: string | null = null;
  const end = (reason: string) => {
    why ??= reason;
    abort.abort();
  };
  const onAbort = () => end('aborted by the caller');
  if (signal?.aborted) onAbort();
  signal?.addEventListener('abort', onAbort, { once: true });
  const cancelEnd = alarm(timeoutMs, () => end(`no complete answer within ${timeoutMs} ms`));
  const watch = () =>
    stallMs === undefined ? () => {} : alarm(stallMs, () => end(`nothing arrived for ${stallMs} ms`));
  let cancelStall = watch();
  return {
    signal: abort.signal,
    why: () => why,
    rest: () => cancelStall(),
    moved() {
      cancelStall();
      cancelStall = watch();
    },
    clear() {
      cancelEnd();
      cancelStall();
      signal?.removeEventListener('abort', onAbort);
    },
  };
}

/** `Date` has whole seconds, cut off: half a second on top is the best guess. */
function skewOf(headers: AnswerHeaders, localMs: number): number | null {
  const date = parseHttpDate(headers.date ?? '');
  return date === null ? null : date + 500 - localMs;
}

/** Of a header that came several times, the first. */
function firstValues(headers: Headers): AnswerHeaders {
  const entries = Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value[0] : value]);
  return Object.fromEntries(entries);
}
