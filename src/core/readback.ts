/**
 * Whether the server holds what was sent. A 200 does not say so: the server ignores members that it does not clear, another program may have written in
 * between, and the server stores keys in a shape of its own.
 */
import type { KeyDocument, ObservedKeys, PublishedKey } from './document.ts';
import { sameJson } from './json.ts';

/** What Wacht shows for a key that was registered as `public_key_pem`. It is no registered `kty`, and jose throws on it. */
export const PEM_KTY = 'PEM';

/**
 * Compares keys by id, their order, `kid`, `alg` and PEM. Members that are null do not count, nor do members that the server adds.
 *
 * @returns null when they are equal, else the first difference: a short text that holds public material only
 */
export function readBack(sent: KeyDocument, seen: ObservedKeys): string | null {
  if (seen.alg !== sent.alg) return differs('token_endpoint_auth_signing_alg', seen.alg, sent.alg);
  switch (sent.format) {
    case 'jwks_uri':
      return seen.jwksUri === sent.uri ? null : differs('jwks_uri', seen.jwksUri, sent.uri);
    case 'pem':
      return pemDifference(sent.id, seen.keys);
    case 'jwks':
      return setDifference(sent.keys, seen.keys);
    default:
      return sent satisfies never;
  }
}

/** The server stores a PEM as a set of one key, in place of the whole set. */
function pemDifference(id: string, seen: readonly PublishedKey[]): string | null {
  const [only, ...others] = seen;
  if (only === undefined || others.length > 0)
    return `the server shows ${seen.length} keys instead of the one PEM that was sent`;
  return only.pemId === id ? null : 'the server shows another public_key_pem than the one that was sent';
}

function setDifference(sent: readonly PublishedKey[], seen: readonly PublishedKey[]): string | null {
  if (sent.length !== seen.length) return `the server shows ${seen.length} keys instead of ${sent.length}`;
  for (const [index, key] of sent.entries()) {
    const shown = seen[index];
    const difference = shown === undefined ? 'is missing' : keyDifference(key, shown);
    if (difference !== null) return `key ${index + 1} of ${sent.length} ${difference}`;
  }
  return null;
}

function keyDifference(sent: PublishedKey, seen: PublishedKey): string | null {
  if (!isSameEntry(sent, seen)) return 'is not the key that was sent in this place';
  for (const member of ['kid', 'alg']) {
    const value = sent.jwk[member] ?? null;
    if (value !== null && !sameJson(seen.jwk[member], value)) return `has ${differs(member, seen.jwk[member], value)}`;
  }
  // Wacht verifies with this member alone, so a server that drops or changes it may refuse every login.
  if (sent.pemId !== null && seen.pemId !== sent.pemId)
    return 'has another public_key_pem than the one that was sent, or none';
  return null;
}

function isSameEntry(sent: PublishedKey, seen: PublishedKey): boolean {
  if (sent.ids.length > 0) return sent.ids.length === seen.ids.length && sent.ids.every((id) => seen.ids.includes(id));
  // A foreign entry that nobody can read as a key: its members have to be there.
  return Object.entries(sent.jwk).every(
    ([member, value]) => (value ?? null) === null || sameJson(value, seen.jwk[member]),
  );
}

function differs(what: string, seen: unknown, sent: unknown): string {
  return `${what} ${show(seen)} instead of ${show(sent)}`;
}

function show(value: unknown): string {
  return (JSON.stringify(value ?? null) ?? 'null').slice(0, 120);
}
