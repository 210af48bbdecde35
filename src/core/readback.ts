/**
 * Whether the server holds what was sent. A 200 does not say so: the server ignores members it does not like to clear, somebody else may have
 * written in between, and it re-shapes what it stores.
 */
import type { KeyDocument, ObservedClient, PublicJwk } from './document.ts';
import { PEM_KTY, pemBody, pemOf, sameJson, sameKeyMembers, samePublicKey } from './public-key.ts';

/**
 * Compares the client in a PATCH's answer with the document that was sent: keys by their key members, their order, `kid`, `alg` and PEM (as
 * DER). Members that are null, and members that the server adds, do not count.
 *
 * @returns null when they are equal, else the first difference as a short text that holds public material only
 */
export function readBack(sent: KeyDocument, seen: ObservedClient): string | null {
  if (seen.alg !== sent.token_endpoint_auth_signing_alg) {
    return differs('token_endpoint_auth_signing_alg', seen.alg, sent.token_endpoint_auth_signing_alg);
  }
  if (sent.jwks_uri !== undefined && seen.jwksUri !== sent.jwks_uri) {
    return differs('jwks_uri', seen.jwksUri, sent.jwks_uri);
  }
  if (sent.public_key_pem !== undefined) return pemDifference(sent.public_key_pem, seen.keys);
  return sent.jwks === undefined ? null : setDifference(sent.jwks.keys, seen.keys);
}

/** The server stores a PEM as a set of one key, in place of the whole set. */
function pemDifference(sent: string, seen: readonly PublicJwk[]): string | null {
  const [only, ...others] = seen;
  if (only === undefined || others.length > 0)
    return `the server shows ${seen.length} keys instead of the one PEM that was sent`;
  return pemOf(only) === pemBody(sent) ? null : 'the server shows another public_key_pem than the one that was sent';
}

function setDifference(sent: readonly PublicJwk[], seen: readonly PublicJwk[]): string | null {
  if (sent.length !== seen.length) return `the server shows ${seen.length} keys instead of ${sent.length}`;
  for (const [index, key] of sent.entries()) {
    const shown = seen[index];
    const difference = shown === undefined ? 'is missing' : keyDifference(key, shown);
    if (difference !== null) return `key ${index + 1} of ${sent.length} ${difference}`;
  }
  return null;
}

function keyDifference(sent: PublicJwk, seen: PublicJwk): string | null {
  if (!isSameEntry(sent, seen)) return 'is not the key that was sent in this place';
  for (const member of ['kid', 'alg']) {
    const value = sent[member] ?? null;
    if (value !== null && !sameJson(seen[member], value)) return `has ${differs(member, seen[member], value)}`;
  }
  const pem = pemOf(sent);
  // Wacht verifies with this member alone, so a server that drops or changes it may refuse every login.
  if (pem !== null && pemOf(seen) !== pem) return 'has another public_key_pem than the one that was sent, or none';
  return null;
}

function isSameEntry(sent: PublicJwk, seen: PublicJwk): boolean {
  if (sent.kty === PEM_KTY ? samePublicKey(sent, seen) : sameKeyMembers(sent, seen)) return true;
  // Somebody else's entry may lack the members of its kind, and is the same all the same.
  return Object.entries(sent).every(([member, value]) => (value ?? null) === null || sameJson(value, seen[member]));
}

function differs(what: string, seen: unknown, sent: unknown): string {
  return `${what} ${show(seen)} instead of ${show(sent)}`;
}

function show(value: unknown): string {
  return (JSON.stringify(value ?? null) ?? 'null').slice(0, 120);
}
