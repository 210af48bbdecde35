/**
 * Reads a list of clients while it arrives: the text of a large one, and all of it parsed at once, would need many times the memory of what is kept, and hold
 * up everything else meanwhile.
 */
import { JSONParser } from '@streamparser/json';
import type { ObservedClient } from '../core/document.ts';
import { kindOfText } from '../core/reply.ts';
import { RekeydError } from '../errors.ts';
import { type ClientList, LIST, takeRow, undocumented } from './observed.ts';

/** Picks those of some clients of a list that the caller needs: the others are forgotten at once. Part of the call, and of its deadline. */
export type Keep = (clients: readonly ObservedClient[]) => Promise<readonly ObservedClient[]>;

export interface ClientListReader {
  /** @throws RekeydError `api_failed` when it is no JSON, or a row does not say which client it is about */
  take(piece: Uint8Array): Promise<void>;
  /** The list, once all of it went through `take`. @throws RekeydError `api_failed` when it is none, or not whole */
  finish(): ClientList;
}

/** The list stands in the body, or in its `data`. */
const ROWS = ['$.clients.*', '$.data.clients.*'];
const WHOLE = ['$.clients', '$.data.clients'];

/** Enough to tell a page from JSON. */
const START_LENGTH = 1_000;

export function clientListReader(keep: Keep): ClientListReader {
  const clients: ObservedClient[] = [];
  const unreadable = new Map<string, string>();
  const utf8 = new TextDecoder('utf-8', { fatal: true });
  let arrived: ObservedClient[] = [];
  let start = '';
  let lists = 0;
  let fault: unknown = null;
  const parser = new JSONParser({ paths: [...ROWS, ...WHOLE] });
  parser.onValue = ({ value, key, parent }) => {
    if (key === 'clients') {
      lists += Array.isArray(value) ? 1 : 0;
      return;
    }
    takeRow(value, arrived, unreadable);
    // The list itself is kept until it ends.
    if (Array.isArray(parent)) parent[parent.length - 1] = null;
  };
  parser.onError = (error) => {
    fault ??= error;
  };

  function read(piece: Uint8Array): void {
    try {
      const text = utf8.decode(piece, { stream: true });
      if (start.trim() === '') start = text.slice(0, START_LENGTH);
    } catch {
      throw new RekeydError('api_failed', 'the answer is not UTF-8');
    }
    try {
      parser.write(piece);
    } catch (error) {
      fault ??= error;
    }
    if (fault instanceof RekeydError) throw fault;
    // Says nothing of what was read: it might be the request's own headers.
    if (fault !== null) throw new RekeydError('api_failed', `the answer is ${kindOfText(start)}`);
  }

  return {
    async take(piece) {
      arrived = [];
      read(piece);
      if (arrived.length > 0) for (const client of await keep(arrived)) clients.push(client);
    },
    finish() {
      if (!parser.isEnded)
        throw new RekeydError('api_failed', `the answer is ${start.trim() === '' ? 'empty' : 'cut off'}`);
      if (lists !== 1) throw undocumented(LIST, 'clients: expected one list');
      return { clients, unreadable };
    },
  };
}
