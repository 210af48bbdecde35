/** Where a page of a list ends: its order, and the value and the reference of its last client. */
import { type ClientRef, parseReference, REFERENCE } from '../../core/client.ts';
import { members } from '../../core/reply.ts';
import { RekeydError } from '../../errors.ts';
import { CLIENT_ORDERS, type ClientOrder } from '../views.ts';

export interface Cursor {
  readonly order: ClientOrder;
  /** What clients are ordered by, see {@link ./listing.ts}; 0 in the order of names. */
  readonly value: number;
  readonly ref: ClientRef;
}

export function writeCursor({ order, value, ref }: Cursor): string {
  return Buffer.from(JSON.stringify({ order, value, ref })).toString('base64url');
}

/** @throws RekeydError `usage` */
export function readCursor(text: string): Cursor {
  const { order, value, ref } = members(parsed(text));
  const known = CLIENT_ORDERS.find((one) => one === order);
  if (known === undefined || typeof value !== 'number' || typeof ref !== 'string' || !REFERENCE.test(ref)) {
    throw new RekeydError('usage', 'This is no page of the list. Begin with the first page.');
  }
  return { order: known, value, ref: parseReference(ref) };
}

/** The most characters of a cursor: a reference has at most 386. */
const LONGEST = 1_000;

function parsed(text: string): unknown {
  try {
    return text.length > LONGEST ? null : JSON.parse(Buffer.from(text, 'base64url').toString());
  } catch {
    return null;
  }
}
