/** The audit log: a stream with the entries' numbers as ids: 1, 2, 3 … without gaps. */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { AuditDraft, AuditEntry } from '../core/audit.ts';
import { hasCode } from '../errors.ts';
import type { Guard } from './guard.ts';
import { APPEND, SEEN } from './lua/log.ts';
import { integer } from './redis/replies.ts';
import type { Scripts } from './redis/scripts.ts';

export interface AuditLog {
  /**
   * Entries that belong to no change of a client. Resolves with the number of the newest entry.
   * @param op names what happened: appended again within a day under that name, the entries are written once
   */
  append(drafts: readonly AuditDraft[], op?: string): Promise<number>;
  /** Up to `limit` entries after number `seq`, oldest first. */
  auditAfter(seq: number, limit: number): Promise<AuditEntry[]>;
  /**
   * The same, but only those that are known to be on disk: a power cut takes the others away, and gives their numbers to what happens next. For readers
   * that go on later from the last number that they got.
   */
  settledAfter(seq: number, limit: number): Promise<AuditEntry[]>;
  /** The number of the newest entry that is known to be on disk. */
  settledSize(): Promise<number>;
  /** The newest `count` entries, oldest first. */
  auditTail(count: number): Promise<AuditEntry[]>;
  /** The number of the oldest entry: those before were exported and cut. One more than the newest where there is none. */
  auditFirst(): Promise<number>;
  /** The number of the newest entry; 0 while there is none. */
  auditSize(): Promise<number>;
  /**
   * Remembers how far the log is by now, once that is on disk: a store that shows less was rolled back. A worker that commits nothing of its own would not
   * notice it otherwise. @throws RekeydError `not_durable`
   */
  rememberSize(): Promise<void>;
}

/** @param guard knows how far the log is known to be on disk, and is told */
export function openAuditLog(redis: Redis, scripts: Scripts, guard: Pick<Guard, 'confirmed' | 'expected'>): AuditLog {
  const { keys } = scripts;
  const size = async () => integer((await scripts.ask(() => redis.get(keys.auditSize))) ?? 0);
  const entries = async (from: string, to: string, limit: number) =>
    (await scripts.ask(() => redis.xrange(keys.audit, from, to, 'COUNT', limit))).map(parseEntry);

  async function rememberSize(): Promise<void> {
    guard.confirmed(integer(await scripts.runDurably({ lua: SEEN, keys: [keys.touched], args: [] })));
  }

  /** A Redis that takes no writes still tells what was on disk before. */
  async function settledSize(): Promise<number> {
    const newest = await size();
    if (newest > guard.expected.size) {
      await rememberSize().catch((error: unknown) => {
        if (!hasCode(error, 'not_durable') && !hasCode(error, 'redis_unsafe')) throw error;
      });
    }
    return Math.min(newest, guard.expected.size);
  }

  return {
    async append(drafts, op = randomUUID()) {
      const call = {
        lua: APPEND,
        keys: [keys.audit, keys.operation(op)],
        args: draftTexts(drafts),
      };
      return integer(await scripts.run(call));
    },
    async auditAfter(seq, limit) {
      return entries(`${seq + 1}-0`, '+', limit);
    },
    async settledAfter(seq, limit) {
      return entries(`${seq + 1}-0`, `${await settledSize()}-0`, limit);
    },
    settledSize,
    async auditTail(count) {
      const found = await scripts.ask(() => redis.xrevrange(keys.audit, '+', '-', 'COUNT', count));
      return found.map(parseEntry).reverse();
    },
    async auditFirst() {
      const [oldest] = await entries('-', '+', 1);
      return oldest?.seq ?? (await size()) + 1;
    },
    rememberSize,
    auditSize: size,
  };
}

/** Drafts as scripts take them, and as the stream holds them. */
export function draftTexts(drafts: readonly AuditDraft[]): readonly string[] {
  return drafts.map((draft) => JSON.stringify(draft));
}

function parseEntry([id, fields]: [id: string, fields: string[]]): AuditEntry {
  const [, at, , draft = ''] = fields;
  return {
    seq: integer(id.split('-')[0]),
    time: new Date(integer(at)).toISOString(),
    ...(JSON.parse(draft) as AuditDraft), // only the scripts write it, from an AuditDraft
  };
}
