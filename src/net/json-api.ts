/** A server that takes and answers JSON. Its answers are the words of a stranger: bounded, and looked at before anybody believes them. */
import { kindOfText, parseJson } from '../core/reply.ts';
import { exchange } from './exchange.ts';
import { openPool, type Route } from './pool.ts';

export interface JsonCall {
  readonly method: 'GET' | 'POST' | 'PATCH';
  /** Absolute, with the encoded segments; the path of the server's URL comes before it. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly contentType?: string;
  /** Where one call may take less time than the others. */
  readonly timeoutMs?: number;
}

export interface JsonAnswer {
  readonly status: number;
  /** Undefined: no JSON. Of a 2xx but 204 it is an object. */
  readonly body: unknown;
}

export interface JsonApi {
  /** @throws Error when there is no whole answer, or a success that is no JSON object: what the server did is not known then */
  call(call: JsonCall): Promise<JsonAnswer>;
  /** Waits for calls under way. Twice is once. */
  close(): Promise<void>;
}

export interface JsonApiOptions {
  readonly url: string;
  readonly route: Route;
  readonly timeoutMs: number;
  /** ms since the Unix epoch */
  readonly now: () => number;
}

/** Calls at once. More of them wait for each other. */
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
      const { status } = answer;
      const read = parseJson(answer.body);
      const isSuccess = status >= 200 && status < 300 && status !== 204;
      // A proxy, or another server, answers in place of the one that is asked. Nothing was done then.
      if (isSuccess && !isObject(read)) throw new Error(`the answer (${status}) is ${whatElse(answer.body, read)}`);
      return { status, body: read };
    },
    close() {
      closing ??= pool.close();
      return closing;
    },
  };
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function whatElse(text: string, read: unknown): string {
  return read === undefined ? kindOfText(text) : 'JSON, and no object';
}

/** Of an answer that leads elsewhere. */
export function isRedirect(status: number): boolean {
  return status >= 300 && status < 400;
}
