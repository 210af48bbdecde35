/** Looks for private key material in bytes that should not hold any. */
import { createPrivateKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The members of a private JWK that make it private (RFC 7518 section 6, RFC 8037 section 2). */
const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi'] as const;

/** Shorter ones would be found by chance. */
const SHORTEST = 16;

export interface Needle {
  /** Of which key, and in which form. */
  readonly name: string;
  readonly bytes: Buffer;
}

/** Every form in which the private half of a key is likely to slip out. */
export function needlesOf(kid: string, key: KeyObject): Needle[] {
  const jwk: JsonWebKey = key.export({ format: 'jwk' });
  const secrets: [string, Buffer][] = PRIVATE_MEMBERS.flatMap((member) => {
    const value = jwk[member];
    return typeof value === 'string' ? [[member, Buffer.from(value, 'base64url')]] : [];
  });
  const der = key.export({ format: 'der', type: 'pkcs8' });
  const pem = key.export({ format: 'pem', type: 'pkcs8' }).toString().split('\n');
  return [
    ...secrets.flatMap(([member, bytes]) => formsOf(`${kid} ${member}`, bytes)),
    // As OpenSSL holds a number on most machines: the lowest byte first.
    ...secrets.map(([member, bytes]) => ({ name: `${kid} ${member} reversed`, bytes: Buffer.from(bytes).reverse() })),
    ...formsOf(`${kid} PKCS#8`, der),
    // The last whole line of the PEM: the first ones of all keys of a kind look alike.
    { name: `${kid} PEM`, bytes: Buffer.from(pem.slice(1, -2).findLast((line) => line.length >= SHORTEST) ?? der) },
  ];
}

function formsOf(name: string, bytes: Buffer): Needle[] {
  // Without its padding, and without the last character, whose bits depend on what follows.
  const text = (encoding: 'base64' | 'base64url') => bytes.toString(encoding).replace(/.=*$/, '');
  return [
    { name: `${name} raw`, bytes },
    { name: `${name} base64`, bytes: Buffer.from(text('base64')) },
    { name: `${name} base64url`, bytes: Buffer.from(text('base64url')) },
    { name: `${name} hex`, bytes: Buffer.from(bytes.toString('hex')) },
    { name: `${name} HEX`, bytes: Buffer.from(bytes.toString('hex').toUpperCase()) },
  ];
}

export function findNeedles(needles: readonly Needle[], haystack: Buffer): string[] {
  return [...searchFor(needles)(haystack)];
}

/** Up to so many are found faster one after the other. */
const FEW = 8;

/** Four bytes in the middle of a needle: keys of a kind begin alike. */
const anchorAt = ({ bytes }: Needle) => (bytes.length >> 1) - 2;

/** Of all values of four bytes, those that may begin an anchor: one bit for each value of 24 bits that they are folded into. */
const FOLDED_BITS = 24;

function fold(value: number): number {
  return Math.imul(value, 0x9e3779b1) >>> (32 - FOLDED_BITS);
}

/**
 * Thousands of needles at once, in one pass over the haystack.
 * @returns the names of the needles that are in a haystack, once each
 */
export function searchFor(needles: readonly Needle[]): (haystack: Buffer) => Set<string> {
  if (needles.length <= FEW) {
    return (haystack) => new Set(needles.filter(({ bytes }) => haystack.includes(bytes)).map(({ name }) => name));
  }
  const byAnchor = new Map<number, Needle[]>();
  const possible = new Uint8Array(2 ** (FOLDED_BITS - 3));
  for (const needle of needles) {
    const anchor = needle.bytes.readUInt32BE(anchorAt(needle));
    byAnchor.set(anchor, [...(byAnchor.get(anchor) ?? []), needle]);
    const bit = fold(anchor);
    possible[bit >> 3] = (possible[bit >> 3] ?? 0) | (1 << (bit & 7));
  }
  return (haystack) => {
    const found = new Set<string>();
    let last = 0;
    for (let at = 0; at < haystack.length; at += 1) {
      last = (last << 8) | (haystack[at] ?? 0);
      const bit = fold(last);
      if (at < 3 || ((possible[bit >> 3] ?? 0) & (1 << (bit & 7))) === 0) continue;
      for (const needle of byAnchor.get(last >>> 0) ?? []) {
        const start = at - 3 - anchorAt(needle);
        if (haystack.subarray(Math.max(0, start), start + needle.bytes.length).equals(needle.bytes))
          found.add(needle.name);
      }
    }
    return found;
  };
}

/** The private keys in a client's folder, by kid. */
export async function keysIn(folder: string): Promise<Map<string, KeyObject>> {
  const found = new Map<string, KeyObject>();
  for (const name of await readdir(folder)) {
    if (!/^(current|next|previous)\.jwk\.json$/.test(name)) continue;
    const jwk = JSON.parse(await readFile(join(folder, name), 'utf8'));
    found.set(jwk.kid, createPrivateKey({ key: jwk, format: 'jwk' }));
  }
  return found;
}

/** All files below a folder, one after the other. */
export async function filesIn(folder: string): Promise<Buffer> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
  return Buffer.concat(await Promise.all(files.map((file) => readFile(file))));
}
