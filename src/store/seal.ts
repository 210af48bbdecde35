/**
 * What is known of the seal on the audit log: how far it goes, by which checkpoint, with which key; and who seals. What the seal means is decided in
 * `src/audit`; here each change is refused when another process has changed it before.
 */
import type { Redis } from 'ioredis';
import type { AuditDraft } from '../core/audit.ts';
import { HOLD, LEAVE } from './lua/lease.ts';
import { BEGIN_SEGMENT, CHANGE_SEAL_KEY, REWRAP_SEAL_KEY, WRITE_CHECKPOINT } from './lua/seal.ts';
import { integer } from './redis/replies.ts';
import type { Scripts } from './redis/scripts.ts';

/** An entry and its hash, which stands for all entries up to it. Entry 0 comes before all, and so does its hash. */
export interface Link {
  readonly seq: number;
  /** SHA-256, 64 hexadecimal digits. */
  readonly hash: string;
}

/** What entry 0 has as its hash. */
const BEFORE_ALL = '0'.repeat(64);

export interface SealState {
  /** The id of the store. */
  readonly store: string;
  /** Entries up to this one are sealed. */
  readonly sealed: Link;
  /** The number of the checkpoint that says so; 0: there is none in this segment. */
  readonly checkpoint: number;
  /** RFC 7638 thumbprint of the signing key; null: there is none yet. */
  readonly kid: string | null;
  /** The number of the entry that began the segment: 1, or that of a `store.segment`. */
  readonly segment: number;
  /** In a segment that begins the chain anew: what was sealed before it. */
  readonly before: Link | null;
  /** For {@link Seal.writeCheckpoint} and the like: what they are built on. */
  readonly basis: string;
}

export interface NewCheckpoint extends Link {
  readonly basis: string;
  /** Of the lease of the sealer. */
  readonly fence: number;
  /** So many entries may come between the last sealed one and the checkpoint. */
  readonly most: number;
  readonly draft: AuditDraft;
}

export interface NewSealKey {
  readonly basis: string;
  readonly kid: string;
  readonly jwe: string;
  /** `x` of its JWK. */
  readonly publicHalf: string;
  readonly draft: AuditDraft;
}

export interface Seal {
  /** Up to which entry the log is sealed, and by which checkpoint. All is 0 while there is none. */
  sealedSize(): Promise<Link & { readonly checkpointSeq: number }>;
  /** Entries that no checkpoint covers yet, checkpoints aside; and for how long the oldest of them has waited. */
  auditUnsealed(): Promise<{ readonly entries: number; readonly sinceMs: number }>;
  sealState(): Promise<SealState>;
  /** The private key that signs checkpoints, encrypted; null: there is none. */
  sealedSealKey(): Promise<string | null>;
  /** By kid: `x` of the JWK of each key that ever signed checkpoints of this store. */
  sealPublicKeys(): Promise<ReadonlyMap<string, string>>;
  /** The fence of a lease on sealing that lasts `ms` from now on; 0: somebody else has it. */
  holdSeal(holder: string, ms: number): Promise<number>;
  leaveSeal(holder: string): Promise<void>;
  /**
   * On disk when it resolves. @returns the number of the checkpoint; `overtaken`: another process was faster, and nothing was written; `behind`: more entries
   * came meanwhile than may lie between. @throws RekeydError `not_durable`
   */
  writeCheckpoint(checkpoint: NewCheckpoint): Promise<number | 'overtaken' | 'behind'>;
  /** On disk when it resolves. False: another process was faster. @throws RekeydError `not_durable` */
  changeSealKey(key: NewSealKey): Promise<boolean>;
  /** Puts `after` in the place of `before`, on disk; false when another one is there. @throws RekeydError `not_durable` */
  replaceSealKey(before: string, after: string): Promise<boolean>;
  /** Begins the chain anew with this entry. @param keepKey false: the next sealer makes another one. @returns its number; null: another process was faster */
  beginSegment(basis: string, keepKey: boolean, draft: AuditDraft): Promise<number | null>;
}

export function openSeal(redis: Redis, scripts: Scripts): Seal {
  const { keys } = scripts;
  const touched = [keys.seal, keys.audit];

  async function sealState(): Promise<SealState> {
    const [id, fields] = await Promise.all([
      scripts.ask(() => redis.get(keys.id)),
      scripts.ask(() => redis.hgetall(keys.seal)),
    ]);
    const { seq = '0', hash = BEFORE_ALL, checkpoint = '0', segment = '1', kid } = fields;
    const { before_seq: beforeSeq, before_hash: beforeHash = BEFORE_ALL } = fields;
    return {
      store: id ?? '',
      sealed: { seq: integer(seq), hash },
      checkpoint: integer(checkpoint),
      kid: kid ?? null,
      segment: integer(segment),
      before: beforeSeq === undefined ? null : { seq: integer(beforeSeq), hash: beforeHash },
      basis: [keys.id, id ?? '', checkpoint, segment, kid ?? ''].join(' '),
    };
  }

  return {
    sealState,
    async sealedSize() {
      const { sealed, checkpoint } = await sealState();
      return { ...sealed, checkpointSeq: checkpoint };
    },
    async auditUnsealed() {
      const { sealed, checkpoint } = await sealState();
      const [size, next, time] = await Promise.all([
        scripts.ask(() => redis.get(keys.auditSize)),
        scripts.ask(() => redis.xrange(keys.audit, `${sealed.seq + 1}-0`, '+', 'COUNT', 2)),
        scripts.ask(() => redis.time()),
      ]);
      const oldest = next.find(([id]) => id !== `${checkpoint}-0`);
      if (oldest === undefined) return { entries: 0, sinceMs: 0 };
      const [, [, at]] = oldest;
      const ownCheckpoint = checkpoint > sealed.seq ? 1 : 0;
      return {
        entries: Math.max(1, integer(size ?? 0) - sealed.seq - ownCheckpoint),
        sinceMs: Math.max(0, integer(time[0]) * 1000 - integer(at)),
      };
    },
    sealedSealKey: () => scripts.ask(() => redis.hget(keys.sealKeys, 'jwe')),
    async sealPublicKeys() {
      const fields = Object.entries(await scripts.ask(() => redis.hgetall(keys.sealKeys)));
      return new Map(
        fields.filter(([name]) => name.startsWith(PUBLIC)).map(([name, x]) => [name.slice(PUBLIC.length), x]),
      );
    },
    async holdSeal(holder, ms) {
      return integer(await scripts.run({ lua: HOLD, keys: [keys.seal], args: [holder, ms] }));
    },
    async leaveSeal(holder) {
      await scripts.run({ lua: LEAVE, keys: [keys.seal], args: [holder] });
    },
    async writeCheckpoint({ basis, fence, seq, hash, most, draft }) {
      const args = [basis, fence, seq, hash, most, JSON.stringify(draft)];
      const reply = integer(await scripts.runDurably({ lua: WRITE_CHECKPOINT, keys: touched, args }));
      if (reply > 0) return reply;
      return reply === 0 ? 'overtaken' : 'behind';
    },
    async changeSealKey({ basis, kid, jwe, publicHalf, draft }) {
      const args = [basis, kid, jwe, publicHalf, JSON.stringify(draft)];
      const call = { lua: CHANGE_SEAL_KEY, keys: [...touched, keys.sealKeys], args };
      return integer(await scripts.runDurably(call)) === 1;
    },
    async replaceSealKey(before, after) {
      const call = { lua: REWRAP_SEAL_KEY, keys: [keys.sealKeys], args: [before, after] };
      return integer(await scripts.runDurably(call)) === 1;
    },
    async beginSegment(basis, keepKey, draft) {
      const args = [basis, BEFORE_ALL, keepKey ? 0 : 1, JSON.stringify(draft)];
      const call = { lua: BEGIN_SEGMENT, keys: [...touched, keys.sealKeys], args };
      return integer(await scripts.runDurably(call)) || null;
    },
  };
}

const PUBLIC = 'public:';
