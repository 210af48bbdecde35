/** Texts of others on their way into a message: a program's output, a server's answer. None with a part of a private key in it gets there. */
import type { JsonWebKey } from 'node:crypto';
import { shortMessage } from '../core/reply.ts';
import type { SinkContents } from './sink.ts';

/** Characters that a text and a key must have in common. Less is found by chance; twelve of base64 are 72 bits. */
const PIECE = 12;

/** The members that make a JWK private (RFC 7518 section 6, RFC 8037 section 2). */
const PRIVATE = ['d', 'p', 'q', 'dp', 'dq', 'qi'] as const;

type Keys = Pick<SinkContents, 'current' | 'next' | 'previous'>;

/** The last of what it printed: there a program says why it fails. Null: it printed a piece of a private key. Empty: it printed nothing. */
export function printable(output: Uint8Array, keys: Keys): string | null {
  if (output.length === 0) return '';
  if (holdsPrivate(output, keys)) return null;
  const lines = new TextDecoder().decode(output).trim().split('\n');
  return shortMessage(lines.slice(-3).join(' '));
}

/** Whether a piece of one of the private keys is in the bytes, in any form that it is likely to have there. */
export function holdsPrivate(bytes: Uint8Array, { current, next, previous }: Keys): boolean {
  const text = Buffer.from(bytes).toString('latin1');
  // A key is broken into lines, quoted, or printed byte by byte.
  const plain = text.replaceAll(/[^A-Za-z0-9+/_-]/g, '');
  const found = new Set([text, plain].flatMap(piecesAt));
  const keys = [current, next, previous].filter((key) => key !== null);
  const jwks = keys.map(({ privateKey }) => privateKey.keyObject().export({ format: 'jwk' }));
  for (const piece of piecesOf(jwks)) if (found.has(piece)) return true;
  return false;
}

/** All pieces of a text, from each of its characters on. */
function piecesAt(text: string): string[] {
  return Array.from({ length: Math.max(0, text.length - PIECE + 1) }, (_, at) => text.slice(at, at + PIECE));
}

/** Pieces of a private number in every form in which it can be printed, from each sixth character on: seventeen characters of it have one in them. */
function* piecesOf(keys: readonly JsonWebKey[]): Generator<string> {
  for (const jwk of keys) {
    for (const member of PRIVATE) {
      const value = jwk[member];
      if (typeof value !== 'string') continue;
      const bytes = Buffer.from(value, 'base64url');
      for (const form of formsOf(bytes)) {
        for (let at = 0; at + PIECE <= form.length; at += PIECE / 2) yield form.slice(at, at + PIECE);
      }
    }
  }
}

function formsOf(bytes: Buffer): readonly string[] {
  // Within the DER of a PEM the number begins at any of three places of a group of four characters.
  const shifted = [0, 1, 2].map((offset) => bytes.subarray(offset));
  const base64 = shifted.flatMap((part) => [part.toString('base64'), part.toString('base64url')]);
  const hex = bytes.toString('hex');
  const numbers = [...bytes].join('');
  return [...base64, hex, hex.toUpperCase(), bytes.toString('latin1'), numbers].map((form) => form.replaceAll('=', ''));
}
