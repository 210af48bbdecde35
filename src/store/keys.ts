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
  /** sorted set, all scores 0: every client reference. */
  clients: `${PREFIX}:clients`,
  /** sorted set: client reference by the time it is due, in ms. */
  due: `${PREFIX}:due`,
  /** hash: client reference → what the server showed of it when it was last committed. */
  seen: `${PREFIX}:seen`,
  /** set: client references with unfinished work. */
  open: `${PREFIX}:open`,
  /** stream: audit entries, `<seq>-0` → `at` (ms), `draft` (JSON). */
  audit: `${PREFIX}:audit`,
  /** string: the number of the newest audit entry. */
  auditSize: `${PREFIX}:audit:size`,
  /** hash: paused deployment → the operation that paused it. */
  paused: `${PREFIX}:paused`,
} as const;

/** hash: `record` (JSON), `version`, `epoch`, `op` and `at` of the last commit, `touched`. */
export function recordKey(ref: ClientRef): string {
  return `${PREFIX}:client:${ref}`;
}

/** hash: kid → JWE of the private key. */
export function sealedKey(ref: ClientRef): string {
  return `${PREFIX}:sealed:${ref}`;
}

/** string with an expiry: the result of an operation that belongs to no client, for when it is sent twice. */
export function operationKey(op: string): string {
  return `${PREFIX}:op:${op}`;
}
