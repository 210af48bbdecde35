/** The audit log: a stream with the entries' numbers as ids: 1, 2, 3 … without gaps. */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { AuditDraft, AuditEntry } from '../core/audit.ts';
import { APPEND, SEEN } from './lua/log.ts';
import { integer } from './redis/replies.ts';
import type { Scripts } from './redis/scripts.ts';

export interface AuditLog {
  /**
   * Entries that belong to no change of a client. Resolves with the number of the newest entry.
   * @param op names what they tell: told again within a day, they are written once
   */
  append(drafts: readonly AuditDraft[], op?: string): Promise<number>;
  /** Up to `limit` entries after number `seq`, oldest first. */
  auditAfter(seq: number, limit: number): Promise<AuditEntry[]>;
  /** The newest `count` entries, oldest first. */
  auditTail(count: number): Promise<AuditEntry[]>;
  /** The number of the newest entry; 0 while there is none. */
  auditSize(): Promise<number>;
  /**
   * Remembers how far the log is by now, once that is on disk: a store that shows less was rolled back. A worker that commits nothing of its own would not
   * notice it otherwise. @throws RekeydError `not_durable`
   */
  rememberSize(): Promise<void>;
}

/** @param confirmed told the number of the newest entry that is known to be on disk */
export function openAuditLog(redis: Redis, scripts: Scripts, confirmed: (seq: number) => void): AuditLog {
  const { keys } = scripts;
  return {
    async append(drafts, op = randomUUID()) {
      const call = {
        lua: APPEND,
        keys: [keys.audit, keys.operation(op)],
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
    async rememberSize() {
      confirmed(integer(await scripts.runDurably({ lua: SEEN, keys: [keys.touched], args: [] })));
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
