/** One listener: plain or TLS, with limits for what a caller may send and how long that may take, and with errors that leave as problem documents. */
import { createServer as createPlain, type Server } from 'node:http';
import { createServer as createSecure, Server as SecureServer } from 'node:https';
import type { TlsOptions } from 'node:tls';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { HttpTlsConfig } from '../config/model.ts';
import { messageOf, RekeydError } from '../errors.ts';
import type { Log } from '../rotation/resources.ts';
import { alarm } from '../time.ts';
import { endUnreadable, loggedProblem, type Problem, sendProblem } from './problem.ts';

export interface Limits {
  /** The largest body, in bytes. */
  readonly body: number;
  /** The most of all headers together, in bytes. */
  readonly headers: number;
  /** How long a caller may take to send the headers, in ms. */
  readonly headersMs: number;
  /** How long a caller may take to send the whole request, in ms. */
  readonly requestMs: number;
  /** How many connections there may be at once. Further ones are closed as they come. */
  readonly connections: number;
}

export const LIMITS: Limits = {
  body: 1 << 20,
  headers: 16 * 1024,
  headersMs: 10_000,
  requestMs: 30_000,
  connections: 4_096,
};

export interface ListenerOptions {
  /** Null: plain HTTP. */
  readonly tls: HttpTlsConfig | null;
  readonly limits: Limits;
  readonly log: Log;
  /** What a person is shown in place of a problem document where no route answers. Absent: a problem document. */
  readonly problemPage?: (request: FastifyRequest, reply: FastifyReply, problem: Problem) => Promise<FastifyReply>;
}

/** A part of a path, as it is sent: the id of a request may have 200 characters, of which each may be percent-encoded. Longer ones are answered with 414. */
const LONGEST_PARAM = 600;

/** How long a request under way may take to end when the server stops, in ms. */
const FAREWELL_MS = 5_000;

export function openListener({ tls, limits, log, problemPage }: ListenerOptions): FastifyInstance {
  function refuse(error: unknown, _request: FastifyRequest, reply: FastifyReply): void {
    sendProblem(reply, loggedProblem(error, log));
  }

  async function unrouted(request: FastifyRequest, reply: FastifyReply, problem: Problem): Promise<FastifyReply> {
    const isShown = problemPage !== undefined && isForPerson(request);
    return isShown ? problemPage(request, reply, problem) : sendProblem(reply, problem);
  }

  const app = Fastify({
    logger: false,
    bodyLimit: limits.body,
    // What the router itself refuses, such as a URL that cannot be decoded, never gets to the error handler.
    frameworkErrors: (error, request, reply) => void unrouted(request, reply, loggedProblem(error, log)),
    routerOptions: { maxParamLength: LONGEST_PARAM },
    clientErrorHandler: endUnreadable,
    serverFactory(handler) {
      const timed = {
        maxHeaderSize: limits.headers,
        headersTimeout: limits.headersMs,
        requestTimeout: limits.requestMs,
        connectionsCheckingInterval: Math.min(1_000, limits.headersMs),
      };
      const server =
        tls === null
          ? createPlain(timed, handler)
          : createSecure({ ...timed, ...tlsOptions(tls), handshakeTimeout: limits.headersMs }, handler);
      server.maxConnections = limits.connections;
      return server as Server; // Fastify's type names the plain one; it uses what both have
    },
  });
  // A route says itself what it takes.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  app.setErrorHandler(refuse);
  app.setNotFoundHandler((request, reply) =>
    unrouted(request, reply, { status: 404, detail: 'There is nothing at this address, or not with this method.' }),
  );
  return app;
}

/** A browser asks for HTML. Programs get a problem document. */
function isForPerson({ url, headers }: FastifyRequest): boolean {
  return !url.startsWith('/v1/') && (headers.accept ?? '').includes('text/html');
}

/** Connections with any certificate are accepted, because tokens need none. {@link ./certificate.ts} checks the certificate when it is to count. */
function tlsOptions({ cert, key, clientCa }: HttpTlsConfig): TlsOptions {
  const asks = clientCa === null ? {} : { ca: clientCa.reveal(), requestCert: true, rejectUnauthorized: false };
  return { cert: cert.reveal(), key: key.reveal(), minVersion: 'TLSv1.2', ...asks };
}

/** New connections get the new certificate. Existing ones stay, unless `client_ca` has changed: their callers were checked with the authorities from before, so they are closed. */
export function renewTls({ server }: FastifyInstance, before: HttpTlsConfig, tls: HttpTlsConfig): void {
  if (!(server instanceof SecureServer)) return;
  server.setSecureContext(tlsOptions(tls));
  const isSame = before.clientCa === null || tls.clientCa?.equals(before.clientCa) === true;
  if (!isSame) server.closeAllConnections();
}

export async function closeListener(app: FastifyInstance): Promise<void> {
  const cancel = alarm(FAREWELL_MS, () => app.server.closeAllConnections());
  await app.close().finally(cancel);
}

/** What is wrong with an address, and what to do. */
const UNUSABLE: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another process listens there, which may be another rekeyd. Stop that one, set a free address',
  EADDRNOTAVAIL: 'this machine has no such address. Set one of its own, such as 127.0.0.1 or 0.0.0.0',
  EACCES: 'rekeyd may not listen on a port below 1024. Set a higher one',
  ENOTFOUND: 'the host name is not known here. Set an address of this machine',
};

/** @param setting its name in the config @returns the URL @throws RekeydError `config` when the address is taken or not one of this machine */
export async function listenOn(
  app: FastifyInstance,
  { host, port }: { readonly host: string; readonly port: number },
  setting: string,
): Promise<string> {
  const url = await app.listen({ host, port }).catch((error: unknown) => {
    const why = UNUSABLE[error instanceof Error && 'code' in error ? String(error.code) : ''] ?? 'it cannot be used';
    throw new RekeydError(
      'config',
      `${setting} ${host}:${port}: ${why}, or start with --no-http. (${messageOf(error)})`,
    );
  });
  return app.server instanceof SecureServer ? url.replace(/^http:/, 'https:') : url;
}
