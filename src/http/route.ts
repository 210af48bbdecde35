/**
 * What a route of the API is. From one description come what is checked of a request, who may make it, and what `openapi.json` says of it, so that the three
 * cannot disagree.
 */
import type { z } from 'zod';
import type { Queues } from '../../jobs/queues.ts';
import type { TokenScope } from '../core/token.ts';
import type { ScannerKeys } from '../leaks/scanner-keys.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { Resources } from '../rotation/resources.ts';
import type { Events } from './events.ts';
import type { Principal } from './principal.ts';

/** What the routes work with. `resources` and `queues` are those of the config in force: read them anew for each request. */
export interface ApiContext {
  readonly resources: Resources;
  readonly queues: Queues;
  readonly events: Events;
  readonly scanners: ScannerKeys;
  readonly metrics: Pick<Metrics, 'text'>;
}

export interface Call<P = unknown, Q = unknown, B = unknown, W extends Principal | null = Principal> {
  readonly context: ApiContext;
  /** Who asks; null where a route is public. */
  readonly principal: W;
  /** As the schemas of the route have parsed them. */
  readonly params: P;
  readonly query: Q;
  readonly body: B;
  /** The body as it came; empty without one. It is overwritten once the route has answered. */
  readonly raw: Buffer;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** Of the caller, or of the proxy before it. */
  readonly address: string;
  /** Aborts when the caller has gone. */
  readonly signal: AbortSignal;
}

/** A JSON document; a stream says so with {@link Answer.stream}. */
export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Absent: there is none. */
  readonly body?: unknown;
  /**
   * In place of a body: writes to the response until it has ended, and nothing before it returns.
   * @throws ProblemError where the caller may have no stream now: nothing is sent yet
   */
  readonly stream?: (response: Sink) => void;
}

/** The response of a stream. */
export interface Sink {
  write(text: string): boolean;
  end(): void;
  on(event: 'close', listener: () => void): unknown;
  readonly writableLength: number;
  /** The caller has gone. */
  readonly destroyed: boolean;
}

export interface AnswerDoc {
  readonly description: string;
  /** Absent: no body. */
  readonly schema?: z.ZodType;
  /** Absent: application/json. */
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly example?: unknown;
}

interface RouteOf<P, Q, B, W extends Principal | null> {
  readonly method: 'GET' | 'POST';
  /** Whether a request says that its body is signed. It needs no token: the route checks the signature. */
  readonly isSigned?: (headers: Call['headers']) => boolean;
  /** With names in braces, such as `/v1/rotations/{id}`. */
  readonly path: string;
  /** What the caller must be allowed to do; null: the route is public. */
  readonly scope: W extends null ? null : TokenScope;
  readonly id: string;
  readonly summary: string;
  readonly description?: string;
  /** Each an object; names that they do not have are refused. */
  readonly params?: z.ZodType<P> & z.ZodObject;
  readonly query?: z.ZodType<Q> & z.ZodObject;
  /** Of the JSON body. A route without one gets what came as {@link Call.raw}. */
  readonly body?: z.ZodType<B>;
  /** In place of `body`, where the route reads the bytes itself: what a JSON body may be. For the documents alone. */
  readonly rawBody?: z.ZodType;
  /** Media types that the body may have; JSON where there is a schema. */
  readonly accepts?: readonly string[];
  readonly requestHeaders?: Readonly<Record<string, { readonly description: string; readonly schema: z.ZodType }>>;
  readonly answers: Readonly<Record<number, AnswerDoc>>;
  /** Problems that it answers with beside those of every route. */
  readonly problems?: Readonly<Record<number, string>>;
  readonly examples?: {
    readonly params?: Readonly<Record<string, string>>;
    readonly query?: Readonly<Record<string, string | number>>;
    readonly body?: unknown;
  };
  handle(call: Call<P, Q, B, W>): Promise<Answer>;
}

export type Route =
  | RouteOf<unknown, unknown, unknown, Principal>
  | RouteOf<unknown, unknown, unknown, null>
  | RouteOf<unknown, unknown, unknown, Principal | null>;

/** A route that only callers with its scope may use. @throws in `handle`: ProblemError for what the caller is told */
export function route<P = unknown, Q = unknown, B = unknown>(described: RouteOf<P, Q, B, Principal>): Route {
  return described as Route; // it is only called with what its own schemas have parsed
}

/** The same, also for requests that are signed: those have no principal. */
export function signedRoute<P = unknown, Q = unknown, B = unknown>(
  described: RouteOf<P, Q, B, Principal | null> & Required<Pick<Route, 'isSigned'>>,
): Route {
  return described as Route; // as above
}

/** One that everybody may use. */
export function publicRoute<P = unknown, Q = unknown, B = unknown>(described: RouteOf<P, Q, B, null>): Route {
  return described as Route; // as above
}
