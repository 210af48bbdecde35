/** The HTTP side of a worker: whether it lives, and whether it can work. */
import Fastify, { type FastifyReply, type FastifyRequest } from 'fastify';
import { messageOf, RekeydError } from '../errors.ts';
import { problemOf, sendProblem } from './problem.ts';

export interface HttpOptions {
  readonly host: string;
  readonly port: number;
  /** Null when rotations can be worked on, else what stands in the way. Never a secret. */
  ready(): Promise<string | null>;
  /** Hears of errors that are answered with 500: the answer says nothing of them. */
  onError(error: unknown): void;
}

export interface HttpServer {
  readonly url: string;
  close(): Promise<void>;
}

/** What is wrong with an address, and what to do. */
const UNUSABLE: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another process listens there, which may be another rekeyd. Stop that one, set a free address',
  EADDRNOTAVAIL: 'this machine has no such address. Set one of its own, such as 127.0.0.1 or 0.0.0.0',
  EACCES: 'rekeyd may not listen on a port below 1024. Set a higher one',
  ENOTFOUND: 'the host name is not known here. Set an address of this machine',
};

/** @throws RekeydError `config` when the address is taken or not one of this machine */
export async function startHttp({ host, port, ready, onError }: HttpOptions): Promise<HttpServer> {
  function refuse(error: unknown, _request: FastifyRequest, reply: FastifyReply): void {
    const told = problemOf(error);
    if (told.status >= 500) onError(error);
    sendProblem(reply, told);
  }

  // What the router itself refuses, such as a URL that cannot be decoded, never gets to the error handler.
  const server = Fastify({ logger: false, frameworkErrors: refuse });
  server.setErrorHandler(refuse);
  server.setNotFoundHandler((_request, reply) =>
    sendProblem(reply, { status: 404, detail: 'There is nothing at this path, or not with this method.' }),
  );

  server.get('/livez', async () => ({ status: 'ok' }));

  server.get('/readyz', async (_request, reply) => {
    const obstacle = await ready();
    return obstacle === null ? { status: 'ok' } : sendProblem(reply, { status: 503, detail: obstacle });
  });

  const url = await server.listen({ host, port }).catch((error: unknown) => {
    const why = UNUSABLE[error instanceof Error && 'code' in error ? String(error.code) : ''] ?? 'it cannot be used';
    throw new RekeydError(
      'config',
      `http.listen ${host}:${port}: ${why}, or start with --no-http. (${messageOf(error)})`,
    );
  });
  return { url, close: () => server.close() };
}
