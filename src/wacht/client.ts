/** The API client of one Wacht deployment. */
import { type ClientRef, splitReference } from '../core/client.ts';
import type { ObservedClient, PatchBody } from '../core/document.ts';
import { classifyReply, type FailedReply, type Reply } from '../core/reply.ts';
import { NO_TRACE, type Trace } from '../core/trace.ts';
import { messageOf, RekeydError } from '../errors.ts';
import { type Exchange, type Exchanged, exchange } from '../net/exchange.ts';
import { openPool, type Route } from '../net/pool.ts';
import { type Clock, monotonic } from '../time.ts';
import { ApiError } from './api-error.ts';
import { clientListReader, type Keep } from './list.ts';
import { type ClientList, type ObservedApp, observedApps, observedClient } from './observed.ts';

const DOCUMENT_BYTES = 1024 * 1024;
const DOCUMENT_LIMITS = { maxBytes: DOCUMENT_BYTES };
/** An app is half a KiB. */
const APPS_LIMITS = { maxBytes: 32 * DOCUMENT_BYTES };
/** A client with one key is about 1 KiB: room for a few 100,000 in one app. */
const LIST_BYTES = 512 * DOCUMENT_BYTES;

/** A long list over a slow link may take its time, as long as something arrives. */
const LIST_LIMITS = { maxBytes: LIST_BYTES, timeoutMs: 10 * 60_000 };

/** What a PATCH came to; when done, with the client as the server then showed it. */
export type PatchReply =
  | { readonly class: 'done'; readonly status: number; readonly client: ObservedClient }
  | FailedReply;

/** Where the API's paths begin: at `/deployments/{id}`, as documented for access tokens, or without it, where the deployment follows from the API key. */
export type UrlStyle = 'deployment' | 'flat';

export interface RequestInfo {
  readonly method: string;
  readonly path: string;
  /** null when no answer came. */
  readonly status: number | null;
  readonly durationMs: number;
}

/** Without a route: straight, and with the authorities that Node trusts. */
export interface WachtClientOptions extends Partial<Route> {
  readonly deployment: string;
  readonly apiUrl: string;
  /** `auto`: found out with the first calls. */
  readonly urlStyle: UrlStyle | 'auto';
  /** Revealed for one request at a time, and never kept. */
  readonly apiKey: { reveal(): string };
  /** Total time of one call in ms, body included. */
  readonly timeoutMs: number;
  /** Most connections at once. */
  readonly connections: number;
  readonly clock: Clock;
  /** Called once after every request, for metrics and logs. Must not throw. */
  readonly onRequest?: (info: RequestInfo) => void;
  /** Absent: nothing is traced. */
  readonly trace?: Trace;
}

/** Everything but `patchClient` throws an {@link ApiError} (code `api_failed`) when the call is not done. */
export interface WachtClient {
  readonly deployment: string;
  listApps(signal?: AbortSignal): Promise<readonly ObservedApp[]>;
  /** The whole list, or what `keep` picks of it; Wacht has neither pages nor a call for one client. */
  listClients(appSlug: string, keep?: Keep, signal?: AbortSignal): Promise<ClientList>;
  /** Never throws for what the network or the server does. */
  patchClient(ref: ClientRef, body: PatchBody, signal?: AbortSignal): Promise<PatchReply>;
  /** Reads one client by a PATCH without members, which changes nothing but `updated_at`. Never throws for what the network or the server does. */
  lookAtClient(ref: ClientRef, signal?: AbortSignal): Promise<PatchReply>;
  createClient(appSlug: string, body: Readonly<Record<string, unknown>>, signal?: AbortSignal): Promise<ObservedClient>;
  deactivateClient(ref: ClientRef, signal?: AbortSignal): Promise<void>;
  /** Null while it is not known. */
  urlStyle(): UrlStyle | null;
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
  readonly limits?: { readonly maxBytes: number; readonly timeoutMs?: number };
  /** A list, which is read while it arrives. */
  readonly take?: NonNullable<Exchange['take']>;
  readonly signal: AbortSignal | undefined;
}

/** @throws RekeydError `config` when the API key cannot stand in a header */
export function createWachtClient(options: WachtClientOptions): WachtClient {
  const { deployment, clock, trace = NO_TRACE } = options;
  const url = new URL(options.apiUrl);
  const pool = openPool(url.origin, options);
  const root = url.pathname.replace(/\/+$/, '');
  let style = options.urlStyle === 'auto' ? null : options.urlStyle;
  let skewMs: number | null = null;

  checkedKey(options); // early: at start-up, and not with the first rotation

  /** A 404 at both paths is a 404. The path of the first success is used from then on. */
  async function call(details: Call): Promise<Reply> {
    if (style !== null) return send(style, details);
    const documented = await send('deployment', details);
    if (documented.class === 'done') style = 'deployment';
    if (documented.status !== 404) return documented;
    const flat = await send('flat', details);
    if (flat.class === 'done') style = 'flat';
    return flat;
  }

  async function send(
    at: UrlStyle,
    { method, segments, body, take, limits = DOCUMENT_LIMITS, signal }: Call,
  ): Promise<Reply> {
    const apiKey = checkedKey(options);
    const prefix = at === 'flat' ? [] : ['deployments', deployment];
    const path = [root, ...[...prefix, 'oauth', 'apps', ...segments].map(encodeURIComponent)].join('/');
    const startedAt = monotonic();
    const asList = take === undefined ? {} : { take, stallMs: options.timeoutMs };
    const request = {
      method,
      path,
      headers: {
        authorization: `Bearer ${apiKey}`,
        accept: 'application/json',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      body: body === undefined ? null : JSON.stringify(body),
      timeoutMs: options.timeoutMs,
      ...limits,
      ...asList,
      signal,
      now: () => clock.now(),
    } satisfies Exchange;
    const facts = { 'http.request.method': method, 'server.address': url.hostname, 'url.path': path };
    const outcome = await trace.span(method, 'client', facts, async (note) => {
      const answer = await exchange(pool, request);
      note({ 'http.response.status_code': answer.status });
      return answer;
    });
    skewMs = outcome.skewMs ?? skewMs;
    options.onRequest?.({ method, path, status: outcome.status, durationMs: monotonic() - startedAt });
    if (take !== undefined && outcome.kind === 'answered' && outcome.status === 200) {
      return { class: 'done', status: outcome.status, body: null };
    }
    return replyOf(outcome, apiKey, clock.now());
  }

  async function must<T>(what: string, parse: (body: unknown) => T, details: Call): Promise<T> {
    const reply = await call(details);
    if (reply.class !== 'done') throw new ApiError(what, reply);
    const parsed = attempt(parse, reply);
    if ('class' in parsed) throw new ApiError(what, parsed);
    return parsed.value;
  }

  async function patch(ref: ClientRef, body: PatchBody | null, signal?: AbortSignal): Promise<PatchReply> {
    const reply = await call({ method: 'PATCH', segments: segmentsOf(ref), body: body ?? {}, signal });
    if (reply.class !== 'done') return reply;
    const parsed = attempt(observedClient, reply);
    return 'class' in parsed ? parsed : { class: 'done', status: reply.status, client: parsed.value };
  }

  function segmentsOf(ref: ClientRef): readonly string[] {
    const { deployment: theirs, app, id } = splitReference(ref);
    if (theirs !== deployment) throw new Error(`${ref} was given to the API client of deployment ${deployment}`);
    return [app, 'clients', id];
  }

  return {
    deployment,
    listApps: (signal) =>
      must('Listing the OAuth apps', observedApps, { method: 'GET', segments: [], limits: APPS_LIMITS, signal }),
    listClients: (app, keep = async (clients) => clients, signal) => {
      const { take, finish } = clientListReader(keep);
      return must(`Listing the clients of ${deployment}/${app}`, finish, {
        method: 'GET',
        segments: [app, 'clients'],
        limits: LIST_LIMITS,
        take,
        signal,
      });
    },
    patchClient: patch,
    lookAtClient: (ref, signal) => patch(ref, null, signal),
    createClient: (app, body, signal) =>
      must(`Creating a client in ${deployment}/${app}`, observedClient, {
        method: 'POST',
        segments: [app, 'clients'],
        body,
        signal,
      }),
    deactivateClient: async (ref, signal) =>
      must(`Deactivating ${ref}`, () => undefined, { method: 'DELETE', segments: segmentsOf(ref), signal }),
    urlStyle: () => style,
    clockSkewMs: () => skewMs,
    close: () => pool.close(),
  };
}

function replyOf(outcome: Exchanged, apiKey: string, now: number): Reply {
  if (outcome.kind === 'lost') return { class: 'unknown', status: outcome.status, message: outcome.message };
  const { status, headers } = outcome;
  const classify = (body: string) => classifyReply({ status, headers, body, now });
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
