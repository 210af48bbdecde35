/** The store: everything that outlives a process, over one Redis connection. */
import type { Redis } from 'ioredis';
import { type Apps, openApps } from './app-facts.ts';
import { type AuditLog, openAuditLog } from './audit-log.ts';
import { type Deployments, openDeployments } from './deployments.ts';
import { type Idempotency, openIdempotency } from './idempotency.ts';
import { type Indexes, openIndexes } from './indexes.ts';
import type { StoreKeys } from './keys.ts';
import { type Owners, openOwners } from './owners.ts';
import { openPauses, type Pauses } from './pauses.ts';
import { openPresence, type Presence } from './presence.ts';
import { type OnCommit, openRecords, type Records } from './records.ts';
import type { Guarded } from './redis/evaluate.ts';
import { integer } from './redis/replies.ts';
import { openScripts } from './redis/scripts.ts';
import { openRequests, type Requests } from './requests.ts';
import { openRetention, type Retention } from './retention.ts';
import { openSeal, type Seal } from './seal.ts';
import { openSessions, type Sessions } from './sessions.ts';
import { openTokens, type Tokens } from './tokens.ts';
import { openWaves, type Waves } from './waves.ts';
import { openWebhooks, type Webhooks } from './webhooks.ts';

export interface Store
  extends Records,
    Indexes,
    AuditLog,
    Deployments,
    Pauses,
    Waves,
    Apps,
    Presence,
    Tokens,
    Sessions,
    Idempotency,
    Requests,
    Owners,
    Webhooks,
    Seal,
    Retention {
  readonly keys: StoreKeys;
  /** Random, and another one for each store. */
  readonly id: string;
  /** The store's clock, ms since the Unix epoch: one clock for all workers. */
  now(): Promise<number>;
  /** Closes the connections that the store opened beside `redis`, which stays with the caller. Changes under way are rejected. */
  close(): void;
}

/** Commands wait while Redis is away and are answered when it is back; after `redis` is closed they fail with `redis_unreachable`. */
export function openStore(
  redis: Redis,
  guard: Guarded & { confirmed(seq: number): void },
  onCommit: OnCommit = () => {},
): Store {
  const scripts = openScripts(redis, guard);
  return {
    keys: scripts.keys,
    ...openRecords(redis, scripts, { confirmed: guard.confirmed, onCommit }),
    ...openIndexes(redis, scripts),
    ...openAuditLog(redis, scripts, guard),
    ...openDeployments(redis, scripts),
    ...openPauses(redis, scripts),
    ...openWaves(redis, scripts),
    ...openApps(redis, scripts),
    ...openPresence(scripts),
    ...openTokens(redis, scripts),
    ...openSessions(redis, scripts),
    ...openIdempotency(redis, scripts),
    ...openRequests(redis, scripts),
    ...openOwners(redis, scripts),
    ...openWebhooks(redis, scripts),
    ...openSeal(redis, scripts),
    ...openRetention(redis, scripts),
    get id() {
      return guard.expected.id;
    },
    async now() {
      const [seconds, microseconds] = await scripts.ask(() => redis.time());
      return integer(seconds) * 1000 + Math.floor(integer(microseconds) / 1000);
    },
    close: scripts.close,
  };
}
