/**
 * Reads JSON the way the platform does: a typed Rust server (serde_json). What makes that differ from `JSON.parse` can be seen from outside: the
 * first fault in the text decides, unknown members are skipped, a member given twice is a fault, and each fault has its text, line and column.
 */
import { BYTE, isDigit } from './bytes.ts';
import { Cursor } from './cursor.ts';

export interface Reader<T> {
  read(at: Cursor): T;
  /** What stands for a member that is not there; without it the member is required. */
  readonly absent?: () => T;
}

/** Type of what a reader reads. */
export type Read<R> = R extends Reader<infer T> ? T : never;

/** What follows the value is a fault, unless `rest` says that nobody looks. @throws JsonFault */
export function readJson<T>(reader: Reader<T>, text: Uint8Array, rest: 'refused' | 'ignored' = 'refused'): T {
  const cursor = new Cursor(text);
  const value = reader.read(cursor);
  if (rest === 'refused') cursor.end();
  return value;
}

export const string: Reader<string> = {
  read(at) {
    return at.peekValue() === BYTE.quote ? at.string() : at.wrongType('a string');
  },
};

export const boolean: Reader<boolean> = {
  read(at) {
    const first = at.peekValue();
    if (first === BYTE.t) return at.word('true', true);
    return first === BYTE.f ? at.word('false', false) : at.wrongType('a boolean');
  },
};

export const i32 = integer('i32', 1n << 31n);
export const i64 = integer('i64', 1n << 63n);

/** Of any kind, as `JSON.parse` reads it. */
export const anything: Reader<unknown> = {
  read(at) {
    at.peekValue();
    const start = at.index;
    at.skip();
    return JSON.parse(at.slice(start));
  },
};

/** `null` where the member is null or absent. */
export function optional<T>(reader: Reader<T>): Reader<T | null> {
  return {
    read: (at) => (at.peekValue() === BYTE.n ? at.word('null', null) : reader.read(at)),
    absent: () => null,
  };
}

/** Absent as `value`; null is a fault. */
export function defaulted<T>(reader: Reader<T>, value: T): Reader<T> {
  return { read: reader.read, absent: () => value };
}

export function list<T>(reader: Reader<T>): Reader<readonly T[]> {
  return {
    read(at) {
      if (at.peekValue() !== BYTE.openList) return at.wrongType('a sequence');
      const items: T[] = [];
      at.enter();
      while (at.hasItem(items.length === 0)) items.push(reader.read(at));
      at.leave();
      return items;
    },
  };
}

/** One of the names. */
export function oneOf(names: readonly string[]): Reader<string> {
  return {
    read(at) {
      if (at.peekValue() !== BYTE.quote) return at.expectedValue();
      const name = at.string();
      if (names.includes(name)) return name;
      return at.refuse(`unknown variant \`${name}\`, expected one of ${names.map((one) => `\`${one}\``).join(', ')}`);
    },
  };
}

type Fields = Readonly<Record<string, Reader<unknown>>>;
type Members<F extends Fields> = { readonly [name in keyof F]: Read<F[name]> };

/** An object with these members, all of which the result has, in this order. Also a list of them all, in this order. */
export function object<F extends Fields>(name: string, fields: F): Reader<Members<F>> {
  const entries = Object.entries(fields);
  const places = new Map(entries.map(([member], place) => [member, place]));
  const assemble = (at: Cursor, values: readonly Slot[]): Members<F> => {
    const members: Record<string, unknown> = {};
    for (const [place, [member, reader]] of entries.entries()) {
      const slot = values[place];
      if (slot === undefined && reader.absent === undefined) at.refuse(`missing field \`${member}\``);
      members[member] = slot === undefined ? reader.absent?.() : slot.value;
    }
    return members as Members<F>; // each member was read by the reader of its name
  };
  return {
    read(at) {
      const first = at.peekValue();
      if (first === BYTE.openList) return assemble(at, readPlaces(at, name, entries));
      if (first !== BYTE.openObject) return at.wrongType(`struct ${name}`);
      const values: Slot[] = [];
      at.enter();
      for (let some = false; at.hasMember(!some); some = true) {
        const member = at.string();
        const place = places.get(member);
        if (place !== undefined && values[place] !== undefined) at.refuse(`duplicate field \`${member}\``);
        at.colon();
        const entry = place === undefined ? undefined : entries[place];
        if (place === undefined || entry === undefined) at.skip();
        else values[place] = { value: entry[1].read(at) };
      }
      at.leave();
      return assemble(at, values);
    },
  };
}

type Slot = { readonly value: unknown } | undefined;

function readPlaces(at: Cursor, name: string, entries: readonly [string, Reader<unknown>][]): Slot[] {
  const values: Slot[] = [];
  at.enter();
  for (const [, reader] of entries) {
    if (!at.hasItem(values.length === 0)) {
      at.leave();
      at.refuse(`invalid length ${values.length}, expected struct ${name} with ${entries.length} elements`);
    }
    values.push({ value: reader.read(at) });
  }
  at.endList();
  return values;
}

function integer(name: string, bound: bigint): Reader<number> {
  return {
    read(at) {
      const first = at.peekValue();
      if (first !== BYTE.minus && !isDigit(first)) return at.wrongType(name);
      const { text, whole } = at.number();
      if (!whole) return at.refuse(`invalid type: ${at.describeNumber(text)}, expected ${name}`);
      const value = BigInt(text);
      if (value < -bound || value >= bound) return at.refuse(`invalid value: integer \`${value}\`, expected ${name}`);
      return Number(value);
    },
  };
}
