/** What a person does to the seal: another signing key, or another segment when the log cannot be sealed on. */
import type { AuditDraft } from '../core/audit.ts';
import { RekeydError } from '../errors.ts';
import type { Kek } from '../keys/kek.ts';
import { type Cause, rotatedDraft } from './checkpoint.ts';
import { keepsFromSealing, keyOf, type NewKey, type SealNotes, sealProblem } from './seal.ts';
import { newSealKey, rewrapSealKey } from './seal-key.ts';

/** A sealer, or somebody else at the command line, changes the same state. */
const ATTEMPTS = 20;

/**
 * Makes another signing key. The old one signs the entry that names it, and its private half is erased.
 * @returns the kids of the old one and of the new one
 * @throws RekeydError `usage` (there is none yet), `seal_broken`, `kek_missing`, `key_tampered`
 */
export async function rotateSealKey(
  store: SealNotes & { changeSealKey(key: NewKey): Promise<boolean> },
  keks: readonly Kek[],
  cause: Cause,
): Promise<{ readonly before: string; readonly kid: string }> {
  const key = await newSealKey(keks);
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const state = await store.sealState();
    const old = await keyOf(state, store, keks);
    if (old === null)
      throw new RekeydError('usage', 'The audit log has no signing key yet: the first worker makes one.');
    const change = { basis: state.basis, kid: key.kid, jwe: key.jwe, publicHalf: key.x };
    const draft = await rotatedDraft(state, old, key, cause);
    if (await store.changeSealKey({ ...change, draft })) return { before: old.kid, kid: key.kid };
  }
  throw changing();
}

function changing(): RekeydError {
  return new RekeydError('store_conflict', 'The seal changes all the time: nothing was changed. Try again.');
}

/**
 * Puts the signing key under the first KEK.
 * @returns false when it is under that one already, or there is none
 * @throws RekeydError `kek_missing`, `key_tampered`, `store_conflict`
 */
export async function rewrapSeal(
  store: Pick<SealNotes, 'sealState' | 'sealedSealKey'> & {
    replaceSealKey(before: string, after: string): Promise<boolean>;
  },
  keks: readonly Kek[],
): Promise<boolean> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const [{ kid }, jwe] = [await store.sealState(), await store.sealedSealKey()];
    const fresh = kid === null || jwe === null ? null : await rewrapSealKey(jwe, kid, keks);
    if (jwe === null || fresh === null) return false;
    // When another process was faster, its key may be under another KEK of its own config.
    if (await store.replaceSealKey(jwe, fresh)) return true;
  }
  throw changing();
}

export interface NewSegment {
  /** The number of its first entry. */
  readonly first: number;
  /** Why there has to be one. */
  readonly why: string;
  /** False: the signing key cannot be used any more, and the next sealer makes another one. */
  readonly keepsKey: boolean;
}

/**
 * Begins a segment with a chain of its own, declared by its first entry. What came after the last checkpoint before it is never sealed.
 * @throws RekeydError `usage` when the log can be sealed
 */
export async function beginSegment(
  store: SealNotes & { beginSegment(basis: string, keepKey: boolean, draft: AuditDraft): Promise<number | null> },
  keks: readonly Kek[],
  cause: Cause,
): Promise<NewSegment> {
  const state = await store.sealState();
  const problem = await sealProblem(store, keks);
  if (problem === null) {
    throw new RekeydError('usage', 'The audit log can be sealed as it is: there is nothing to begin anew.');
  }
  const keepsKey = await keyOf(state, store, keks).then(
    (key) => key !== null,
    (error: unknown) => {
      if (keepsFromSealing(error)) return false;
      throw error;
    },
  );
  const { seq, hash } = state.sealed;
  const data = { store: state.store, restart: true, why: problem.code, sealed: seq, sealed_hash: hash };
  const draft: AuditDraft = { type: 'store.segment', client: null, rotation: null, ...cause, data };
  const first = await store.beginSegment(state.basis, keepsKey, draft);
  if (first === null) throw new RekeydError('store_conflict', 'The seal was changed just now: look again.');
  return { first, why: problem.message, keepsKey };
}
