/** The audit log: a stream whose ids are the entries' numbers, 1, 2, 3 … without gaps. */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { AuditDraft, AuditEntry } from '../core/audit.ts';
import { keys, operationKey } from './keys.ts';
import { APPEND } from './lua/log.ts';
import { integer } from './redis/replies.ts';
import type { Scripts } from './redis/scripts.ts';

export interface AuditLog {
  /** Entries that belong to no change of a client. Resolves with the number of the newest entry. */
  append(drafts: readonly AuditDraft[]): Promise<number>;
  /** Up to `limit` entries after number `seq`, oldest first. */
  auditAfter(seq: number, limit: number): Promise<AuditEntry[]>;
  /** The newest `count` entries, oldest first. */
  auditTail(count: number): Promise<AuditEntry[]>;
  /** The number of the newest entry; 0 while there is none. */
  auditSize(): Promise<number>;
}

export function openAuditLog(redis: Redis, scripts: Scripts): AuditLog {
  return {
    async append(drafts) {
      const call = {
        lua: APPEND,
        keys: [keys.audit, keys.auditSize, operationKey(randomUUID())],
        args: drafts.map((draft) => JSON.stringify(draft)),
      };
      return integer(await scripts.run(call));
    },
    async auditAfter(seq, limit) {
      const found = await scripts.ask(() => redis.xrange(keys.audit, `${seq + 1}-0`, '+', 'COUNT', limit));
      return found.map(parseEntry);
    },
    async auditTail(count) {
      const found = await scripts.ask(() => redis.xrevrange(keys.audit, '+', '-', 'COUNT', count));
      return found.map(parseEntry).reverse();
    },
    async auditSize() {
      return integer((await scripts.ask(() => redis.get(keys.auditSize))) ?? 0);
    },
  };
}

function parseEntry([id, fields]: [id: string, fields: string[]]): AuditEntry {
  const [, at, , draft = ''] = fields;
  return {
    seq: integer(id.split('-')[0]),
    time: new Date(integer(at)).toISOString(),
    ...(JSON.parse(draft) as AuditDraft), // only the scripts write it, from an AuditDraft
  };
}
