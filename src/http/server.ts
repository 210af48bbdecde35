/** The HTTP side of a worker: its listeners, their limits, and how errors leave. */
import { createServer } from 'node:http';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { messageOf, RekeydError } from '../errors.ts';
import { openScannerKeys } from '../leaks/scanner-keys.ts';
import type { Log } from '../rotation/resources.ts';
import { alarm } from '../time.ts';
import type { Credentials } from './auth.ts';
import { openEvents } from './events.ts';
import { problemOf, sendProblem } from './problem.ts';
import { openLimiter, type Rate } from './rate.ts';
import { openRefusals } from './refusals.ts';
import { type Registering, register } from './register.ts';
import type { ApiContext, Route } from './route.ts';
import { auditRoutes } from './routes/audit.ts';
import { clientRoutes } from './routes/clients.ts';
import { leakRoutes } from './routes/leaks.ts';
import { rotationRoutes } from './routes/rotations.ts';

export interface HttpOptions {
  readonly listen: Address;
  /** Null when rotations can be worked on, else what stands in the way. Never a secret. */
  ready(): Promise<string | null>;
  /** Absent: only the probes are served. */
  readonly api?: ApiOptions;
  readonly log: Log;
  readonly limits?: Partial<Limits>;
}

export interface ApiOptions {
  /** Of the config in force, as are the others. */
  readonly parts: () => Omit<ApiContext, 'events' | 'scanners'>;
  readonly credentials: () => Credentials;
  readonly rate: () => Rate;
}

interface Address {
  readonly host: string;
  readonly port: number;
}

export interface Limits {
  /** Of a body, in bytes. */
  readonly body: number;
  /** Of all headers together, in bytes. */
  readonly headers: number;
  /** In which the headers, and the whole request, have come, in ms. */
  readonly headersMs: number;
  readonly requestMs: number;
  /** At once, on one listener. */
  readonly connections: number;
}

const LIMITS: Limits = {
  body: 1 << 20,
  headers: 16 * 1024,
  headersMs: 10_000,
  requestMs: 30_000,
  connections: 4_096,
};

export interface HttpServer {
  readonly url: string;
  close(): Promise<void>;
}

/** Every route of the API, for its document. */
export const API_ROUTES: readonly Route[] = [...rotationRoutes, ...clientRoutes, ...auditRoutes, ...leakRoutes];

/** How long a request under way may take to end when the server stops, in ms. */
const FAREWELL_MS = 5_000;

/** @throws RekeydError `config` when the address is taken or not one of this machine */
export async function startHttp({ listen, ready, api, log, limits }: HttpOptions): Promise<HttpServer> {
  const app = openApp({ ...LIMITS, ...limits }, log);
  app.get('/livez', async () => ({ status: 'ok' }));
  app.get('/readyz', async (_request, reply) => {
    const obstacle = await ready();
    return obstacle === null ? { status: 'ok' } : sendProblem(reply, { status: 503, detail: obstacle });
  });
  const close = api === undefined ? null : serveApi(app, api, log);
  const url = await listenOn(app, listen);
  return {
    url,
    async close() {
      await close?.();
      const cancel = alarm(FAREWELL_MS, () => app.server.closeAllConnections());
      await app.close().finally(cancel);
    },
  };
}

function serveApi(app: FastifyInstance, { parts, credentials, rate }: ApiOptions, log: Log): () => Promise<void> {
  const { store } = parts().resources;
  const events = openEvents(store, log);
  const refusals = openRefusals(log, (drafts) => store.append(drafts));
  const context: ApiContext = {
    get resources() {
      return parts().resources;
    },
    get queues() {
      return parts().queues;
    },
    events,
    scanners: openScannerKeys(),
  };
  const registering: Registering = { context, credentials, limit: openLimiter(rate), refused: refusals.note };
  register(app, API_ROUTES, registering);
  return events.close;
}

function openApp(limits: Limits, log: Log): FastifyInstance {
  function refuse(error: unknown, _request: FastifyRequest, reply: FastifyReply): void {
    const told = problemOf(error);
    if (told.status === 500) log.error({ error: messageOf(error) }, 'a request failed');
    else if (told.status > 500) log.warn({ error: causeOf(error) }, 'a request could not be answered');
    sendProblem(reply, told);
  }

  const app = Fastify({
    logger: false,
    bodyLimit: limits.body,
    // What the router itself refuses, such as a URL that cannot be decoded, never gets to the error handler.
    frameworkErrors: refuse,
    serverFactory(handler) {
      const server = createServer(
        {
          maxHeaderSize: limits.headers,
          headersTimeout: limits.headersMs,
          requestTimeout: limits.requestMs,
          connectionsCheckingInterval: Math.min(1_000, limits.headersMs),
        },
        handler,
      );
      server.maxConnections = limits.connections;
      return server;
    },
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  app.setErrorHandler(refuse);
  app.setNotFoundHandler((_request, reply) =>
    sendProblem(reply, { status: 404, detail: 'There is nothing at this path, or not with this method.' }),
  );
  return app;
}

function causeOf(error: unknown): string {
  return messageOf(error instanceof Error && error.cause !== undefined ? error.cause : error);
}

/** What is wrong with an address, and what to do. */
const UNUSABLE: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another process listens there, which may be another rekeyd. Stop that one, set a free address',
  EADDRNOTAVAIL: 'this machine has no such address. Set one of its own, such as 127.0.0.1 or 0.0.0.0',
  EACCES: 'rekeyd may not listen on a port below 1024. Set a higher one',
  ENOTFOUND: 'the host name is not known here. Set an address of this machine',
};

async function listenOn(app: FastifyInstance, { host, port }: Address): Promise<string> {
  return app.listen({ host, port }).catch((error: unknown) => {
    const why = UNUSABLE[error instanceof Error && 'code' in error ? String(error.code) : ''] ?? 'it cannot be used';
    throw new RekeydError(
      'config',
      `http.listen ${host}:${port}: ${why}, or start with --no-http. (${messageOf(error)})`,
    );
  });
}
