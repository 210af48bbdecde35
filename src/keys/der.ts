/** As much of DER (X.690) as it takes to tell what a binary file is, and how much work a passphrase would be. */

interface Element {
  readonly tag: number;
  readonly content: Uint8Array;
  /** Where the next one begins. */
  readonly end: number;
}

const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const SEQUENCE = 0x30;

/** Lengths above 16 MiB are not read. */
const MOST_LENGTH_BYTES = 3;

function elementAt(bytes: Uint8Array, at: number): Element | null {
  const [tag, first] = [bytes[at], bytes[at + 1]];
  if (tag === undefined || first === undefined) return null;
  const count = first < 0x80 ? 0 : first - 0x80;
  if (first === 0x80 || count > MOST_LENGTH_BYTES) return null;
  const from = at + 2 + count;
  let length = count === 0 ? first : 0;
  for (const byte of bytes.subarray(at + 2, from)) length = length * 256 + byte;
  if (from + length > bytes.length) return null;
  return { tag, content: bytes.subarray(from, from + length), end: from + length };
}

/** What stands in a constructed element; null when that is no DER. */
function elementsOf(bytes: Uint8Array): readonly Element[] | null {
  const found: Element[] = [];
  for (let at = 0; at < bytes.length; ) {
    const element = elementAt(bytes, at);
    if (element === null) return null;
    found.push(element);
    at = element.end;
  }
  return found;
}

/** The PEM label (RFC 7468) of what a DER file holds, `PKCS12` for a key store; null for anything else. */
export function labelOf(bytes: Uint8Array): string | null {
  const outer = elementAt(bytes, 0);
  if (outer === null || outer.tag !== SEQUENCE || outer.end !== bytes.length) return null;
  const inner = elementsOf(outer.content);
  if (inner === null) return null;
  const [first, second, third] = inner;
  const version = first?.tag === INTEGER && first.content.length === 1 ? first.content[0] : null;
  if (version === 3) return 'PKCS12';
  if (version === 1 && second?.tag === OCTET_STRING) return 'EC PRIVATE KEY';
  if (version !== null && second?.tag === SEQUENCE) return 'PRIVATE KEY';
  if (version !== null && second?.tag === INTEGER && inner.length > 2) return 'RSA PRIVATE KEY';
  if (first?.tag === INTEGER && second?.tag === INTEGER) return 'RSA PUBLIC KEY';
  if (first?.tag !== SEQUENCE) return null;
  if (second?.tag === OCTET_STRING) return 'ENCRYPTED PRIVATE KEY';
  if (second?.tag === BIT_STRING) return 'PUBLIC KEY';
  return second?.tag === SEQUENCE && third?.tag === BIT_STRING ? 'CERTIFICATE' : null;
}

/** Algorithms are nested no deeper than this. */
const MOST_DEPTH = 8;

/**
 * The largest number in the algorithm of an EncryptedPrivateKeyInfo (RFC 5958 section 3): its rounds of hashing, if it has any. Infinity when it cannot be
 * read.
 */
export function roundsOf(bytes: Uint8Array): number {
  const outer = elementAt(bytes, 0);
  const algorithm = outer === null ? null : elementAt(outer.content, 0);
  return algorithm === null ? Number.POSITIVE_INFINITY : largest(algorithm.content, MOST_DEPTH);
}

function largest(bytes: Uint8Array, levels: number): number {
  const elements = elementsOf(bytes);
  if (elements === null || levels === 0) return Number.POSITIVE_INFINITY;
  return elements.reduce((most, { tag, content }) => Math.max(most, numberIn(tag, content, levels)), 0);
}

function numberIn(tag: number, content: Uint8Array, levels: number): number {
  if (tag === SEQUENCE) return largest(content, levels - 1);
  if (tag !== INTEGER) return 0;
  return content.reduce((value, byte) => value * 256 + byte, 0);
}
