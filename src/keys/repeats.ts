/** Whether a text repeats a secret. Servers and programs quote what they were given when they refuse it, and their texts go into messages. */
import { shortMessage } from '../core/reply.ts';

/** Characters that a text and a secret must have in common. Less is found by chance; twelve of base64 are 72 bits. */
const PIECE = 12;

/** A secret of fewer characters is no secret. */
const SHORTEST = 6;

/** Whether a piece of one of the secrets is in the text, in any form that it is likely to have there. */
export function repeats(text: Uint8Array, secrets: Iterable<Uint8Array>): boolean {
  const latin1 = Buffer.from(text).toString('latin1');
  // A key is broken into lines, quoted, or printed byte by byte.
  const plain = latin1.replaceAll(/[^A-Za-z0-9+/_-]/g, '');
  const found = new Set([latin1, plain].flatMap(piecesAt));
  for (const secret of secrets) {
    for (const form of formsOf(secret)) {
      if (form.length < PIECE) {
        if (form.length >= SHORTEST && latin1.includes(form)) return true;
      } else if (piecesOf(form).some((piece) => found.has(piece))) return true;
    }
  }
  return false;
}

/** What a stranger says, as one line for a message; never with a piece of one of the secrets in it. */
export function quotable(text: string, secrets: readonly string[]): string {
  const line = shortMessage(text);
  const isSafe = !repeats(
    Buffer.from(line),
    secrets.map((secret) => Buffer.from(secret)),
  );
  return isSafe ? line : 'it repeats a secret that it was sent, and is not quoted here';
}

/** All pieces of a text, from each of its characters on. */
function piecesAt(text: string): string[] {
  return Array.from({ length: Math.max(0, text.length - PIECE + 1) }, (_, at) => text.slice(at, at + PIECE));
}

/** From each sixth character on: seventeen characters of a secret have one of its pieces in them. */
function piecesOf(form: string): string[] {
  const count = Math.floor((form.length - PIECE) / (PIECE / 2)) + 1;
  return Array.from({ length: count }, (_, index) => form.slice((index * PIECE) / 2, (index * PIECE) / 2 + PIECE));
}

function formsOf(secret: Uint8Array): readonly string[] {
  const bytes = Buffer.from(secret.buffer, secret.byteOffset, secret.byteLength);
  // Within the DER of a PEM a number begins at any of three places of a group of four characters.
  const shifted = [0, 1, 2].map((offset) => bytes.subarray(offset));
  const base64 = shifted.flatMap((part) => [part.toString('base64'), part.toString('base64url')]);
  const hex = bytes.toString('hex');
  const numbers = [...bytes].join('');
  return [...base64, hex, hex.toUpperCase(), bytes.toString('latin1'), numbers].map((form) => form.replaceAll('=', ''));
}
