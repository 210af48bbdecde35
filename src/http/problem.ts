/** The only form in which errors leave over HTTP: problem documents, RFC 9457. */
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { hasCode, messageOf } from '../errors.ts';
import type { Log } from '../rotation/resources.ts';

export interface Problem {
  readonly status: number;
  /** For the caller, who may be anybody: never an internal error's message. */
  readonly detail: string;
  /** What is wrong, one by one. Absent when the detail says it all. */
  readonly errors?: readonly { readonly detail: string; readonly client?: string }[];
  readonly headers?: Readonly<Record<string, string>>;
}

type MoreOfProblem = Omit<Problem, 'status' | 'detail'> & { readonly cause?: unknown };

export const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string().describe('What happened and what to do, for a person.'),
    errors: z
      .array(z.object({ detail: z.string(), client: z.string().optional() }))
      .optional()
      .describe('What is wrong, one by one.'),
  })
  .meta({ id: 'Problem', description: 'A problem document, RFC 9457.' });

/** Thrown by a route: the caller is told all of it. */
export class ProblemError extends Error {
  override readonly name = 'ProblemError';
  readonly problem: Problem;

  /** @param more.cause for the log, never for the caller */
  constructor(status: number, detail: string, { cause, ...more }: MoreOfProblem = {}) {
    super(detail, { cause });
    this.problem = { status, detail, ...more };
  }
}

const MEDIA_TYPE = 'application/problem+json';

/** No type but the status says what went wrong, so the title is the status phrase (section 4.2.1). */
function documentOf({ status, detail, errors }: Problem): object {
  return { type: 'about:blank', title: STATUS_CODES[status], status, detail, ...(errors && { errors }) };
}

export function sendProblem(reply: FastifyReply, problem: Problem): FastifyReply {
  const { status, headers = {} } = problem;
  return reply.code(status).headers(headers).type(MEDIA_TYPE).send(documentOf(problem));
}

/** What Node could not read as a request. */
const UNREADABLE: Readonly<Record<string, Problem>> = {
  ERR_HTTP_REQUEST_TIMEOUT: { status: 408, detail: 'The request did not come in time. Send it at once.' },
  HPE_HEADER_OVERFLOW: {
    status: 431,
    detail: 'The headers of this request are too large. Send fewer or shorter ones.',
  },
};

/** Ends a connection on which no request can be read, with an answer where one can still be sent. */
export function endUnreadable({ code = '' }: Error & { readonly code?: string }, socket: Socket): void {
  if (socket.writable) {
    const problem = UNREADABLE[code] ?? { status: 400, detail: 'This is no HTTP request that can be read.' };
    const body = JSON.stringify(documentOf(problem));
    const head = `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`;
    socket.write(
      `${head}\r\ncontent-type: ${MEDIA_TYPE}\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
    );
  }
  socket.destroy();
}

/**
 * What a caller is told of `error`. A {@link ProblemError} and a refusal of Fastify are about the request: all of it is told. Of any other error nothing is
 * told, and its status does not count: it may be that of an answer that we got ourselves.
 */
function problemOf(error: unknown): Problem {
  if (error instanceof ProblemError) return error.problem;
  if (isRefusal(error)) return { status: error.statusCode, detail: error.message };
  if (STORE_TROUBLES.some((code) => hasCode(error, code))) {
    return {
      status: 503,
      detail: 'The store cannot be worked with now. Ask again later; GET /readyz says when.',
      headers: { 'retry-after': '5' },
    };
  }
  if (hasCode(error, 'kms_unavailable'))
    return { status: 503, detail: error.message, headers: { 'retry-after': '30' } };
  return { status: 500, detail: 'Something went wrong here, and not with the request. The log of rekeyd says what.' };
}

/** As {@link problemOf}. From 500 on, the log gets the cause. */
export function loggedProblem(error: unknown, log: Log): Problem {
  const told = problemOf(error);
  if (told.status === 500) log.error({ error: messageOf(error) }, 'a request failed');
  else if (told.status > 500) log.warn({ error: causeOf(error) }, 'a request could not be answered');
  return told;
}

function causeOf(error: unknown): string {
  return messageOf(error instanceof Error && error.cause !== undefined ? error.cause : error);
}

const STORE_TROUBLES = ['redis_unreachable', 'not_durable', 'store_lost', 'request_lost'] as const;

function isRefusal(error: unknown): error is Error & { readonly statusCode: number } {
  if (!(error instanceof Error && 'code' in error && 'statusCode' in error)) return false;
  const { code, statusCode } = error;
  return String(code).startsWith('FST_ERR_') && typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500;
}
