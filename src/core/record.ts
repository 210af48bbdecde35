/**
 * The record of one client: all that a worker needs to know to go on after any crash. It is plain JSON, holds public material only, and
 * changes only through {@link ./transition.ts}. Times are milliseconds since the Unix epoch on the store's clock.
 */
import type { ClientRef } from './client.ts';
import type { KeyDocument, ObservedClient, PublicJwk } from './document.ts';

/** JWS algorithms (RFC 7518 section 3.1, RFC 8037) that rekeyd makes keys for. */
export type Algorithm =
  | 'RS256'
  | 'RS384'
  | 'RS512'
  | 'PS256'
  | 'PS384'
  | 'PS512'
  | 'ES256'
  | 'ES384'
  | 'ES512'
  | 'EdDSA';

/** Key states of NIST SP 800-57 part 1, section 7. */
export type KeyState = 'pre-active' | 'active' | 'deactivated' | 'compromised' | 'destroyed';

/** A key whose private half is (or was, once `destroyed`) in our store. */
export interface ManagedKey {
  /** How the published key and its assertions name it: the thumbprint, or for an imported key the `kid` it was already published under. */
  readonly kid: string;
  /** RFC 7638 SHA-256 thumbprint, base64url: the name of the sealed private half. */
  readonly thumbprint: string;
  readonly alg: Algorithm;
  readonly state: KeyState;
  /** The standard public members only (`kty` with `n e` or `crv x y`). */
  readonly jwk: PublicJwk;
  /** SubjectPublicKeyInfo, PEM (RFC 7468 section 13). */
  readonly pem: string;
  readonly createdAt: number;
  readonly publishedAt: number | null;
  readonly activatedAt: number | null;
  /** How the key was shown to work: a client assertion was accepted, or only the published document was read back. */
  readonly proof: 'accepted' | 'read_back' | null;
  readonly destroyedAt: number | null;
}

/** How the public key reaches the server. */
export type Format = 'jwks' | 'pem' | 'jwks_uri';

export interface Cause {
  readonly actor: string;
  readonly reason: string;
  /** The request that asked for this, when one did. */
  readonly request: string | null;
}

interface RotationBase extends Cause {
  readonly id: string;
  readonly startedAt: number;
  readonly alg: Algorithm;
  readonly format: Format;
  /** Set when a key may have leaked (`kid`, or null for the one in use): no window, no soak, no overlap, and never a way back to it. */
  readonly compromised: { readonly kid: string | null } | null;
  /** What the server held before: the way back. */
  readonly before: ObservedClient;
  /** A PATCH of this rotation was never answered, and may have arrived. */
  readonly sent?: true;
}

/** The server accepts several keys at once: old and new stand side by side until the new one is proven. */
export interface OverlapRotation extends RotationBase {
  readonly strategy: 'overlap';
  readonly phase:
    | { readonly name: 'requested' }
    | { readonly name: 'stored'; readonly kid: string }
    | { readonly name: 'delivered'; readonly kid: string }
    | { readonly name: 'published'; readonly kid: string; readonly at: number }
    | { readonly name: 'proven'; readonly kid: string }
    | { readonly name: 'reverting'; readonly kid: string; readonly why: string };
}

/** The server accepts exactly one key: one PATCH changes over, and a refused proof changes back. */
export interface CutoverRotation extends RotationBase {
  readonly strategy: 'cutover';
  readonly phase:
    | { readonly name: 'requested' }
    | { readonly name: 'stored'; readonly kid: string }
    | { readonly name: 'delivered'; readonly kid: string }
    | { readonly name: 'cut_over'; readonly kid: string; readonly at: number }
    | { readonly name: 'proven'; readonly kid: string }
    | { readonly name: 'reverting'; readonly kid: string; readonly why: string };
}

export type Rotation = OverlapRotation | CutoverRotation;

/** An old key on its way out. Outlives the rotation that replaced it; several may be on their way at once. */
export type Retirement =
  /** Published beside the new key until `until`, then withdrawn, then shown to be refused. */
  | {
      readonly kind: 'overlap';
      readonly kid: string | null;
      readonly rotation: string;
      readonly phase: 'waiting' | 'withdrawing' | 'withdrawn' | 'refused';
      readonly until: number;
    }
  /** Already off the server; kept by signers until `until` so that assertions under way can be told apart, then shown to be refused. */
  | {
      readonly kind: 'cutover';
      readonly kid: string | null;
      readonly rotation: string;
      readonly phase: 'waiting' | 'refused';
      readonly until: number;
    }
  /** Never became active: take it from the signers and destroy it. */
  | { readonly kind: 'discard'; readonly kid: string; readonly rotation: string };

export type RotationState = 'running' | 'active' | 'finished' | 'failed' | 'rolled_back';

/** What `status`, `--wait` and the on-demand API tell about a rotation, also after it ended. */
export interface RotationSummary extends Cause {
  readonly id: string;
  readonly state: RotationState;
  readonly strategy: 'overlap' | 'cutover';
  readonly kid: string | null;
  readonly replaces: string | null;
  readonly startedAt: number;
  readonly activeAt: number | null;
  readonly endedAt: number | null;
  readonly error: string | null;
}

/** Which kid a signer finds under which name. */
export interface Delivery {
  readonly current: string | null;
  readonly next: string | null;
  readonly previous: string | null;
}

export interface ClientRecord {
  readonly v: 1;
  readonly ref: ClientRef;
  /** The OAuth `client_id`: `iss` and `sub` of its assertions. */
  readonly clientId: string;
  readonly adoptedAt: number;
  readonly keys: readonly ManagedKey[];
  /** What the server was last seen to hold, and when. */
  readonly observed: { readonly client: ObservedClient; readonly at: number };
  /** How the active key is published; null until a key of ours is. */
  readonly format: Format | null;
  /** The last document that the server confirmed, once we sent one. What differs from it later is drift. */
  readonly published: KeyDocument | null;
  /** The public set that was last written where `jwks_uri` points; null when there is none, or it is not known. */
  readonly served: readonly PublicJwk[] | null;
  /** Keys of others, in the order found, verbatim. */
  readonly foreign: readonly PublicJwk[];
  /** Keys of others that were let go and that the server still shows: what stands beside a `jwks_uri` cannot be cleared. Absent: none. */
  readonly dropped?: readonly PublicJwk[];
  /** A PATCH that may still reach the server until `deadline`; `again` when one before it was never answered, and may still come too. */
  readonly inFlight: { readonly document: KeyDocument; readonly deadline: number; readonly again: boolean } | null;
  /** What the sinks were last told; null when that is not known. */
  readonly delivered: Delivery | null;
  readonly rotation: Rotation | null;
  readonly retiring: readonly Retirement[];
  /** Newest first, a handful. */
  readonly history: readonly RotationSummary[];
  /** Failures in a row of the step under way. */
  readonly attempts: number;
  /** PATCH answers in a row that differed from what was sent. */
  readonly conflicts: number;
  /** Do nothing for this client before then (backoff). */
  readonly notBefore: number;
  readonly lastError: string | null;
  /** A person has to look; nothing is done for this client until a new request. */
  readonly halted: string | null;
}
