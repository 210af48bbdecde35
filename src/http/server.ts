/** The HTTP side of a worker: whether it lives, and whether it can work. */
import Fastify from 'fastify';

export interface HttpOptions {
  readonly host: string;
  readonly port: number;
  /** Null when rotations can be worked on, else what stands in the way. Never a secret. */
  ready(): Promise<string | null>;
}

export interface HttpServer {
  readonly url: string;
  close(): Promise<void>;
}

/** @throws when the address is taken */
export async function startHttp({ host, port, ready }: HttpOptions): Promise<HttpServer> {
  const server = Fastify({ logger: false });

  server.get('/livez', async () => ({ status: 'ok' }));

  server.get('/readyz', async (_request, reply) => {
    const obstacle = await ready();
    if (obstacle === null) return { status: 'ok' };
    // RFC 9457
    return reply
      .code(503)
      .type('application/problem+json')
      .send({ type: 'about:blank', title: 'Not ready', status: 503, detail: obstacle });
  });

  const url = await server.listen({ host, port });
  return { url, close: () => server.close() };
}
