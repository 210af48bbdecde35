/**
 * Seals the audit log: reads what came since the last checkpoint, goes on with the hash chain from there, and writes the next checkpoint. Any number of workers
 * may try. A lease spares them the work; that none does harm is due to the store, which takes a checkpoint only if it is built on the last one.
 */
import type { AuditDraft, AuditEntry } from '../core/audit.ts';
import { hasCode, type RekeydError } from '../errors.ts';
import type { Kek } from '../keys/kek.ts';
import { BEFORE_ALL, chain, type EntrySource, type Link, NO_HASH, restarts, sealBroken } from './chain.ts';
import { checkpointDraft, checkpointProblem, createdDraft } from './checkpoint.ts';
import { newSealKey, openSealKey, type SealKey } from './seal-key.ts';

/** As the store keeps it. */
export interface SealState {
  readonly store: string;
  readonly sealed: Link;
  readonly checkpoint: number;
  readonly kid: string | null;
  readonly segment: number;
  readonly before: Link | null;
  readonly basis: string;
}

/** What is read of it. */
export interface SealNotes extends EntrySource {
  sealState(): Promise<SealState>;
  sealedSealKey(): Promise<string | null>;
  sealPublicKeys(): Promise<ReadonlyMap<string, string>>;
  auditSize(): Promise<number>;
}

export interface NewKey {
  readonly basis: string;
  readonly kid: string;
  readonly jwe: string;
  readonly publicHalf: string;
  readonly draft: AuditDraft;
}

export interface SealStore extends SealNotes {
  settledSize(): Promise<number>;
  holdSeal(holder: string, ms: number): Promise<number>;
  writeCheckpoint(
    checkpoint: Link & { basis: string; fence: number; most: number; draft: AuditDraft },
  ): Promise<number | 'overtaken' | 'behind'>;
  changeSealKey(key: NewKey): Promise<boolean>;
}

export interface SealOptions {
  /** A name that no other sealer has, and how long, in ms, its lease lasts. */
  readonly holder: string;
  readonly leaseMs: number;
  readonly keks: readonly Kek[];
}

/** What a run came to. */
export type SealRun =
  | ({ readonly kind: 'sealed'; readonly checkpoint: number; readonly key: SealKey } & Link)
  /** All is sealed, or another sealer does it. */
  | { readonly kind: 'nothing' | 'elsewhere' };

/**
 * So many entries may come between the last one that a checkpoint covers and the checkpoint: who verifies has to remember no more hashes than that. The
 * verifier has the same number.
 */
export const MOST_BETWEEN = 1_000;

/** For a log that grows as fast as it is read. */
const ATTEMPTS = 20;

export interface Sealer {
  /**
   * Writes a checkpoint if there is something to seal, and nobody else does it.
   * @throws RekeydError `seal_broken`, `kek_missing`, `key_tampered`: nothing was written
   */
  run(): Promise<SealRun>;
}

export function openSealer(store: SealStore, options: SealOptions): Sealer {
  /** The last checkpoint seen: by it an old state that was put back is noticed. */
  let seen: { readonly of: string; readonly checkpoint: number } | null = null;
  const hold = () => store.holdSeal(options.holder, options.leaseMs);

  function expectNewer({ store: id, segment }: SealState, checkpoint: number): void {
    const of = `${id} ${segment}`;
    if (seen?.of === of && checkpoint < seen.checkpoint) throw sealBroken(`checkpoint ${seen.checkpoint} is forgotten`);
    seen = { of, checkpoint };
  }

  async function seal(state: SealState, key: SealKey, lease: number): Promise<SealRun> {
    expectNewer(state, state.checkpoint);
    const problem = await startProblem(state, store);
    if (problem !== null) throw sealBroken(problem);
    const { basis, store: id, segment, before, checkpoint } = state;
    const previous = checkpoint > 0 ? state.sealed : (before ?? BEFORE_ALL);
    let [last, fence, isNews] = [state.sealed, lease, false];
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      for await (const page of chain(store, last, await store.settledSize())) {
        for (const { entry } of page) isNews = expectOurs(entry, state) || isNews;
        last = page.at(-1) ?? last;
        // A long log takes longer than a lease.
        if (page.length >= MOST_BETWEEN) fence = await hold();
      }
      if (!isNews) return { kind: 'nothing' };
      const { seq, hash } = last;
      const draft = await checkpointDraft({ store: id, segment, seq, hash, previous }, key);
      const written = await store.writeCheckpoint({ basis, fence, seq, hash, most: MOST_BETWEEN, draft });
      if (written === 'overtaken') break;
      if (written === 'behind') continue;
      expectNewer(state, written);
      return { kind: 'sealed', checkpoint: written, key, seq, hash };
    }
    return { kind: 'elsewhere' };
  }

  return {
    async run() {
      const fence = await hold();
      if (fence === 0) return { kind: 'elsewhere' };
      let state = await store.sealState();
      try {
        let key = await keyOf(state, store, options.keks);
        if (key === null) {
          await makeFirstKey(state, store, options.keks);
          state = await store.sealState();
          key = await keyOf(state, store, options.keks);
        }
        return key === null ? { kind: 'elsewhere' } : await seal(state, key, fence);
      } catch (error) {
        const isOvertaken = hasCode(error, 'seal_broken') && (await store.sealState()).basis !== state.basis;
        if (isOvertaken) return { kind: 'elsewhere' };
        throw error;
      }
    },
  };
}

/**
 * Why the log cannot be sealed, with what to do; null when it can. Writes nothing, and looks only where the next checkpoint begins: entries below the last one
 * are what `audit verify` is for.
 */
export async function sealProblem(store: SealNotes, keks: readonly Kek[]): Promise<RekeydError | null> {
  const state = await store.sealState();
  try {
    await keyOf(state, store, keks);
    const problem = await startProblem(state, store);
    if (problem !== null) throw sealBroken(problem);
    const end = Math.min(await store.auditSize(), state.sealed.seq + MOST_BETWEEN);
    for await (const page of chain(store, state.sealed, end)) {
      for (const { entry } of page) expectOurs(entry, state);
    }
    return null;
  } catch (error) {
    if (!keepsFromSealing(error)) throw error;
    return (await store.sealState()).basis === state.basis ? error : null;
  }
}

/** True for what a person has to mend before the log can be sealed again. */
export function keepsFromSealing(error: unknown): error is RekeydError {
  return hasCode(error, 'seal_broken') || hasCode(error, 'kek_missing') || hasCode(error, 'key_tampered');
}

/** Null: the log has none yet. @throws RekeydError `seal_broken`, `kek_missing`, `key_tampered` */
export async function keyOf(
  { kid, checkpoint }: SealState,
  store: Pick<SealNotes, 'sealedSealKey'>,
  keks: readonly Kek[],
): Promise<SealKey | null> {
  const jwe = await store.sealedSealKey();
  if (kid !== null && jwe !== null) return openSealKey(jwe, kid, keks);
  if (kid !== null) throw sealBroken(`its signing key ${kid} is gone`);
  if (jwe !== null || checkpoint > 0) throw sealBroken('the store does not say which key signed it');
  return null;
}

/** Unless another process is faster. @throws RekeydError `seal_broken` when the log was sealed before */
async function makeFirstKey(state: SealState, store: SealStore, keks: readonly Kek[]): Promise<void> {
  for await (const page of chain(store, state.sealed, await store.settledSize())) {
    for (const { entry } of page) expectOurs(entry, state);
  }
  const { kid, jwe, x } = await newSealKey(keks);
  const draft = createdDraft({ kid, x });
  await store.changeSealKey({ basis: state.basis, kid, jwe, publicHalf: x, draft });
}

/** Why the log cannot be sealed on from where the last checkpoint ended; null when it can. */
async function startProblem(
  { sealed, checkpoint, segment }: SealState,
  store: Pick<SealNotes, 'auditAfter' | 'sealPublicKeys'>,
): Promise<string | null> {
  const at = async (seq: number) => (await store.auditAfter(seq - 1, 1)).find((entry) => entry.seq === seq);
  if (checkpoint > 0) {
    const problem = await checkpointProblem(await at(checkpoint), sealed, await store.sealPublicKeys());
    return problem === null ? null : `checkpoint ${checkpoint} ${problem}`;
  }
  if (sealed.hash !== NO_HASH) return 'the checkpoint that it was sealed with last is forgotten';
  if (sealed.seq === 0) return null;
  const first = sealed.seq + 1 === segment ? await at(segment) : undefined;
  return first !== undefined && restarts(first) ? null : `entry ${segment} does not begin a segment`;
}

/** True for an entry that has to be sealed: a checkpoint alone is not news. @throws RekeydError `seal_broken` for what the store does not know of */
function expectOurs({ seq, type }: AuditEntry, { checkpoint, segment }: SealState): boolean {
  if (type === 'store.segment' && seq > segment) throw sealBroken(`entry ${seq} begins a segment that nobody declared`);
  if (type !== 'audit.sealed') return true;
  if (seq === checkpoint) return false;
  throw sealBroken(`entry ${seq} is a checkpoint that the store does not know of`);
}
