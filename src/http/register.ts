/** Puts routes on a Fastify instance: who may call, what is checked, how it is answered. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { problemsOf } from '../../jobs/schemas.ts';
import { authenticate, type Credentials } from './auth.ts';
import { within } from './patience.ts';
import type { Principal } from './principal.ts';
import { ProblemError } from './problem.ts';
import { slowDown } from './rate.ts';
import { type Refused, refusalIn } from './refusals.ts';
import type { Answer, ApiContext, Route } from './route.ts';

export interface Registering {
  readonly context: ApiContext;
  readonly credentials: () => Credentials;
  /** See {@link ./rate.ts}. */
  readonly limit: (caller: string) => number;
  readonly refused: (refused: Refused) => void;
}

const NOTHING = Buffer.alloc(0);

export function register(app: FastifyInstance, routes: readonly Route[], registering: Registering): void {
  const parseJson = jsonParser(app);
  const principals = new WeakMap<FastifyRequest, Principal>();
  for (const route of routes) {
    app.route({
      method: route.method,
      url: route.path.replaceAll(/\{(\w+)\}/g, ':$1'),
      exposeHeadRoute: route.method === 'GET' && route.answers[200]?.type !== 'text/event-stream',
      // Before the body is read: without a token nobody can make us read a megabyte.
      onRequest: async (request) => {
        const principal = await admit(request, route, registering);
        if (principal !== null) principals.set(request, principal);
      },
      handler: async (request, reply) => {
        const principal = principals.get(request) ?? null;
        const raw = Buffer.isBuffer(request.body) ? request.body : NOTHING;
        try {
          const call = {
            ...{ context: registering.context, principal, raw },
            params: checked(route.params, request.params, 'path'),
            query: checked(route.query, request.query, 'query'),
            body: await bodyOf(route, request, raw, parseJson),
            headers: textHeaders(request),
            address: request.ip,
            signal: goneSignal(reply),
          };
          const answer = await within(PATIENCE_MS[route.method], route.handle(call as never)); // it has a principal where the route has a scope, or is signed: see onRequest
          return send(reply, answer);
        } catch (error) {
          noteRefusal(error, principal?.claimedBy ?? null, request, route, registering);
          throw error;
        } finally {
          // It may be a private key that leaked, also where the request is refused.
          raw.fill(0);
        }
      },
    });
  }
}

/** How long an answer may take, in ms. */
const PATIENCE_MS = { GET: 15_000, POST: 120_000 } as const;

/** A request with a token is one of that token, also where it has a signature. */
function isSigned(route: Route, request: FastifyRequest): boolean {
  return request.headers.authorization === undefined && route.isSigned?.(textHeaders(request)) === true;
}

/** Notes `error` where the caller was refused: before the route ran, or by the route, which may not accept a signature. */
function noteRefusal(
  error: unknown,
  claimedBy: string | null,
  { ip: address }: FastifyRequest,
  { method, path }: Route,
  { refused }: Registering,
): void {
  const told = refusalIn(error);
  if (told !== null) refused({ ...told, claimedBy, address, method, path });
}

/** Null: the route is public, or the request is signed. */
async function admit(request: FastifyRequest, route: Route, registering: Registering): Promise<Principal | null> {
  let claimedBy: string | null = null;
  try {
    if (route.scope === null || isSigned(route, request)) {
      slowDown(registering.limit(`address ${request.ip}`), 'This address');
      return null;
    }
    const principal = await authenticate(request, route.scope, registering.credentials, (known) => {
      claimedBy = known.claimedBy;
    });
    slowDown(registering.limit(principal.key), principal.claimedBy);
    return principal;
  } catch (error) {
    noteRefusal(error, claimedBy, request, route, registering);
    throw error;
  }
}

function checked<T>(schema: z.ZodType<T> | undefined, given: unknown, where: string): T | undefined {
  if (schema === undefined) return undefined;
  const parsed = schema.safeParse(given);
  if (parsed.success) return parsed.data;
  const errors = problemsOf(parsed.error, given).map((detail) => ({ detail }));
  throw new ProblemError(400, `The ${where} of this request cannot be used. See errors, and GET /openapi.json.`, {
    errors,
  });
}

type JsonParser = (request: FastifyRequest, text: string) => Promise<unknown>;

/** Refuses `__proto__` and `constructor`, as Fastify does by default. */
function jsonParser(app: FastifyInstance): JsonParser {
  const parse = app.getDefaultJsonParser('error', 'error');
  return (request, text) =>
    new Promise((resolve, reject) => {
      const done = (error: Error | null, body?: unknown) => (error === null ? resolve(body) : reject(error));
      void parse(request, text, done);
    });
}

async function bodyOf(route: Route, request: FastifyRequest, raw: Buffer, parse: JsonParser): Promise<unknown> {
  const { body: schema, accepts = schema === undefined ? [] : ['application/json'] } = route;
  if (accepts.length === 0) return undefined;
  const [type = ''] = (request.headers['content-type'] ?? '').toLowerCase().split(';');
  if (!accepts.includes(type.trim())) {
    throw new ProblemError(415, `This takes a body of the content type ${accepts.join(' or ')}.`);
  }
  if (schema === undefined) return undefined;
  return checked(schema, await parse(request, raw.toString()), 'body');
}

function textHeaders({ headers }: FastifyRequest): Readonly<Record<string, string | undefined>> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : value]),
  );
}

/** Aborts when the caller has gone. */
export function goneSignal({ raw }: FastifyReply): AbortSignal {
  const gone = new AbortController();
  raw.once('close', () => raw.writableFinished || gone.abort());
  // The caller left while its token was looked up: `close` does not come again.
  if (raw.destroyed) gone.abort();
  return gone.signal;
}

function send(reply: FastifyReply, { status, headers = {}, body, stream }: Answer): FastifyReply {
  if (stream === undefined) return reply.code(status).headers(headers).send(body);
  // Before the head: the stream may be refused, and a problem document has a head of its own.
  stream(reply.raw);
  reply.hijack();
  reply.raw.writeHead(status, headers);
  reply.raw.flushHeaders();
  return reply;
}
