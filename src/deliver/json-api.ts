/** A server that takes and answers JSON, for sinks. */
import type { RouteConfig } from '../config/model.ts';
import { parseJson } from '../core/reply.ts';
import { exchange } from '../net/exchange.ts';
import { openPool } from '../net/pool.ts';

export interface JsonCall {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** Absolute, with the encoded segments; the path of the server's URL comes before it. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly contentType?: string;
  /** Shorter than that of the API. */
  readonly timeoutMs?: number;
}

export interface JsonAnswer {
  readonly status: number;
  /** Undefined: no JSON. */
  readonly body: unknown;
}

export interface JsonApi {
  /** @throws Error when there is no whole answer: what the server did is not known then */
  call(call: JsonCall): Promise<JsonAnswer>;
  /** Waits for calls under way. Twice is once. */
  close(): Promise<void>;
}

export interface JsonApiOptions {
  readonly url: string;
  readonly route: RouteConfig;
  readonly timeoutMs: number;
  /** ms since the Unix epoch */
  readonly now: () => number;
}

/** Deliveries at once. More of them wait for each other. */
const CONNECTIONS = 8;

/** What servers allow a secret to be, and some more. */
const MAX_BYTES = 4 * 1024 ** 2;

export function openJsonApi({ url, route, timeoutMs, now }: JsonApiOptions): JsonApi {
  const { origin, pathname } = new URL(url);
  const base = pathname.replace(/\/+$/, '');
  let closing: Promise<void> | null = null;
  const pool = openPool(origin, { ...route, connections: CONNECTIONS, timeoutMs });
  return {
    async call({ method, path, headers = {}, body, contentType = 'application/json', timeoutMs: least = timeoutMs }) {
      const answer = await exchange(pool, {
        ...{ method, path: `${base}${path}`, maxBytes: MAX_BYTES, signal: undefined, now },
        timeoutMs: Math.min(least, timeoutMs),
        headers: { accept: 'application/json', ...(body !== undefined && { 'content-type': contentType }), ...headers },
        body: body === undefined ? null : JSON.stringify(body),
      });
      if (answer.kind === 'lost') throw new Error(answer.message);
      return { status: answer.status, body: parseJson(answer.body) };
    },
    close() {
      closing ??= pool.close();
      return closing;
    },
  };
}
