/**
 * One name for a public key, whatever its encoding: the SHA-256 of its SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7), base64url. The same key may come as
 * JWK with odd padding, as PKCS#1, as certificate, or on a curve that is written out; comparing texts would take it for several.
 */
import { createPublicKey, hash, type JsonWebKey, type KeyObject, X509Certificate } from 'node:crypto';
import type { PublicJwk, PublishedKey } from '../core/document.ts';

/** The names of a key that follow from the key itself. */
export interface KeyNames {
  readonly id: string;
  /** RFC 7638, SHA-256, base64url; null for a key that has no JWK, such as one on a curve that nobody registered. */
  readonly thumbprint: string | null;
}

/** @param key public or private */
export function keyId(key: KeyObject): string {
  return keyNames(key).id;
}

/** @param key public or private */
export function keyNames(key: KeyObject): KeyNames {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key;
  // A key that was read from a written-out curve keeps that form, but not in its JWK.
  const jwk = attempt(() => publicKey.export({ format: 'jwk' }));
  if (jwk === null) return { id: spkiId(publicKey), thumbprint: null };
  return { id: spkiId(createPublicKey({ key: jwk, format: 'jwk' })), thumbprint: thumbprintOf(jwk) };
}

/** Over the members that RFC 7638 section 3.2 (and RFC 8037 section 2) requires, in their order, as Node exports them: without odd padding. */
export function thumbprintOf({ kty, crv, e, n, x, y }: JsonWebKey): string {
  return hash('sha256', JSON.stringify(kty === 'RSA' ? { e, kty, n } : { crv, kty, x, y }), 'base64url');
}

/** The same for a public key that was read from the members of its JWK. */
export function spkiId(key: KeyObject): string {
  return hash('sha256', key.export({ type: 'spki', format: 'der' }), 'base64url');
}

/** How many texts are remembered: reading a key costs a hundred times more than looking it up, and most are seen again and again. */
const REMEMBERED = 4_000;

/** Names by the text of a PEM, or of the members that make a JWK. What is remembered follows from that text alone. */
const remembered = new Map<string, KeyNames | null>();

function recall(text: string, read: () => KeyNames | null): KeyNames | null {
  const known = remembered.get(text);
  const names = known === undefined ? read() : known;
  // What was asked for last stays longest.
  remembered.delete(text);
  remembered.set(text, names);
  if (remembered.size > REMEMBERED) {
    const [oldest] = remembered.keys();
    if (oldest !== undefined) remembered.delete(oldest);
  }
  return names;
}

/**
 * An entry of a set with the ids of the keys in it. What cannot be read as a key has none, and is no error: it may be a foreign key of another kind. Keys are
 * read when their ids are first needed: those of most rows in a long list never are.
 */
export function publishedKey(jwk: PublicJwk): PublishedKey {
  let known: Ids | null = null;
  const read = () => {
    known ??= readIds(jwk);
    return known;
  };
  return {
    jwk,
    get ids() {
      return read().ids;
    },
    get pemId() {
      return read().pemId;
    },
  };
}

type Ids = Pick<PublishedKey, 'ids' | 'pemId'>;

function readIds(jwk: PublicJwk): Ids {
  const pemId = typeof jwk.public_key_pem === 'string' ? pemKeyId(jwk.public_key_pem) : null;
  return { ids: [...new Set(namesIn(jwk).map(({ id }) => id))], pemId };
}

/** The thumbprints of the keys that an entry of a set holds: see {@link PublishedKey.ids}. */
export function thumbprintsIn(jwk: PublicJwk): readonly string[] {
  return [...new Set(namesIn(jwk).flatMap(({ thumbprint }) => thumbprint ?? []))];
}

/** By its members, its PEM and its certificate. */
function namesIn(jwk: PublicJwk): readonly KeyNames[] {
  const pem = typeof jwk.public_key_pem === 'string' ? pemNames(jwk.public_key_pem) : null;
  return [memberNames(jwk), pem, certificateNames(jwk.x5c)].filter((names) => names !== null);
}

/** By the members that make the key; null when they make none. */
function memberNames(jwk: PublicJwk): KeyNames | null {
  return recall(membersOf(jwk), () => attempt(() => keyNames(createPublicKey({ key: jwk, format: 'jwk' }))));
}

function membersOf({ kty, crv, x, y, n, e }: PublicJwk): string {
  return JSON.stringify([kty, crv, x, y, n, e]);
}

/** Null for a text that holds no public key. */
export function pemKeyId(pem: string): string | null {
  return pemNames(pem)?.id ?? null;
}

function pemNames(pem: string): KeyNames | null {
  return recall(pem, () => attempt(() => keyNames(createPublicKey(wrapped(pem)))));
}

/** Both forms were seen to be the key of this id: they need not be read when a server shows them. */
export function rememberKey({
  id,
  thumbprint,
  jwk,
  pem,
}: KeyNames & { readonly jwk: PublicJwk; readonly pem: string }): void {
  const names = { id, thumbprint };
  recall(membersOf(jwk), () => names);
  recall(pem, () => names);
}

function certificateNames(x5c: unknown): KeyNames | null {
  const [first]: unknown[] = Array.isArray(x5c) ? x5c : [];
  if (typeof first !== 'string') return null;
  return attempt(() => keyNames(new X509Certificate(Buffer.from(first, 'base64')).publicKey));
}

/** OpenSSL wants line breaks where servers do without: a PEM on one line verifies at Wacht. */
export function wrapped(pem: string): string {
  const [, label, body] = /-----BEGIN ([A-Z0-9 ]+)-----([A-Za-z0-9+/=\s]+)-----END \1-----/.exec(pem) ?? [];
  if (label === undefined || body === undefined) return pem;
  const lines = body.replace(/\s+/g, '').match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
}

function attempt<T>(read: () => T): T | null {
  try {
    return read();
  } catch {
    return null;
  }
}
