/** Where a page of a list ends: the order, and in it the value and the reference of its last client. */
import { type ClientRef, parseReference, REFERENCE } from '../../core/client.ts';
import { members } from '../../core/reply.ts';
import { RekeydError } from '../../errors.ts';
import { CLIENT_ORDERS, type ClientOrder } from '../views.ts';

export interface Cursor {
  readonly order: ClientOrder;
  /** What the order goes by; see {@link ./listing.ts}. 0 in the order of names. */
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
    throw new RekeydError('usage', 'There is no such page of the list. Begin with its first one.');
  }
  return { order: known, value, ref: parseReference(ref) };
}

/** Longer texts are no cursors: a reference has at most 386 characters. */
const LONGEST = 1_000;

function parsed(text: string): unknown {
  try {
    return text.length > LONGEST ? null : JSON.parse(Buffer.from(text, 'base64url').toString());
  } catch {
    return null;
  }
}
