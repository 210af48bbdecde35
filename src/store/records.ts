/** Client records and their sealed private keys. Every change is one script: all of it happens, with its audit entries, or none. */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { AuditDraft } from '../core/audit.ts';
import { type ClientRef, parseReference } from '../core/client.ts';
import type { RotationSummary } from '../core/history.ts';
import type { ClientRecord } from '../core/record.ts';
import type { WaveOutcome } from '../core/wave.ts';
import { rememberKey } from '../keys/key-id.ts';
import { draftTexts } from './audit-log.ts';
import { commitCall, parseCommitted } from './commit-call.ts';
import { ANSWER, CLAIM, CONFIRM, LOAD, REPLACE_SEALED } from './lua/records.ts';
import { integer, list, text } from './redis/replies.ts';
import type { Scripts } from './redis/scripts.ts';
import { upgradedRecord } from './upgrade.ts';

/** What a record must still be for a change to it to be accepted: what that commit made of it, under that claim. */
export interface Expected {
  readonly op: string;
  readonly claim: string;
}

export interface Loaded extends Expected {
  readonly record: ClientRecord;
  /** Of the claim: later claims have higher ones. For folders, which cannot ask the store. */
  readonly epoch: number;
  /** Rises with each commit. Only an order: after a failover that lost a commit it comes a second time. */
  readonly version: number;
  /** The store's clock, ms since the Unix epoch. */
  readonly now: number;
  /** Ended rotations that an earlier version kept in the record: they go with the next commit. */
  readonly carried: readonly RotationSummary[];
}

/** A private half as it is stored, by the thumbprint of its key. */
export interface SealedHalf {
  readonly thumbprint: string;
  readonly jwe: string;
}

export interface Commit {
  readonly ref: ClientRef;
  /** Null: the client must not be known yet. */
  readonly expected: Expected | null;
  readonly record: ClientRecord;
  readonly entries: readonly AuditDraft[];
  /** {@link Loaded.carried} of what this is built on. */
  readonly carried: readonly RotationSummary[];
  /** Rotations that ended with this commit, oldest first. */
  readonly ended: readonly RotationSummary[];
  readonly seal: readonly SealedHalf[];
  /** Thumbprints of private halves that are erased. */
  readonly erase: readonly string[];
  /** When the client is due next, ms since the Unix epoch; null when it is not. */
  readonly dueAt: number | null;
  /** What the server was last seen to show, in short: see {@link Indexes.seen}. */
  readonly seen: string;
  /** There is unfinished work: the client is among {@link Indexes.openWork}. */
  readonly open: boolean;
  /** Resolve only when the change, and all that it rests on, is on disk. */
  readonly durable: boolean;
  /** See {@link Records.answered}. */
  readonly answers?: Answer;
  /** What a rotation came to: its wave counts it with the commit, and once. */
  readonly counted?: WaveOutcome;
}

/** Which rotation answers a request. */
export interface Answer {
  readonly request: string;
  readonly rotation: string;
}

export interface RotationPlace {
  readonly client: ClientRef;
  readonly firstSeq: number;
}

export interface Committed {
  readonly op: string;
  readonly now: number;
}

export interface Records {
  /**
   * Takes the client over: commits under any earlier claim are refused from now on. Null when the client is not known.
   * @param leastEpoch for a folder that holds a set of a claim that this store does not know
   */
  claim(ref: ClientRef, leastEpoch?: number): Promise<Loaded | null>;
  load(ref: ClientRef): Promise<Loaded | null>;
  /** The `op` of its last commit alone; null when it is not known. */
  lastOp(ref: ClientRef): Promise<string | null>;
  /** The number of the newest audit entry at its last commit; null when it is not known. */
  lastSeq(ref: ClientRef): Promise<number | null>;
  /** Without the clients that are not known. */
  loadMany(refs: readonly ClientRef[]): Promise<Map<ClientRef, Loaded>>;
  /** Rotations that ended, newest first. */
  history(ref: ClientRef): Promise<readonly RotationSummary[]>;
  /**
   * @throws RekeydError `store_conflict` (the record moved on, or a new client is known already), `store_fenced` (another worker claimed
   * it), `not_durable` (written, but not known to be on disk: load the client again before anything else), `store_lost`
   */
  commit(change: Commit): Promise<Committed>;
  /** Resolves once what that commit wrote is on disk, also when another worker made it; false when the record is no longer that. @throws RekeydError `not_durable` */
  confirm(ref: ClientRef, op: string): Promise<boolean>;
  /** The client that has the rotation with this id, and the number of its first audit entry; null when none has, or it began more than a hundred days ago. */
  rotationPlace(id: string): Promise<RotationPlace | null>;
  /** The rotation that answers a request, which may come a second time; null when it is not known, or was told more than a day ago. */
  answered(request: string): Promise<string | null>;
  /** For an answer that changes no record. */
  answer(answer: Answer): Promise<void>;
  /** Those of these clients that have a private key here. Meant for pages, not for a fleet. */
  withKeys(refs: readonly ClientRef[]): Promise<ClientRef[]>;
  /** The JWE of one private half. */
  sealedHalf(ref: ClientRef, thumbprint: string): Promise<string | null>;
  /** Thumbprint → JWE. */
  sealedHalves(ref: ClientRef): Promise<Map<string, string>>;
  /** Puts `newJwe` in the place of `oldJwe`, on disk and with its entries; false when another one (or none) is stored. @throws RekeydError `not_durable` */
  replaceSealed(
    ref: ClientRef,
    half: SealedHalf & { readonly oldJwe: string },
    entries: readonly AuditDraft[],
  ): Promise<boolean>;
}

/** Told of each commit of this process that went through. Must not throw. */
export type OnCommit = (change: Commit) => void;

export interface RecordWatch {
  /** Told the number of the newest audit entry that is known to be on disk. */
  confirmed(seq: number): void;
  readonly onCommit: OnCommit;
}

export function openRecords(redis: Redis, scripts: Scripts, { confirmed, onCommit }: RecordWatch): Records {
  const { keys } = scripts;
  async function load(ref: ClientRef): Promise<Loaded | null> {
    const reply = await scripts.run({ lua: LOAD, keys: [keys.record(ref)], args: [] });
    return reply === null ? null : parseLoaded(reply);
  }

  return {
    load,

    lastOp: (ref) => scripts.ask(() => redis.hget(keys.record(ref), 'op')),

    async lastSeq(ref) {
      const seq = await scripts.ask(() => redis.hget(keys.record(ref), 'seq'));
      return seq === null ? null : integer(seq);
    },

    async claim(ref, leastEpoch = 0) {
      const reply = await scripts.run({ lua: CLAIM, keys: [keys.record(ref)], args: [randomUUID(), leastEpoch] });
      if (reply === null) return null;
      const loaded = parseLoaded(reply);
      for (const key of loaded.record.keys) rememberKey(key);
      return loaded;
    },

    async loadMany(refs) {
      const loaded = new Map<ClientRef, Loaded>();
      for (const [ref, held] of await Promise.all(refs.map(async (ref) => [ref, await load(ref)] as const))) {
        if (held !== null) loaded.set(ref, held);
      }
      return loaded;
    },

    async history(ref) {
      const [listed, loaded] = await Promise.all([
        scripts.ask(() => redis.lrange(keys.history(ref), 0, -1)),
        load(ref),
      ]);
      const ended = listed.map((summary) => JSON.parse(summary) as RotationSummary); // only `commit` writes it
      return [...ended, ...(loaded?.carried ?? []).toReversed()];
    },

    async commit(change) {
      const op = randomUUID();
      const call = commitCall(keys, change, op);
      const reply = await (change.durable ? scripts.runDurably(call) : scripts.run(call));
      const { now, seq } = parseCommitted(change.ref, reply);
      if (change.durable) confirmed(seq);
      onCommit(change);
      return { op, now };
    },

    async confirm(ref, op) {
      return (await scripts.runDurably({ lua: CONFIRM, keys: [keys.record(ref)], args: [op] })) === 1;
    },

    async rotationPlace(id) {
      const noted = await scripts.ask(() => redis.get(keys.rotation(id)));
      const [seq, ref] = noted?.split(' ') ?? [];
      return seq === undefined || ref === undefined ? null : { client: parseReference(ref), firstSeq: integer(seq) };
    },

    answered: (request) => scripts.ask(() => redis.get(keys.operation(`request ${request}`))),

    async answer({ request, rotation }) {
      await scripts.run({ lua: ANSWER, keys: [keys.operation(`request ${request}`)], args: [rotation] });
    },

    async withKeys(refs) {
      const counts = await Promise.all(refs.map((ref) => scripts.ask(() => redis.exists(keys.sealed(ref)))));
      return refs.filter((_, index) => counts[index] === 1);
    },

    sealedHalf: (ref, thumbprint) => scripts.ask(() => redis.hget(keys.sealed(ref), thumbprint)),

    async sealedHalves(ref) {
      return new Map(Object.entries(await scripts.ask(() => redis.hgetall(keys.sealed(ref)))));
    },

    async replaceSealed(ref, { thumbprint, oldJwe, jwe }, entries) {
      const args = [thumbprint, oldJwe, jwe, ...draftTexts(entries)];
      const call = { lua: REPLACE_SEALED, keys: [keys.sealed(ref), keys.audit], args };
      return (await scripts.runDurably(call)) === 1;
    },
  };
}

function parseLoaded(reply: unknown): Loaded {
  const [stored, version, epoch, claim, op, now, doubted] = list(reply);
  const { record, carried } = upgradedRecord(JSON.parse(text(stored)));
  return {
    record: integer(doubted) === 1 ? { ...record, doubted: true } : record,
    carried,
    op: text(op),
    claim: text(claim),
    epoch: integer(epoch),
    version: integer(version),
    now: integer(now),
  };
}
