/**
 * How a key is looked up among 100,000 clients: each of its names (its id, its thumbprint, its `kid`) has a mark of 10 characters, and the store knows by mark
 * which clients to look at. A mark says nothing else: a look-up compares its names with those in the record.
 */
import { hash } from 'node:crypto';
import type { FormerKey } from '../core/keys.ts';
import type { ClientRecord } from '../core/record.ts';
import { thumbprintsIn } from './key-id.ts';

/** Of base64url: 60 bits. Two names of a fleet hardly share one; where they do, one record is read in vain. */
const MARK_LENGTH = 10;

/**
 * The mark of a name is the beginning of the SHA-256 of its SHA-256: so the hash of a name alone finds the key too. What somebody takes for a name
 * or a hash may be a private key; hashed once at least, nothing of it gets to the store.
 */
function markOf(name: string): string {
  return markOfHash(hash('sha256', name, 'base64url'));
}

function markOfHash(hashed: string): string {
  return hash('sha256', hashed, 'base64url').slice(0, MARK_LENGTH);
}

/** Longer names come from people who want to break something. */
const LONGEST_KID = 256;

/** False: a key with this name is found by reading all records. */
export function isMarked(name: string): boolean {
  return name.length <= LONGEST_KID;
}

/** The marks of all keys that a client has, had and shows, in order, with blanks between them. Keys that were forgotten by the record have none. */
export function marksOf({ keys, former, server }: ClientRecord): string {
  const shown = server.observed.client.keys.flatMap(({ ids, jwk }) => [...ids, ...thumbprintsIn(jwk), kidOf(jwk.kid)]);
  const ours = keys.flatMap(({ id, thumbprint, kid }) => [id, thumbprint, kidOf(kid)]);
  const past = former.flatMap(formerNames);
  const names = [...ours, ...past, ...shown].filter((name) => name !== null);
  return [...new Set(names.map(markOf))].sort().join(' ');
}

/**
 * Of keys that are gone there are many: by the id only those that were reported, and those with a thumbprint that is not known. A caller that has such a key knows its
 * thumbprint too.
 */
function formerNames({ id, thumbprint, kid, compromised }: FormerKey): readonly (string | null)[] {
  const isFound = thumbprint !== undefined || hashIn(kid) === kid;
  return [thumbprint ?? null, kidOf(kid), compromised || !isFound ? id : null];
}

function kidOf(kid: unknown): string | null {
  return typeof kid === 'string' && kid !== '' && isMarked(kid) ? kid : null;
}

/** SHA-256 in hex, as most programs print it. */
const HEX = /^[0-9a-f]{64}$/i;

/** SHA-256 in base64, of either alphabet. */
const BASE64 = /^[A-Za-z0-9+/_-]{43}=?$/;

/** A SHA-256 hash as base64url, in whatever text it comes; null for any other name. */
export function hashIn(name: string): string | null {
  if (HEX.test(name)) return Buffer.from(name, 'hex').toString('base64url');
  return BASE64.test(name) ? Buffer.from(name, 'base64').toString('base64url') : null;
}

/** The marks under which a key with this name is found: see {@link isNamed}. */
export function marksFor(name: string): readonly string[] {
  const hashed = hashIn(name);
  const marks = hashed === null ? [markOf(name)] : [markOf(name), markOf(hashed), markOfHash(hashed)];
  return [...new Set(marks)];
}

/** What a name may be of a key. `id` is the SHA-256 of its DER SubjectPublicKeyInfo; `thumbprint_sha256` the SHA-256 of the thumbprint's 43 characters. */
export type NamedBy = 'kid' | 'thumbprint' | 'id' | 'thumbprint_sha256';

/** @param names of a key; those that are not known are left out */
export function namedBy(
  name: string,
  names: { readonly kid: string | null; readonly thumbprints: readonly string[]; readonly ids: readonly string[] },
): NamedBy | null {
  const hashed = hashIn(name) ?? name;
  if (names.thumbprints.includes(hashed)) return 'thumbprint';
  if (names.ids.includes(hashed)) return 'id';
  if (names.kid === name) return 'kid';
  return names.thumbprints.some((one) => hash('sha256', one, 'base64url') === hashed) ? 'thumbprint_sha256' : null;
}
