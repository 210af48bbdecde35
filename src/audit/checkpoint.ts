/** Checkpoints: entries of the log that say, signed, how far it is sealed and with which hash. And the statement by which one signing key hands over to the next. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { CompactSign, compactVerify } from 'jose';
import type { AuditData, AuditDraft, AuditEntry } from '../core/audit.ts';
import { members, parseJson } from '../core/reply.ts';
import type { Link } from './chain.ts';
import type { SealKey } from './seal-key.ts';

export interface Checkpoint extends Link {
  readonly store: string;
  /** The number of the entry that began the segment. */
  readonly segment: number;
  /** What the checkpoint before covers; entry 0 when there is none. */
  readonly previous: Link;
}

const AUTHOR = { client: null, rotation: null, actor: 'rekeyd' } as const;

/** The entry that seals the log up to `seq`. */
export async function checkpointDraft(checkpoint: Checkpoint, key: SealKey): Promise<AuditDraft> {
  const { seq, hash } = checkpoint;
  const jws = await sign(claimsOf(checkpoint), key);
  return { ...AUTHOR, type: 'audit.sealed', reason: 'seal', data: { seq, hash, kid: key.kid, jws } };
}

/** Null, or why this is not the entry of that checkpoint. */
export async function checkpointProblem(
  entry: AuditEntry | undefined,
  { seq, hash }: Link,
  publicKeys: ReadonlyMap<string, string>,
): Promise<string | null> {
  if (entry?.type !== 'audit.sealed') return 'is gone';
  const { seq: covered, hash: stated, kid, jws } = entry.data;
  if (covered !== seq || stated !== hash) return 'does not cover what the store says that it covers';
  const x = publicKeys.get(String(kid));
  if (x === undefined) return `is signed with the key ${kid}, which the store does not know`;
  try {
    const { payload } = await compactVerify(String(jws), publicKeyOf(x), { algorithms: ['EdDSA'] });
    const claims = members(parseJson(new TextDecoder().decode(payload)));
    const isThis = claims.type === 'audit.sealed' && claims.seq === seq && claims.hash === hash;
    return isThis ? null : 'is signed for another entry';
  } catch {
    return 'has a signature that is not valid';
  }
}

export function createdDraft({ kid, x }: Pick<SealKey, 'kid' | 'x'>): AuditDraft {
  return { ...AUTHOR, type: 'audit.key_created', reason: 'the log had no signing key', data: { kid, x } };
}

export type Cause = Pick<AuditDraft, 'actor' | 'claimed_by' | 'reason'>;

/** The entry by which the old key names the new one. @param sealed how far the log is sealed by then */
export async function rotatedDraft(
  { store, sealed }: { readonly store: string; readonly sealed: Link },
  from: SealKey,
  { kid, x }: SealKey,
  cause: Cause,
): Promise<AuditDraft> {
  const { seq, hash } = sealed;
  const jws = await sign({ type: 'audit.key_rotated', store, kid, x, seq, hash }, from);
  return { ...AUTHOR, ...cause, type: 'audit.key_rotated', data: { kid, x, before: from.kid, jws } };
}

function claimsOf({ store, segment, seq, hash, previous }: Checkpoint): AuditData {
  return {
    type: 'audit.sealed',
    store,
    segment,
    seq,
    hash,
    previous_seq: previous.seq,
    previous_hash: previous.hash,
  };
}

async function sign(claims: AuditData, { kid, privateKey }: SealKey): Promise<string> {
  const payload = new TextEncoder().encode(JSON.stringify(claims));
  return new CompactSign(payload).setProtectedHeader({ alg: 'EdDSA', kid }).sign(privateKey.keyObject());
}

/** @param x of its JWK */
export function publicKeyOf(x: string): KeyObject {
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
}
