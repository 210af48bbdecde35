import type { ClientRef } from '../core/client.ts';

/**
 * Every name that one namespace has in Redis: the one home of names. The hash tag puts them all in one slot, so that one script may touch them all on Redis
 * Cluster too. The job queues share the tag and keep their keys under their own names: no queue may be called `store`.
 */
export function storeKeys(namespace: string) {
  const tag = `{${namespace}}`;
  const prefix = `${tag}:store`;
  return {
    namespace,
    /** What the keys of all queues begin with: BullMQ's `prefix`. */
    queues: tag,
    /** string: random UUID of this store. */
    id: `${prefix}:id`,
    /** list: the ids of stores that were declared as lost, and that this one replaces. */
    predecessors: `${prefix}:predecessors`,
    /** sorted set, all scores 0: every client reference. */
    clients: `${prefix}:clients`,
    /** sorted set: client reference by the time it is due, in ms. */
    due: `${prefix}:due`,
    /** hash: client reference → what the server showed of it when it was last committed. */
    seen: `${prefix}:seen`,
    /** hash: app (`deployment/slug`) → names of the policies that its clients went by at the last start (JSON). */
    policies: `${prefix}:policies`,
    /** set: client references with unfinished work. */
    open: `${prefix}:open`,
    /** sets: clients with an active key that is not ours, and clients with an application that was not seen to take its key from us. */
    found: `${prefix}:found`,
    held: `${prefix}:held`,
    /** set of client references: found clients that are offered a key of ours */
    offered: `${prefix}:offered`,
    /** sorted set, all scores 0: `<mark> <client reference>` for each name of each key that a client has or had, see {@link ./owners.ts}. */
    owners: `${prefix}:owners`,
    /** string: which form of these marks every record has been noted in. */
    ownersNoted: `${prefix}:owners:noted`,
    /** stream: audit entries, `<seq>-0` → `at` (ms), `draft` (JSON). */
    audit: `${prefix}:audit`,
    /** string: the number of the newest audit entry. */
    auditSize: `${prefix}:audit:size`,
    /**
     * hash: how far the log is sealed (`seq`, `hash`), the number of the `checkpoint` that says so, the `kid` of the signing key, the `segment`, what was
     * sealed `before` it; and the lease on sealing. See {@link ./seal.ts}.
     */
    seal: `${prefix}:seal`,
    /** hash: `jwe` → the private key that signs checkpoints, `public:<kid>` → the public half (`x` of its JWK) of each key that ever did. */
    sealKeys: `${prefix}:seal:keys`,
    /** hash: `export:<id>` → how far an export of the log is (JSON); and the lease on retention. See {@link ./retention.ts}. */
    retention: `${prefix}:retention`,
    /** string: written so that there is something to wait for. */
    touched: `${prefix}:touched`,
    /** hash: scope → pause by a person (JSON). */
    pauses: `${prefix}:pauses`,
    /** hash: webhook → when a worker last had it in its config, in ms. */
    webhooks: `${prefix}:webhooks`,
    /** string: the tokens of the HTTP API, signed. */
    tokens: `${prefix}:tokens`,
    /** string with an expiry: a session of the page (signed), by the hash of its id. */
    session: (hash: string) => `${prefix}:session:${hash}`,
    /** sorted set with an expiry: the sessions of a token, both by their hashes, by when they are over, in ms. */
    sessions: (token: string) => `${prefix}:sessions:${token}`,
    /** list with an expiry: what a session has asked about and not yet asked for (sealed), newest first. */
    sessionTexts: (hash: string) => `${prefix}:session-texts:${hash}`,
    /** sorted set: clients that were lately reported as compromised, without a confirmation, by when that was, in ms. */
    reported: `${prefix}:reported`,
    /** hash: paused deployments, as version 0.1 noted them. */
    pausedBefore: `${prefix}:paused`,
    /** hash: service → what it says of itself, see {@link ./presence.ts}; and the newest wish that all read their config again. */
    presence: `${prefix}:presence`,
    reload: `${prefix}:reload`,
    /** hash: `record` (JSON); `version`, `op`, `at` and `seq` of the last commit; `claim` and `epoch` of the last claim; `marks` of its keys; `touched`; `doubted`. */
    record: (ref: ClientRef) => `${prefix}:client:${ref}`,
    /** list: rotations that ended (JSON), newest first. */
    history: (ref: ClientRef) => `${prefix}:history:${ref}`,
    /** hash: thumbprint → JWE of the private key. */
    sealed: (ref: ClientRef) => `${prefix}:sealed:${ref}`,
    /** hash: a deployment's API budget, its pause and its throttle, and how its clients are looked at. See {@link ./deployments.ts}. */
    deployment: (deployment: string) => `${prefix}:deployment:${deployment}`,
    /** The wave of a policy: a hash, and sets of client references; see {@link ./lua/waves.ts}. A policy's name has no colon. */
    wave(policy: string) {
      const wave = `${prefix}:wave:${policy}`;
      return { wave, cohort: `${wave}:cohort`, waiting: `${wave}:waiting`, failed: `${wave}:failed` } as const;
    },
    /**
     * hash: what is known of the server of an app (`deployment/slug`). `findings`: what the last probe found (JSON). `failed`, `overlap`, `alg:<alg>`: ms
     * since the epoch and a text, see {@link ./app-facts.ts}.
     */
    app: (app: string) => `${prefix}:app:${app}`,
    /**
     * A webhook: a hash with its `cursor` in the audit log; `tries`, `since`, `next` and `error` of failures in a row; `stopped` (JSON) and `dropped`. Sorted
     * sets of dead letters (JSON) by the number of their entry: those that rest, and those that are tried once more. A string with an expiry: who delivers.
     */
    webhook(name: string) {
      const hook = `${prefix}:webhook:${name}`;
      return { hook, dead: `${hook}:dead`, again: `${hook}:again`, lease: `${hook}:lease` } as const;
    },
    /** string with an expiry: the number of a rotation's first audit entry, a blank, and its client. */
    rotation: (id: string) => `${prefix}:rotation:${id}`,
    /** string with an expiry: what a caller of the HTTP API asked for under a key of its own: a hash of that, a blank, and the id of the request. */
    idempotent: (name: string) => `${prefix}:idempotent:${name}`,
    /** string with an expiry: what that request was answered (JSON). */
    answer: (request: string) => `${prefix}:answer:${request}`,
    /** set with an expiry: signed approvals of a request. */
    approvals: (request: string) => `${prefix}:approvals:${request}`,
    /** string with an expiry: who probes an app. */
    probing: (app: string) => `${prefix}:probing:${app}`,
    /** string with an expiry: the result of an operation that belongs to no client, for when it is sent twice. */
    operation: (op: string) => `${prefix}:op:${op}`,
  } as const;
}

export type StoreKeys = ReturnType<typeof storeKeys>;
