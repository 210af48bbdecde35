/** Looking keys up in a record. Every function here is total: a record that points at a key it does not hold is a bug, and says so. */
import type { PublicJwk } from './document.ts';
import { samePublicKey } from './public-key.ts';
import type { ClientRecord, ManagedKey, Retirement, Rotation } from './record.ts';

export function findKey(record: ClientRecord, kid: string): ManagedKey | undefined {
  // Newest first: a kid that came back (an imported key after its tombstone) means the living one.
  return record.keys.findLast((key) => key.kid === kid);
}

export function keyOf(record: ClientRecord, kid: string): ManagedKey {
  const key = findKey(record, kid);
  if (key === undefined) throw new Error(`the record of ${record.ref} points at key ${kid}, which it does not hold`);
  return key;
}

export function activeKey(record: ClientRecord): ManagedKey | undefined {
  return record.keys.find((key) => key.state === 'active');
}

/** The kid a rotation brings in, once it has one. */
export function incomingKid(rotation: Rotation | null): string | null {
  if (rotation === null || rotation.phase.name === 'requested') return null;
  return rotation.phase.kid;
}

/** True while the new key stands, or is about to stand, in the published document. */
export function isPublishing(rotation: Rotation): boolean {
  switch (rotation.phase.name) {
    case 'requested':
    case 'stored':
    case 'reverting':
      return false;
    case 'delivered':
    case 'published':
    case 'cut_over':
    case 'proven':
      return true;
    default:
      return rotation.phase satisfies never;
  }
}

/** An old key that signers still hold as `previous`. */
export function isHeldBack(retirement: Retirement): boolean {
  return retirement.kind !== 'discard' && retirement.phase !== 'refused';
}

/** Thrown away for another key of the same rotation, which has yet to take its place on the server. */
export function isReplaced(retirement: Retirement, rotation: Rotation | null): boolean {
  return retirement.kind === 'discard' && retirement.rotation === rotation?.id;
}

export function withKey(record: ClientRecord, kid: string, change: Partial<ManagedKey>): ClientRecord {
  const target = keyOf(record, kid);
  return { ...record, keys: record.keys.map((key) => (key === target ? { ...key, ...change } : key)) };
}

/** True for a published key whose private half is, or once was, ours. */
export function isOurs(record: ClientRecord, published: PublicJwk): boolean {
  return record.keys.some((key) => isKey(key, published));
}

/** True for a published key of somebody else that counts: it is not ours, and was not let go. */
export function isForeign(record: ClientRecord, published: PublicJwk): boolean {
  return !isOurs(record, published) && !record.dropped?.some((gone) => samePublicKey(gone, published));
}

/** Keys of others go for good, also where the server goes on showing them. */
export function letGo(record: ClientRecord, leaves: (key: PublicJwk) => boolean): ClientRecord {
  const gone = record.foreign.filter(leaves);
  if (gone.length === 0) return record;
  const foreign = record.foreign.filter((key) => !gone.includes(key));
  return { ...record, foreign, dropped: [...(record.dropped ?? []), ...gone] };
}

export function isKey({ jwk, pem }: ManagedKey, published: PublicJwk): boolean {
  return samePublicKey({ ...jwk, public_key_pem: pem }, published);
}
