import type { ClientRef } from '../core/client.ts';

/**
 * Every key that the store uses. The hash tag puts them all in one slot, so that one script may touch them all on Redis Cluster too.
 * The job queues share the tag and keep their keys under their own names: no queue may be called `store`.
 */
export const HASH_TAG = '{rekeyd}';
const PREFIX = `${HASH_TAG}:store`;

export const keys = {
  /** string: random UUID of this store. */
  id: `${PREFIX}:id`,
  /** list: the ids of stores that were declared as lost, and that this one replaces. */
  predecessors: `${PREFIX}:predecessors`,
  /** sorted set, all scores 0: every client reference. */
  clients: `${PREFIX}:clients`,
  /** sorted set: client reference by the time it is due, in ms. */
  due: `${PREFIX}:due`,
  /** hash: client reference → what the server showed of it when it was last committed. */
  seen: `${PREFIX}:seen`,
  /** hash: app (`deployment/slug`) → names of the policies that its clients went by at the last start (JSON). */
  policies: `${PREFIX}:policies`,
  /** set: client references with unfinished work. */
  open: `${PREFIX}:open`,
  /** sets: clients whose active key is not ours, and those whose application was not seen to take its key from us. */
  found: `${PREFIX}:found`,
  held: `${PREFIX}:held`,
  /** set of client references: those to whose applications a key of ours is offered */
  offered: `${PREFIX}:offered`,
  /** stream: audit entries, `<seq>-0` → `at` (ms), `draft` (JSON). */
  audit: `${PREFIX}:audit`,
  /** string: the number of the newest audit entry. */
  auditSize: `${PREFIX}:audit:size`,
  /** string: written so that there is something to wait for. */
  touched: `${PREFIX}:touched`,
  /** hash: scope → pause by a person (JSON). */
  pauses: `${PREFIX}:pauses`,
  /** string: the tokens of the HTTP API, signed. */
  tokens: `${PREFIX}:tokens`,
  /** hash: paused deployments, as version 0.1 noted them. */
  pausedBefore: `${PREFIX}:paused`,
} as const;

/** hash: `record` (JSON); `version`, `op`, `at` and `seq` of the last commit; `claim` and `epoch` of the last claim; `touched`; `doubted`. */
export function recordKey(ref: ClientRef): string {
  return `${PREFIX}:client:${ref}`;
}

/** list: rotations that ended (JSON), newest first. */
export function historyKey(ref: ClientRef): string {
  return `${PREFIX}:history:${ref}`;
}

/** hash: what a deployment's API budget, pauses and wishes to be left alone come to. */
export function deploymentKey(deployment: string): string {
  return `${PREFIX}:deployment:${deployment}`;
}

/** The wave of a policy: a hash, and sets of client references; see {@link ./lua/waves.ts}. A policy's name has no colon. */
export function waveKeys(policy: string) {
  const wave = `${PREFIX}:wave:${policy}`;
  return { wave, cohort: `${wave}:cohort`, waiting: `${wave}:waiting`, failed: `${wave}:failed` } as const;
}

/**
 * hash: what is known of the server of an app (`deployment/slug`). `findings`: what the last probe found (JSON). `failed`, `overlap`, `alg:<alg>`: ms since the
 * epoch and a text, see {@link ./app-facts.ts}.
 */
export function appKey(app: string): string {
  return `${PREFIX}:app:${app}`;
}

/** string with an expiry: who probes an app. */
export function probingKey(app: string): string {
  return `${PREFIX}:probing:${app}`;
}

/** hash: thumbprint → JWE of the private key. */
export function sealedKey(ref: ClientRef): string {
  return `${PREFIX}:sealed:${ref}`;
}

/** string with an expiry: the result of an operation that belongs to no client, for when it is sent twice. */
export function operationKey(op: string): string {
  return `${PREFIX}:op:${op}`;
}
