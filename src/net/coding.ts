/** Decompresses answers (RFC 9110 section 8.4). rekeyd asks for no compression, but a server or proxy may compress anyway. */
import { pipeline, type Readable, type Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { messageOf } from '../errors.ts';

/** Not zstd: before Node.js 24 its decoder takes an answer that was cut off for a whole one. */
const DECODERS: Readonly<Record<string, () => Transform>> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
};

/** @param coding value of the header Content-Encoding */
export function isReadable(coding: string): boolean {
  return nameOf(coding) === 'identity' || Object.hasOwn(DECODERS, nameOf(coding));
}

/**
 * The bytes of the document, piece by piece. Leaving early destroys `body` too. Throws when it is not what `coding` says, or is cut off.
 * @param coding one that {@link isReadable}
 */
export async function* decoded(body: Readable, coding: string): AsyncGenerator<Uint8Array> {
  const decoder = DECODERS[nameOf(coding)]?.();
  if (decoder === undefined) return yield* body;
  try {
    // What goes wrong is thrown where the pieces are read.
    yield* pipeline(body, decoder, () => {});
  } catch (error) {
    throw new Error(`the answer cannot be read as ${nameOf(coding)}: ${messageOf(error)}`);
  }
}

function nameOf(coding: string): string {
  return coding.trim().toLowerCase();
}
