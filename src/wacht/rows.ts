/**
 * Takes the rows of a list out of its JSON text while that arrives: the text of a large list, and all of it parsed at once, would need many times the
 * memory of what is kept, and hold up everything else meanwhile.
 */
import { isUtf8 } from 'node:buffer';
import { RekeydError } from '../errors.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPENING = new Set([0x5b, 0x7b]);
const CLOSING = new Set([0x5d, 0x7d]);

/** The list stands in the body itself, or in its `data`. */
const DEEPEST = 2;

/** How much of a text is looked at for the name of the member that a bracket belongs to. */
const NAME_BYTES = 100;

export interface RowTaker {
  /**
   * Gives the rows that end in this piece to `onRows`, and returns all that belongs to no row: put together, those are the same JSON text with an empty
   * list.
   * @throws RekeydError `api_failed` when the rows are not JSON. Says nothing of what they are: it might be the request's own headers
   */
  take(piece: Uint8Array): Uint8Array;
  /** The list was found, and has ended. */
  readonly isComplete: boolean;
}

/** @param member the name of the array whose elements are the rows */
export function takeRows(member: string, onRows: (rows: readonly unknown[]) => void): RowTaker {
  const name = new RegExp(`(?<!\\\\)"${member}"\\s*:\\s*$`);
  let phase: 'before' | 'inside' | 'after' = 'before';
  let depth = 0;
  /** The depth of the rows' own brackets, less one. */
  let floor = 0;
  let inString = false;
  let escaped = false;
  let left: Uint8Array[] = [];
  let unended: Uint8Array[] = [];
  let isFirst = true;

  /** @param isLast false when a comma follows, which asks for a row on both of its sides */
  function hand(bytes: Uint8Array, isLast: boolean): void {
    const whole = Buffer.concat([...unended, bytes]);
    unended = [];
    const rows = parseRows(whole);
    if (rows.length === 0 && !(isLast && isFirst)) throw notJson();
    isFirst = false;
    onRows(rows);
  }

  /** Follows strings and brackets up to the next one that matters; returns the byte after it, or the end. */
  function scan(piece: Uint8Array, from: number): number {
    let at = from;
    let lastComma = -1;
    for (; at < piece.length; at += 1) {
      const byte = piece[at] ?? 0;
      if (inString) {
        if (escaped) escaped = false;
        else if (byte === BACKSLASH) escaped = true;
        else if (byte === QUOTE) inString = false;
      } else if (byte === QUOTE) inString = true;
      else if (byte === COMMA) {
        if (phase === 'inside' && depth === floor) lastComma = at;
      } else if (OPENING.has(byte)) {
        depth += 1;
        if (phase === 'before' && byte === 0x5b && depth <= DEEPEST + 1 && isNamed(piece.subarray(from, at))) {
          phase = 'inside';
          floor = depth;
          left.push(piece.subarray(from, at + 1));
          return at + 1;
        }
      } else if (CLOSING.has(byte)) {
        if (phase === 'inside' && depth === floor) {
          hand(piece.subarray(from, at), true);
          phase = 'after';
          return at;
        }
        depth -= 1;
      }
    }
    if (phase !== 'inside') left.push(piece.subarray(from));
    else {
      if (lastComma !== -1) hand(piece.subarray(from, lastComma), false);
      unended.push(piece.subarray(lastComma === -1 ? from : lastComma + 1));
    }
    return at;
  }

  let tail = '';
  function isNamed(bytes: Uint8Array): boolean {
    return name.test(tail + textOf(bytes.subarray(-NAME_BYTES)));
  }

  return {
    take(piece) {
      left = [];
      for (let at = 0; at < piece.length; ) at = scan(piece, at);
      const rest = Buffer.concat(left);
      tail = (tail + textOf(rest.subarray(-NAME_BYTES))).slice(-NAME_BYTES);
      return rest;
    },
    get isComplete() {
      return phase === 'after';
    },
  };
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

function parseRows(bytes: Buffer): readonly unknown[] {
  if (!isUtf8(bytes)) throw new RekeydError('api_failed', 'the answer is not UTF-8');
  try {
    return JSON.parse(`[${bytes.toString()}]`);
  } catch {
    throw notJson();
  }
}

function notJson(): RekeydError {
  return new RekeydError('api_failed', 'the answer is not JSON');
}
