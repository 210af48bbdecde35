/** When two pieces of public key material are the same key. Works on what servers show, without parsing keys: an odd entry is compared, not rejected. */
import type { PublicJwk } from './document.ts';

/** The members that make the key, per `kty`: what an RFC 7638 thumbprint covers. A Map, because `kty` comes from outside. */
const STANDARD_MEMBERS: ReadonlyMap<string, readonly string[]> = new Map([
  ['RSA', ['n', 'e']],
  ['EC', ['crv', 'x', 'y']],
  ['OKP', ['crv', 'x']],
]);

/** What Wacht shows for a key that was registered as `public_key_pem`: not a registered `kty`, and jose throws on it. */
export const PEM_KTY = 'PEM';

/** True when two keys have the same `kty` and the same key members; a `kty` that is not known compares as JSON, null members left out. */
export function sameKeyMembers(a: PublicJwk, b: PublicJwk): boolean {
  if (a.kty !== b.kty || a.kty === PEM_KTY) return false;
  const members = STANDARD_MEMBERS.get(a.kty);
  if (members === undefined) return sameJson(a, b);
  return members.every((member) => typeof a[member] === 'string' && a[member] === b[member]);
}

/** True when both are the same public key: by their key members, or by the PEM that both carry. */
export function samePublicKey(a: PublicJwk, b: PublicJwk): boolean {
  if (sameKeyMembers(a, b)) return true;
  const pem = pemOf(a);
  return pem !== null && pem === pemOf(b);
}

/** The base64 text of a PEM (RFC 7468) without its boundary lines and white space: equal bodies are equal DER. */
export function pemBody(pem: string): string {
  return pem.replace(/-----(?:BEGIN|END) [^-]*-----/g, '').replace(/\s+/g, '');
}

/** The {@link pemBody} of a JWK's member `public_key_pem`, or null when it has none. */
export function pemOf(jwk: PublicJwk): string | null {
  if (typeof jwk.public_key_pem !== 'string') return null;
  return pemBody(jwk.public_key_pem) || null;
}

/** Equality of JSON values: the order of members does not matter, and a member that is null counts as absent. */
export function sameJson(a: unknown, b: unknown): boolean {
  return canonical(a) === canonical(b);
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const members = Object.entries(value)
    .filter(([, member]) => member !== null && member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`);
  return `{${members.join(',')}}`;
}
