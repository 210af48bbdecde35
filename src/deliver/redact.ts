/** What a program printed, on its way into a message. Output with a part of a private key in it never gets there. */
import { shortMessage } from '../core/reply.ts';
import { repeats } from '../keys/repeats.ts';
import type { SinkContents } from './sink.ts';

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
  const keys = [current, next, previous].filter((key) => key !== null);
  const jwks = keys.map(({ privateKey }) => privateKey.keyObject().export({ format: 'jwk' }));
  const numbers = jwks.flatMap((jwk) => PRIVATE.flatMap((member) => jwk[member] ?? []));
  return repeats(
    bytes,
    numbers.map((number) => Buffer.from(number, 'base64url')),
  );
}
