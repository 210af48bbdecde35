/** What befalls the effects of a simulated worker: the answers that it gets, in good luck and in bad. */
import type { KeyDocument } from '../../src/core/document.ts';
import type { ManagedKey } from '../../src/core/keys.ts';
import type { Verdict } from '../../src/core/proof.ts';
import type { PatchOutcome } from '../../src/core/publishing.ts';
import type { World } from './world.ts';

/** A PATCH cannot reach the server later than this, in ms after it was announced. */
export const PATCH_TIMEOUT = 10_000;

/** What befalls the next effect of each kind. */
export interface Luck {
  readonly make: 'ok' | 'fails';
  readonly look: 'ok' | 'fails';
  /** How many of the two sinks are written before one fails. */
  readonly sinks: 'ok' | 0 | 1;
  readonly serving: 'ok' | 'fails' | 'fails after writing';
  readonly patch:
    | 'ok'
    | 'lost'
    | 'applied, answer lost'
    | 'late'
    | 'timed out'
    | 'refused'
    | 'credential'
    | 'forbidden'
    | 'throttled'
    | 'tampered'
    | 'not found';
  readonly proof: 'ok' | 'unknown' | 'throttled' | 'refused' | 'claims' | 'cannot be opened';
  /** In [0, 1): jitter, and how late a late PATCH is. */
  readonly random: number;
}

export const GOOD_LUCK: Luck = {
  make: 'ok',
  look: 'ok',
  sinks: 'ok',
  serving: 'ok',
  patch: 'ok',
  proof: 'ok',
  random: 0.5,
};

/** What comes of an assertion that this key signs, with that `kid` in its header. */
export function judge(world: World, luck: Luck, key: ManagedKey, name: string): Verdict {
  if (!world.sealed.has(key.thumbprint)) throw new Error(`${key.kid} is to be proven, and its private half is gone`);
  switch (luck.proof) {
    case 'unknown':
      return { verdict: 'unknown', status: 503, message: 'try later' };
    case 'throttled':
      return { verdict: 'throttled', retryAfterMs: 30_000, message: 'slow down' };
    case 'refused':
      return { verdict: 'refused', status: 400, message: 'InvalidSignature', claims: false };
    case 'claims':
      return { verdict: 'refused', status: 401, message: 'invalid_client', claims: true };
    default: {
      // A server that follows RFC 6749 has one word for every reason; the other one names the signature.
      const claims = world.mode !== 'first';
      if (world.accepts(key, name)) return { verdict: 'accepted' };
      return { verdict: 'refused', status: 401, message: 'no', claims };
    }
  }
}

/** What comes of a PATCH that may reach the server until `deadline`. */
export function answer(world: World, luck: Luck, document: KeyDocument, deadline: number): PatchOutcome {
  // A worker that slept through its own deadline does not send any more.
  if (world.now >= deadline) return { class: 'unknown', status: null, message: 'aborted' };
  const unknown: PatchOutcome = { class: 'unknown', status: 502, message: 'upstream' };
  switch (luck.patch) {
    case 'ok':
      world.apply(document, 'PATCH');
      return { class: 'done', status: 200, client: world.show() };
    case 'tampered':
      world.apply(document, 'PATCH');
      return { class: 'done', status: 200, client: { ...world.show(), keys: [], jwksUri: null } };
    case 'applied, answer lost':
      world.apply(document, 'PATCH');
      return unknown;
    case 'lost':
      return unknown;
    case 'late':
      world.late.push({ document, arrivesAt: world.now + Math.floor(luck.random * (deadline - world.now)) });
      return unknown;
    case 'timed out':
      world.late.push({ document, arrivesAt: world.now + Math.floor(luck.random * (deadline - world.now)) });
      world.pass(deadline - world.now);
      return { class: 'unknown', status: null, message: 'timed out' };
    case 'refused':
      return { class: 'refused', status: 400, message: 'no' };
    case 'not found':
      return { class: 'refused', status: 404, message: 'no such client' };
    case 'credential':
      return { class: 'credential', status: 401, message: 'who are you?' };
    case 'forbidden':
      return { class: 'forbidden', status: 403, message: 'not this client' };
    case 'throttled':
      return { class: 'throttled', status: 429, message: 'slow down', retryAfterMs: 60_000 };
    default:
      return luck.patch satisfies never;
  }
}
