/** The API client of one Wacht deployment. */
import { type ClientRef, splitReference } from '../core/client.ts';
import type { ObservedClient, PatchBody } from '../core/document.ts';
import { classifyReply, type FailedReply, type Reply } from '../core/reply.ts';
import { messageOf, RekeydError } from '../errors.ts';
import { type Exchange, type Exchanged, exchange } from '../net/exchange.ts';
import { openPool } from '../net/pool.ts';
import { type Clock, monotonic } from '../time.ts';
import { ApiError } from './api-error.ts';
import {
  type ClientList,
  clientListReader,
  type Keep,
  type ObservedApp,
  observedApps,
  observedClient,
} from './observed.ts';

const DOCUMENT_BYTES = 1024 * 1024;
/** A client with one key is about 1 KiB: room for a few 100,000 in one app. */
const LIST_BYTES = 512 * DOCUMENT_BYTES;

/** What a PATCH came to; when done, with the client as the server then showed it. */
export type PatchReply =
  | { readonly class: 'done'; readonly status: number; readonly client: ObservedClient }
  | FailedReply;

export interface RequestInfo {
  readonly method: string;
  readonly path: string;
  /** null when no answer came. */
  readonly status: number | null;
  readonly durationMs: number;
}

export interface WachtClientOptions {
  readonly deployment: string;
  readonly apiUrl: string;
  /** `flat` leaves `/deployments/{id}` out: the deployment then follows from the API key. */
  readonly urlStyle: 'deployment' | 'flat';
  /** Revealed for one request at a time, and never kept. */
  readonly apiKey: { reveal(): string };
  /** Total time of one call in ms, body included. */
  readonly timeoutMs: number;
  /** Most connections at once. */
  readonly connections: number;
  readonly clock: Clock;
  /** Called once after every request, for metrics and logs. Must not throw. */
  readonly onRequest?: (info: RequestInfo) => void;
}

/** Everything but `patchClient` throws an {@link ApiError} (code `api_failed`) when the call is not done. */
export interface WachtClient {
  readonly deployment: string;
  listApps(signal?: AbortSignal): Promise<readonly ObservedApp[]>;
  /** The whole list, or what `keep` picks of it; Wacht has neither pages nor a call for one client. */
  listClients(appSlug: string, keep?: Keep, signal?: AbortSignal): Promise<ClientList>;
  /** Never throws for what the network or the server does. */
  patchClient(ref: ClientRef, body: PatchBody, signal?: AbortSignal): Promise<PatchReply>;
  createClient(appSlug: string, body: Readonly<Record<string, unknown>>, signal?: AbortSignal): Promise<ObservedClient>;
  deactivateClient(ref: ClientRef, signal?: AbortSignal): Promise<void>;
  /** The server's clock minus ours in ms, by the latest answer that had a `Date`. */
  clockSkewMs(): number | null;
  /** Waits for calls under way, then closes the connections. */
  close(): Promise<void>;
}

interface Call {
  readonly method: Exchange['method'];
  /** Path segments below `/oauth/apps`, not yet encoded. */
  readonly segments: readonly string[];
  readonly body?: unknown;
  readonly maxBytes?: number;
  readonly filter?: Exchange['filter'];
  readonly signal: AbortSignal | undefined;
}

/** @throws RekeydError `config` when the API key cannot stand in a header */
export function createWachtClient(options: WachtClientOptions): WachtClient {
  const { deployment, clock } = options;
  const url = new URL(options.apiUrl);
  const pool = openPool(url.origin, options);
  const prefix = options.urlStyle === 'flat' ? [] : ['deployments', deployment];
  const base = `${url.pathname.replace(/\/+$/, '')}/${[...prefix, 'oauth', 'apps'].map(encodeURIComponent).join('/')}`;
  let skewMs: number | null = null;

  checkedKey(options); // early: at start-up, and not with the first rotation

  async function call({ method, segments, body, maxBytes = DOCUMENT_BYTES, filter, signal }: Call): Promise<Reply> {
    const apiKey = checkedKey(options);
    const path = [base, ...segments.map(encodeURIComponent)].join('/');
    const startedAt = monotonic();
    const outcome = await exchange(pool, {
      method,
      path,
      headers: {
        authorization: `Bearer ${apiKey}`,
        accept: 'application/json',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      body: body === undefined ? null : JSON.stringify(body),
      timeoutMs: options.timeoutMs,
      maxBytes,
      filter,
      signal,
      now: () => clock.now(),
    });
    skewMs = outcome.skewMs ?? skewMs;
    options.onRequest?.({ method, path, status: outcome.status, durationMs: monotonic() - startedAt });
    return replyOf(outcome, apiKey, clock.now());
  }

  async function must<T>(what: string, parse: (body: unknown) => T, details: Call): Promise<T> {
    const reply = await call(details);
    if (reply.class !== 'done') throw new ApiError(what, reply);
    const parsed = attempt(parse, reply);
    if ('class' in parsed) throw new ApiError(what, parsed);
    return parsed.value;
  }

  function segmentsOf(ref: ClientRef): readonly string[] {
    const { deployment: theirs, app, id } = splitReference(ref);
    if (theirs !== deployment) throw new Error(`${ref} was given to the API client of deployment ${deployment}`);
    return [app, 'clients', id];
  }

  return {
    deployment,
    listApps: (signal) =>
      must('Listing the OAuth apps', observedApps, { method: 'GET', segments: [], maxBytes: LIST_BYTES, signal }),
    listClients: (app, keep = async (clients) => clients, signal) => {
      const { take, finish } = clientListReader(keep);
      return must(`Listing the clients of ${deployment}/${app}`, finish, {
        method: 'GET',
        segments: [app, 'clients'],
        maxBytes: LIST_BYTES,
        filter: take,
        signal,
      });
    },
    patchClient: async (ref, body, signal) => {
      const reply = await call({ method: 'PATCH', segments: segmentsOf(ref), body, signal });
      if (reply.class !== 'done') return reply;
      const parsed = attempt(observedClient, reply);
      return 'class' in parsed ? parsed : { class: 'done', status: reply.status, client: parsed.value };
    },
    createClient: (app, body, signal) =>
      must(`Creating a client in ${deployment}/${app}`, observedClient, {
        method: 'POST',
        segments: [app, 'clients'],
        body,
        signal,
      }),
    deactivateClient: async (ref, signal) =>
      must(`Deactivating ${ref}`, () => undefined, { method: 'DELETE', segments: segmentsOf(ref), signal }),
    clockSkewMs: () => skewMs,
    close: () => pool.close(),
  };
}

function replyOf(outcome: Exchanged, apiKey: string, now: number): Reply {
  if (outcome.kind === 'lost') return { class: 'unknown', status: outcome.status, message: outcome.message };
  const { status, retryAfter } = outcome;
  const classify = (body: string) => classifyReply({ status, headers: { retryAfter }, body, now });
  const reply = classify(outcome.body);
  // A server, or a proxy before it, may repeat the request's headers in what it answers. Cut out of the whole body: half a key in a shortened
  // message would not be found.
  return reply.class === 'done' ? reply : classify(outcome.body.replaceAll(apiKey, '[api key]'));
}

/** A success that cannot be read is no success: the server did something, and what it holds now is not known. */
function attempt<T>(
  parse: (body: unknown) => T,
  { status, body }: Reply & { class: 'done' },
): { readonly value: T } | FailedReply {
  try {
    return { value: parse(body) };
  } catch (error) {
    return { class: 'unknown', status, message: messageOf(error) };
  }
}

/** Visible ASCII, without the two characters that JSON escapes: then an echo of the key reads the same in any answer, and is found in it. */
const API_KEY = /^[\x21\x23-\x5b\x5d-\x7e]+$/;

function checkedKey({ apiKey, deployment }: WachtClientOptions): string {
  const key = apiKey.reveal();
  if (API_KEY.test(key)) return key;
  throw new RekeydError(
    'config',
    `The API key of deployment ${deployment} is empty or has a space, a line break or another character that cannot stand in a header. Store the key alone, as Wacht shows it.`,
  );
}
