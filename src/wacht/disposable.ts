/** The client that a probe learns from: made for that, marked as such, and deactivated whatever happens. */
import { randomUUID } from 'node:crypto';
import { type ClientRef, makeReference } from '../core/client.ts';
import type { PatchBody } from '../core/document.ts';
import { type Algorithm, type KeyMaterial, publishedAs } from '../core/keys.ts';
import { messageOf, RekeydError } from '../errors.ts';
import type { GenerateKey } from '../keys/generator.ts';
import type { PrivateKey } from '../keys/private-key.ts';
import { monotonic, sleep } from '../time.ts';
import { ApiError } from './api-error.ts';
import type { WachtClient } from './client.ts';
import { probeUri } from './mark.ts';
import type { Prover } from './proof.ts';

export interface ProbeTools {
  readonly wacht: Pick<WachtClient, 'deployment' | 'createClient' | 'patchClient' | 'deactivateClient'>;
  readonly app: string;
  readonly prover: Pick<Prover, 'prove'>;
  readonly issuer: string;
  readonly generateKey: GenerateKey;
  /** See {@link probeUri}. */
  readonly maker: string;
  /** Waits for a call of the API budget. @throws ApiError when there is none to wait for */
  readonly turn: () => Promise<void>;
  /** Takes a call of the budget without waiting for it. */
  readonly spend: () => Promise<void>;
  /** Writes a public set, and says where it is found; null where the config names no place for it. */
  readonly serve: ((ref: ClientRef, keys: PatchKeys) => Promise<string>) | null;
  /** Local time in ms since the epoch. */
  readonly now: () => number;
  /** For how long a change may take to have an effect, in ms. */
  readonly patienceMs: number;
  /** A server that asks to be left alone is for no longer than this, in ms. */
  readonly throttleMaxMs: number;
  readonly signal: AbortSignal;
  /** Told why a disposable client may have stayed behind. The list shows it with its mark. */
  readonly onLeft: (why: string) => void;
}

type PatchKeys = NonNullable<PatchBody['jwks']>['keys'];

export interface ProbeKey extends KeyMaterial {
  readonly privateKey: PrivateKey;
}

export interface SignIn {
  readonly result: 'accepted' | 'refused' | 'unknown';
  /** `accepted`, or what the server said. */
  readonly words: string;
}

export interface Disposable {
  readonly ref: ClientRef;
  /** The OAuth `client_id`. */
  readonly clientId: string;
  /**
   * Sends a PATCH: how many keys the server shows after it, or why it does not take it.
   * @throws ApiError for anything else. A PATCH with an unknown outcome may arrive late, and nothing that comes after it would prove anything
   */
  put(body: PatchBody): Promise<number | { readonly refused: string }>;
  /** @param name the `kid` in the assertion */
  signIn(key: ProbeKey, name?: string): Promise<SignIn>;
  /** Tries a few times, also after the probe was told to stop. Null when the client is deactivated, else why it is not. */
  deactivate(): Promise<string | null>;
}

/** @throws ApiError */
export async function makeDisposable(tools: ProbeTools, first: ProbeKey): Promise<Disposable> {
  const { wacht, app, maker, signal } = tools;
  await tools.turn();
  signal.throwIfAborted();
  const body = {
    client_auth_method: 'private_key_jwt',
    grant_types: ['authorization_code'],
    redirect_uris: [probeUri(maker, randomUUID())],
    token_endpoint_auth_signing_alg: first.alg,
    jwks: { keys: [entryOf(first)] },
  };
  const { id, clientId } = await wacht.createClient(app, body, signal).catch((error: unknown) => {
    // The client may exist even though no answer came.
    if (!(error instanceof ApiError) || error.reply.class === 'unknown') tools.onLeft(messageOf(error));
    throw error;
  });
  const ref = makeReference(wacht.deployment, app, id);
  return {
    ref,
    clientId,
    put: (patch) => put(tools, ref, patch),
    signIn: (key, name = key.kid) => signIn(tools, clientId, key, name),
    deactivate: () => deactivate(tools, ref),
  };
}

/** As rekeyd publishes a key, unless it is to be a plain JWK. */
export function entryOf(key: ProbeKey, embedPem = true) {
  return publishedAs(key, embedPem).jwk;
}

export function setOf(alg: Algorithm, ...keys: PatchKeys): PatchBody {
  return { jwks: { keys }, token_endpoint_auth_signing_alg: alg };
}

async function put({ wacht, turn, signal }: ProbeTools, ref: ClientRef, body: PatchBody) {
  await turn();
  signal.throwIfAborted();
  const reply = await wacht.patchClient(ref, body, signal);
  if (reply.class === 'done') return reply.client.keys.length;
  // Then it is the client, or its app, that is gone.
  if (reply.class !== 'refused' || reply.status === 404)
    throw new ApiError(`Changing the disposable client ${ref}`, reply);
  return { refused: `${reply.status}: ${reply.message}` };
}

/** A sign-in that nobody answers, or that the issuer wants later, is tried this often. */
const TRIES = 4;
const RETRY_MS = 250;

async function signIn(tools: ProbeTools, clientId: string, key: ProbeKey, kid: string): Promise<SignIn> {
  const { prover, issuer, signal, now, throttleMaxMs } = tools;
  const privateKey = key.privateKey.keyObject();
  for (let tries = 1; ; tries += 1) {
    signal.throwIfAborted();
    const verdict = await prover.prove({ issuer, clientId, alg: key.alg, kid, privateKey, nowMs: now() }, signal);
    if (verdict.verdict === 'accepted') return { result: 'accepted', words: 'accepted' };
    if (verdict.verdict === 'refused')
      return { result: 'refused', words: `refused (${verdict.status}: ${verdict.message})` };
    if (tries === TRIES) return { result: 'unknown', words: `not answered (${verdict.message})` };
    const wished = verdict.verdict === 'throttled' ? Math.min(verdict.retryAfterMs, throttleMaxMs) : 0;
    await sleep(Math.max(wished, RETRY_MS * tries), signal);
  }
}

async function deactivate({ wacht, spend }: ProbeTools, ref: ClientRef): Promise<string | null> {
  for (let tries = 1; ; tries += 1) {
    try {
      await spend();
      await wacht.deactivateClient(ref);
      return null;
    } catch (error) {
      if (error instanceof ApiError && error.reply.status === 404) return null;
      if (tries === TRIES) return messageOf(error);
      await sleep(RETRY_MS * tries);
    }
  }
}

/** Between two looks at whether a change has had its effect, in ms. */
const FIRST_POLL_MS = 50;
const LONGEST_POLL_MS = 2_000;

/**
 * Signs in again and again: after how many ms, and at which try, the answer was the expected one; `ms` is null when it never was.
 * @throws RekeydError `probe_failed` when nothing is answered
 */
export async function timeUntil(
  expected: SignIn['result'],
  key: ProbeKey,
  client: Disposable,
  { patienceMs, signal, issuer }: ProbeTools,
): Promise<{ readonly ms: number | null; readonly tries: number; readonly words: string }> {
  const startedAt = monotonic();
  for (let [tries, wait] = [1, FIRST_POLL_MS]; ; [tries, wait] = [tries + 1, Math.min(LONGEST_POLL_MS, 2 * wait)]) {
    const { result, words } = await client.signIn(key);
    const ms = Math.round(monotonic() - startedAt);
    if (result === expected) return { ms, tries, words };
    if (result === 'unknown') {
      const why = `${issuer} says nothing about a sign-in of the disposable client: ${words}.`;
      throw new RekeydError('probe_failed', `${why} Check issuer and resolve of the app, and that its issuer is up.`);
    }
    if (ms >= patienceMs) return { ms: null, tries, words };
    await sleep(wait, signal);
  }
}
