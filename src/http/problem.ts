/** The only form in which errors leave over HTTP: problem documents, RFC 9457. */
import { STATUS_CODES } from 'node:http';
import type { FastifyReply } from 'fastify';

export interface Problem {
  readonly status: number;
  /** For the caller, who may be anybody: never an internal error's message. */
  readonly detail: string;
}

/** No type but the status says what went wrong, so the title is the status phrase (section 4.2.1). */
export function sendProblem(reply: FastifyReply, { status, detail }: Problem): FastifyReply {
  return reply
    .code(status)
    .type('application/problem+json')
    .send({ type: 'about:blank', title: STATUS_CODES[status], status, detail });
}

/**
 * What may be told of `error`. Of Fastify's own refusals all of it: they are about the request. Of others nothing, whatever status they bring along:
 * it may be that of an answer that we got ourselves.
 */
export function problemOf(error: unknown): Problem {
  if (isRefusal(error)) return { status: error.statusCode, detail: error.message };
  return { status: 500, detail: 'Something went wrong here, and not with the request. The log of rekeyd says what.' };
}

function isRefusal(error: unknown): error is Error & { readonly statusCode: number } {
  if (!(error instanceof Error && 'code' in error && 'statusCode' in error)) return false;
  const { code, statusCode } = error;
  return String(code).startsWith('FST_ERR_') && typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500;
}
