import type { OutgoingHttpHeaders } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { type Answer, Refusal } from './answer.ts';
import type { RateLimits } from './credentials.ts';
import type { Dispatch, Faults } from './faults.ts';
import type { LogEntry, RequestLog } from './log.ts';
import type { State } from './state.ts';

/** What all routes share. */
export interface Context {
  readonly state: State;
  readonly faults: Faults;
  readonly rateLimits: RateLimits;
  readonly log: RequestLog;
  readonly now: () => number;
  /** Success bodies of the management API come as `{"data": …}`. */
  readonly wrap: boolean;
  /** Host → origin to fetch a client's `jwks_uri` from. */
  readonly resolve: ReadonlyMap<string, string>;
  readonly onAnswered: (call: LogEntry) => void;
  /** In ms. */
  readonly latencyMs: number;
}

/**
 * The life of every request: enter it in the log, let the faults of before strike, answer it, let the faults of after strike, and only then
 * look at what is stored and write it down.
 */
export async function serve(
  context: Context,
  call: LogEntry,
  request: FastifyRequest,
  reply: FastifyReply,
  answer: () => Answer | Promise<Answer>,
): Promise<FastifyReply> {
  context.log.add(call);
  const latencyMs = call.method === 'GET' ? 0 : context.latencyMs;
  if (latencyMs > 0) await delay(latencyMs);
  let outcome = await context.faults.strike('before', call);
  if (outcome === null) {
    const answered = await refusable(answer);
    if (answered.status < 300) call.doneAt = context.now();
    outcome = (await context.faults.strike('after', call)) ?? answered;
    if (latencyMs > 0) await delay(latencyMs);
  }
  if (outcome === 'stall') return reply.hijack();
  if (outcome === 'drop') {
    reply.hijack();
    request.raw.socket.destroy();
    return reply;
  }
  const dispatch = context.faults.dispatch(call, outcome.body());
  call.status = outcome.status;
  context.onAnswered(call);
  return write(context, reply, outcome, dispatch);
}

function write(context: Context, reply: FastifyReply, answer: Answer, { body, cut, gzip }: Dispatch): FastifyReply {
  reply.code(answer.status).headers({
    ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    ...answer.headers,
    date: new Date(context.now()).toUTCString(),
  });
  if (body === undefined) return reply.send();
  const plain = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  const bytes = gzip ? gzipSync(plain) : plain;
  if (gzip) reply.header('content-encoding', 'gzip');
  if (!cut) return reply.send(bytes);
  reply.hijack();
  // `getHeaders` has numbers and lists for some, all of which `writeHead` takes.
  reply.raw.writeHead(answer.status, { ...reply.getHeaders(), 'content-length': bytes.length } as OutgoingHttpHeaders);
  reply.raw.write(bytes.subarray(0, bytes.length >> 1), () => reply.raw.destroy());
  return reply;
}

async function refusable(answer: () => Answer | Promise<Answer>): Promise<Answer> {
  try {
    return await answer();
  } catch (error) {
    if (error instanceof Refusal) return error.answer;
    throw error;
  }
}
