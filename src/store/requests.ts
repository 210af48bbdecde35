/** What is known of requests beside the clients' records: approvals, targets, and how many clients were lately reported as compromised. */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { AuditDraft } from '../core/audit.ts';
import type { ClientRef } from '../core/client.ts';
import { draftTexts } from './audit-log.ts';
import { APPROVE, NOTE_REPORTED, NOTE_TARGETS } from './lua/requests.ts';
import { integer } from './redis/replies.ts';
import type { Scripts } from './redis/scripts.ts';

export interface Requests {
  /** Signed approvals of a request, for thirty days. Somebody who can write to Redis could add false ones, so each is verified. */
  approvals(request: string): Promise<readonly string[]>;
  /** On disk when it resolves. @throws RekeydError `not_durable` */
  approve(request: string, approval: string, entries: readonly AuditDraft[]): Promise<void>;
  /** What a request was found to be about, when it was first worked on, as JSON; null when that is not known, or was more than a day ago. */
  targets(request: string): Promise<string | null>;
  noteTargets(request: string, targets: string): Promise<void>;
  /**
   * How many clients were reported as compromised in the last `ms` by requests that needed no confirmation, `refs` included. Notes `refs`, too, unless
   * that is more than `most`. Of two calls at the same moment, one is counted first.
   */
  noteReported(refs: readonly ClientRef[], limit: { readonly ms: number; readonly most: number }): Promise<number>;
  /** How many clients were noted so since `at`, in ms since the epoch. */
  reportedSince(at: number): Promise<number>;
}

export function openRequests(redis: Redis, scripts: Scripts): Requests {
  const { keys } = scripts;
  return {
    approvals: (request) => scripts.ask(() => redis.smembers(keys.approvals(request))),
    async approve(request, approval, entries) {
      const args = [approval, ...draftTexts(entries)];
      const touched = [keys.approvals(request), keys.audit, keys.operation(randomUUID())];
      await scripts.runDurably({ lua: APPROVE, keys: touched, args });
    },
    targets: (request) => scripts.ask(() => redis.get(keys.operation(`targets ${request}`))),
    async noteTargets(request, targets) {
      await scripts.run({ lua: NOTE_TARGETS, keys: [keys.operation(`targets ${request}`)], args: [targets] });
    },
    reportedSince: (at) => scripts.ask(() => redis.zcount(keys.reported, at, '+inf')),
    async noteReported(refs, { ms, most }) {
      return integer(
        await scripts.run({ lua: NOTE_REPORTED, keys: [keys.reported], args: [ms, most, refs.join(' ')] }),
      );
    },
  };
}
