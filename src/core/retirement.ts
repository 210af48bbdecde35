/** Keys on their way out. Each outlives the rotation that replaced it; several may be on their way at once. */
import { nextHearing, RECENT_MS, recentReports } from './hearing.ts';
import type { RotationSummary } from './history.ts';
import { findKey, holds, type ManagedKey } from './keys.ts';
import type { Policy } from './policy.ts';
import type { ClientRecord } from './record.ts';
import type { Rotation } from './rotation.ts';
import { NO_TRIES, type Tries } from './tries.ts';

export interface Retirement {
  /** Null: the old key was a foreign one. There is nothing to prove and nothing to destroy. */
  readonly kid: string | null;
  /** `replaced`: it was active, and its end is the end of its rotation. `discarded`: it never became active. */
  readonly role: 'replaced' | 'discarded';
  /**
   * `overlap`: published beside its successor until `until`. `withdrawing`: it has to leave the published document. `withdrawn`: it has left, and from
   * `until` on it must be refused. `refused`: the server was seen to refuse it, or it was never published. Then its private half is destroyed.
   */
  readonly phase: 'overlap' | 'withdrawing' | 'withdrawn' | 'refused';
  /** Milliseconds since the epoch. */
  readonly until: number;
  /** The `kid`s that it stood under and was not yet seen refused under: a server that picks by `kid` may hold it under several. */
  readonly names: readonly string[];
  /** The rotation that replaced or discarded it. */
  readonly rotation: RotationSummary;
  /** Whether foreign keys leave the document together with it. */
  readonly foreignKeys: Policy['foreignKeys'];
  /** People were told that signers keep it in its overlap for too long. */
  readonly delayed?: true;
  readonly tries: Tries;
  /** The rotation that was putting this key back. It may bring in another key instead, which then has to be on the server before this one leaves. */
  readonly yieldsTo?: string;
}

export function retire(
  record: ClientRecord,
  key: ManagedKey | undefined,
  how: Pick<Retirement, 'role' | 'phase' | 'until' | 'rotation'>,
): Retirement {
  const names = key === undefined ? [] : [key.kid, ...aliasesOf(record, key)];
  const foreignKeys = how.role === 'replaced' ? (record.rotation?.foreignKeys ?? 'keep') : 'keep';
  return { kid: key?.kid ?? null, ...how, names, foreignKeys, tries: NO_TRIES };
}

/** Other `kid`s under which the server shows this key, or showed it before a cutover. */
function aliasesOf({ server, rotation }: ClientRecord, { id, kid }: ManagedKey): readonly string[] {
  const stood = [...server.observed.client.keys, ...(rotation?.before?.keys ?? [])];
  const kids = stood.filter((shown) => holds(shown, id)).map(({ jwk }) => jwk.kid);
  return [...new Set(kids)].filter((name) => typeof name === 'string' && name !== kid) as string[]; // filtered just here
}

/** Signers keep it as `previous` until the server is seen to refuse it. */
export function isWithSigners({ role, phase }: Retirement): boolean {
  return role === 'replaced' && phase !== 'refused';
}

/** Thrown away for another key of the same rotation, which has yet to take its place on the server. */
export function isSuperseded({ role, rotation, yieldsTo }: Retirement, current: Rotation | null): boolean {
  if (current === null) return false;
  return yieldsTo === current.id || (role === 'discarded' && rotation.id === current.id);
}

export function isUrgent(record: ClientRecord, { kid }: Retirement): boolean {
  return kid !== null && findKey(record, kid)?.state === 'compromised';
}

/**
 * True while the overlap of a key of ours cannot end, although its time is over: a signer reported lately that it still signs with it. Signers are heard
 * before that is known. Where they cannot be heard, they get the time in which a report counts. A compromise waits for nobody.
 */
function isHeldBySigners(record: ClientRecord, old: Retirement, now: number): boolean {
  const { kid, until } = old;
  if (kid === null || isUrgent(record, old) || record.rotation?.compromised != null) return false;
  if (now >= nextHearing(record, until, now)) return true;
  const isUnheard = record.signers.reported?.error != null && now < until + RECENT_MS;
  return isUnheard || recentReports(record, now).some(({ signing }) => signing === kid);
}

/** Moves what only time moves: an overlap that is over begins to be withdrawn, and nothing undoes that. */
export function ripen(record: ClientRecord, now: number): ClientRecord {
  const isRipe = (old: Retirement) => old.phase === 'overlap' && now >= old.until && !isHeldBySigners(record, old, now);
  if (!record.retirements.some(isRipe)) return record;
  return withRetirements(record, (old) => (isRipe(old) ? { ...old, phase: 'withdrawing' } : old));
}

export function withRetirements(record: ClientRecord, change: (old: Retirement) => Retirement): ClientRecord {
  return { ...record, retirements: record.retirements.map(change) };
}

export function withRetirement(record: ClientRecord, target: Retirement, change: Partial<Retirement>): ClientRecord {
  return withRetirements(record, (old) => (isSame(old, target) ? { ...old, ...change } : old));
}

/** A key of ours has at most one retirement; a foreign key has one per rotation. */
export function isSame(a: Retirement, b: Retirement): boolean {
  return a.kid === b.kid && a.rotation.id === b.rotation.id;
}
