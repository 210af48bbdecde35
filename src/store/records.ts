/** Client records and their sealed private keys. Every change is one script: all of it happens, with its audit entries, or none. */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { AuditDraft } from '../core/audit.ts';
import type { ClientRef } from '../core/client.ts';
import type { ClientRecord } from '../core/record.ts';
import { RekeydError } from '../errors.ts';
import { keys, recordKey, sealedKey } from './keys.ts';
import { CLAIM, COMMIT, CONFIRM, LOAD, RELEASE, REPLACE_SEALED } from './lua/records.ts';
import { integer, list, text } from './redis/replies.ts';
import type { ScriptCall, Scripts } from './redis/scripts.ts';

/** What a record must still be for a change to it to be accepted. */
export interface Expected {
  readonly version: number;
  readonly epoch: number;
}

export interface Loaded extends Expected {
  readonly record: ClientRecord;
  /** The store's clock, ms since the Unix epoch. */
  readonly now: number;
}

export interface SealedKey {
  readonly kid: string;
  readonly jwe: string;
}

export interface Change {
  readonly ref: ClientRef;
  /** Null: the client must not be known yet. */
  readonly expected: Expected | null;
  readonly record: ClientRecord;
  readonly entries: readonly AuditDraft[];
  readonly seal?: readonly SealedKey[];
  /** Kids whose private halves are erased. */
  readonly erase?: readonly string[];
  /** When the client is due next, ms since the Unix epoch; null when it is not. */
  readonly dueAt: number | null;
  /** What the server was last seen to show, in short: see {@link Indexes.seen}. */
  readonly seen: string;
  /** There is unfinished work: the client is among {@link Indexes.openWork}. */
  readonly open: boolean;
  /** Resolve only when the change is on disk. */
  readonly durable: boolean;
}

export interface Committed {
  readonly version: number;
  readonly now: number;
}

/** Spares two workers from fencing each other in the middle of a PATCH. The epoch is what keeps them apart. */
export interface Hold {
  readonly holder: string;
  /** In ms. */
  readonly forMs: number;
}

export interface Records {
  /**
   * Takes the client over: commits by whoever claimed it before are refused from now on. Null when the client is not known.
   * @param hold keeps others with a hold away until it is released, or its time is up; the same holder may come again. Absent: takes it from anybody
   * @throws RekeydError `store_held`
   */
  claim(ref: ClientRef, hold?: Hold): Promise<Loaded | null>;
  /** Gives a hold back before its time is up. */
  release(ref: ClientRef, holder: string): Promise<void>;
  load(ref: ClientRef): Promise<Loaded | null>;
  /** Without the clients that are not known. */
  loadMany(refs: readonly ClientRef[]): Promise<Map<ClientRef, Loaded>>;
  /**
   * @throws RekeydError `store_conflict` (the record moved on, or a new client is known already), `store_fenced` (another worker claimed
   * it), `not_durable` (written, but not known to be on disk: load the client again before anything else)
   */
  commit(change: Change): Promise<Committed>;
  /** Resolves once that version, whoever wrote it, is on disk; false when it was lost. @throws RekeydError `not_durable` */
  confirm(ref: ClientRef, version: number): Promise<boolean>;
  /** Those of these clients that have a private key here. Meant for pages, not for a fleet. */
  withKeys(refs: readonly ClientRef[]): Promise<ClientRef[]>;
  sealedKey(ref: ClientRef, kid: string): Promise<string | null>;
  /** kid → JWE. */
  sealedKeys(ref: ClientRef): Promise<Map<string, string>>;
  /** Puts `newJwe` in the place of `oldJwe`, on disk; false when another one (or none) is stored. @throws RekeydError `not_durable` */
  replaceSealed(ref: ClientRef, kid: string, oldJwe: string, newJwe: string): Promise<boolean>;
}

export function openRecords(redis: Redis, scripts: Scripts): Records {
  async function load(ref: ClientRef): Promise<Loaded | null> {
    const reply = await scripts.run({ lua: LOAD, keys: [recordKey(ref)], args: [] });
    return reply === null ? null : parseLoaded(reply);
  }

  return {
    load,

    async claim(ref, hold = { holder: '', forMs: 0 }) {
      const args = [hold.holder, hold.forMs];
      const reply = await scripts.run({ lua: CLAIM, keys: [recordKey(ref)], args });
      if (reply === 'held')
        throw new RekeydError('store_held', `Another worker is at work on ${ref}. Try again in a moment.`);
      return reply === null ? null : parseLoaded(reply);
    },

    async release(ref, holder) {
      await scripts.run({ lua: RELEASE, keys: [recordKey(ref)], args: [holder] });
    },

    async loadMany(refs) {
      const loaded = new Map<ClientRef, Loaded>();
      for (const [ref, held] of await Promise.all(refs.map(async (ref) => [ref, await load(ref)] as const))) {
        if (held !== null) loaded.set(ref, held);
      }
      return loaded;
    },

    async commit(change) {
      const call = commitCall(change);
      return parseCommitted(change.ref, await (change.durable ? scripts.runDurably(call) : scripts.run(call)));
    },

    async confirm(ref, version) {
      return (await scripts.runDurably({ lua: CONFIRM, keys: [recordKey(ref)], args: [version] })) === 1;
    },

    async withKeys(refs) {
      const counts = await Promise.all(refs.map((ref) => scripts.ask(() => redis.exists(sealedKey(ref)))));
      return refs.filter((_, index) => counts[index] === 1);
    },

    sealedKey: (ref, kid) => scripts.ask(() => redis.hget(sealedKey(ref), kid)),

    async sealedKeys(ref) {
      return new Map(Object.entries(await scripts.ask(() => redis.hgetall(sealedKey(ref)))));
    },

    async replaceSealed(ref, kid, oldJwe, newJwe) {
      const call = { lua: REPLACE_SEALED, keys: [sealedKey(ref)], args: [kid, oldJwe, newJwe] };
      return (await scripts.runDurably(call)) === 1;
    },
  };
}

/** The script call of a change. It carries the operation's id: sent twice, it happens once. */
export function commitCall(change: Change): ScriptCall {
  const { ref, expected, seal = [], erase = [] } = change;
  return {
    lua: COMMIT,
    keys: [recordKey(ref), sealedKey(ref), keys.clients, keys.due, keys.open, keys.audit, keys.auditSize, keys.seen],
    args: [
      randomUUID(),
      expected?.version ?? '',
      expected?.epoch ?? '',
      JSON.stringify(change.record),
      change.dueAt ?? '',
      change.open ? 1 : 0,
      ref,
      seal.length,
      erase.length,
      change.seen,
      ...seal.flatMap(({ kid, jwe }) => [kid, jwe]),
      ...erase,
      ...change.entries.map((entry) => JSON.stringify(entry)),
    ],
  };
}

function parseLoaded(reply: unknown): Loaded {
  const [record, version, epoch, now] = list(reply);
  return {
    record: JSON.parse(text(record)) as ClientRecord, // only `commit` writes it, from a ClientRecord
    version: integer(version),
    epoch: integer(epoch),
    now: integer(now),
  };
}

function parseCommitted(ref: ClientRef, reply: unknown): Committed {
  const [outcome, version, now] = list(reply);
  switch (outcome) {
    case 'conflict':
      throw new RekeydError('store_conflict', `${ref} was changed by someone else in the meantime. Load it again.`);
    case 'fenced':
      throw new RekeydError('store_fenced', `${ref} was taken over by another worker. Leave it alone.`);
    default:
      return { version: integer(version), now: integer(now) };
  }
}
