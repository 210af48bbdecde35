/**
 * The standing of all clients, kept in memory: `/metrics` and the page share it. All records are read once, page by page. From then on only those are read
 * that the audit log names. Reading 100,000 records takes half a minute, so the page does not wait for it.
 */
import type { ClientRef } from '../../core/client.ts';
import { MOST_NAMED } from '../../metrics/fleet.ts';
import { PAGE, pagesOf } from '../../parallel.ts';
import type { Resources } from '../../rotation/resources.ts';
import { alarm, monotonic, sleep, untilAborted } from '../../time.ts';
import { type Known, openKnowing, type ToKnown } from './known.ts';

export type Clients = ReadonlyMap<ClientRef, Known>;

export interface Look {
  readonly known: Clients;
  /** How far the fleet is read; null: `known` is all of it, as it is now. */
  readonly reading: { readonly read: number; readonly of: number } | null;
}

export interface Census {
  /** All clients as they are now. The first call, and the first after a change of the config, waits until all records are read. */
  whole(signal: AbortSignal): Promise<Clients>;
  /** What is known by now. Only a fleet of up to {@link MOST_NAMED} clients is waited for, and for {@link PATIENCE_MS} at most. */
  look(): Promise<Look>;
  stop(): void;
}

/** All records are read again after this time, in ms: a commit without an audit entry, such as one after a look at a server, is noticed then. */
const WHOLE_EVERY_MS = 30 * 60_000;

/** The memory is freed when nobody has asked for this long, in ms. */
const IDLE_MS = 10 * 60_000;

/** How long a caller waits for a small fleet to be read, in ms. */
const PATIENCE_MS = 1_000;

/** How many entries of the audit log are read with one command. */
const ENTRIES = 1_000;

interface Whole {
  /** The config that the records were read with, and the id of their store: with others all is read anew. */
  readonly config: Resources['config'];
  readonly store: string;
  readonly known: Map<ClientRef, Known>;
  readonly toKnown: ToKnown;
  /** When all records were last read, on the monotonic clock, in ms. */
  readAt: number;
  /** The number of the last audit entry that was taken in. */
  seq: number;
}

interface Reading {
  readonly known: Map<ClientRef, Known>;
  /** How many clients there are. */
  readonly of: Promise<number>;
  readonly done: Promise<Whole>;
}

/** @param current of the config in force */
export function openCensus(current: () => Resources): Census {
  const ended = new AbortController();
  let whole: Whole | null = null;
  let reading: Reading | null = null;
  /** Reads all records once more; null: that is not under way. */
  let again: Promise<void> | null = null;
  let lastTurn: Promise<unknown> = Promise.resolve();
  /** Stops the alarm that frees the memory. */
  let keep = () => {};

  /** Pages are taken in one after the other, so that an older record never replaces a newer one. */
  function inTurn<T>(task: () => Promise<T>): Promise<T> {
    const turn = lastTurn.then(task);
    lastTurn = turn.catch(() => {});
    return turn;
  }

  /** Keeps the memory for {@link IDLE_MS} from now. @throws the reason of the abort, when the census was stopped */
  function wanted(): void {
    ended.signal.throwIfAborted();
    keep();
    keep = alarm(IDLE_MS, forget);
  }

  function begin(): Reading {
    const known = new Map<ClientRef, Known>();
    const of = current().store.clientCount();
    const done = readWhole(known)
      .then((read) => {
        whole = read;
        wanted();
        return read;
      })
      .finally(() => {
        reading = null;
      });
    // A caller of `look` does not wait for these promises: a failure must not end the process, and the next call begins anew.
    for (const work of [of, done]) work.catch(() => {});
    return { known, of, done };
  }

  async function readWhole(known: Map<ClientRef, Known>): Promise<Whole> {
    for (;;) {
      const { config, store } = current();
      const read: Whole = {
        ...{ config, store: store.id, known, toKnown: openKnowing() },
        ...{ readAt: monotonic(), seq: await store.auditSize() },
      };
      known.clear();
      if (await readAll(read)) return read;
    }
  }

  /** @returns false when another config or store has come into force meanwhile, or when the result was given up */
  async function readAll(into: Whole): Promise<boolean> {
    for (let last: ClientRef | null = null; ; ) {
      ended.signal.throwIfAborted();
      const resources = current();
      const isWanted = into === whole || into.known === reading?.known;
      if (!isWanted || !isOf(into, resources)) return false;
      const beganAt = monotonic();
      const page: readonly ClientRef[] = await inTurn(async () => {
        const refs = await resources.store.refsAfter(last, PAGE);
        await takeIn(refs, into, resources);
        return refs;
      });
      last = page.at(-1) ?? null;
      if (page.length < PAGE) return true;
      // Half of the time is left to rotations.
      await sleep(monotonic() - beganAt, ended.signal);
    }
  }

  function forget(): null {
    whole = null;
    return null;
  }

  /** All clients with every change until now; null: all records have to be read. */
  function upToDate(): Promise<Whole | null> {
    return inTurn(async () => {
      const resources = current();
      const { store } = resources;
      const size = await store.auditSize();
      if (whole === null || !isOf(whole, resources) || size < whole.seq) return forget();
      const read = whole;
      if (size === read.seq) return read;
      return (await readChanged(read, size, resources, ended.signal)) ? read : forget();
    });
  }

  function readAgain(read: Whole): void {
    if (again !== null || monotonic() - read.readAt <= WHOLE_EVERY_MS) return;
    read.readAt = monotonic();
    const work = readAll(read)
      .then(() => {})
      .catch(() => {
        // The next call tries again.
        read.readAt = Number.NEGATIVE_INFINITY;
      });
    again = work.finally(() => {
      again = null;
    });
  }

  async function known(): Promise<Whole | null> {
    wanted();
    if (whole === null) return null;
    const read = await upToDate();
    if (read !== null) readAgain(read);
    return read;
  }

  return {
    async whole(signal) {
      for (;;) {
        const read = await untilAborted(known(), signal);
        if (read !== null) return read.known;
        reading ??= begin();
        await untilAborted(reading.done, signal);
      }
    },
    async look() {
      const read = await known();
      if (read !== null) return { known: read.known, reading: null };
      reading ??= begin();
      const going = reading;
      const of = await going.of;
      if (of <= MOST_NAMED) {
        await soon(going.done, ended.signal);
        const now = await known();
        if (now !== null) return { known: now.known, reading: null };
      }
      return { known: going.known, reading: { read: going.known.size, of: Math.max(of, going.known.size) } };
    },
    // Does not wait for a command under way: a Redis that does not answer must not delay a stop.
    stop() {
      ended.abort();
      keep();
    },
  };
}

/** Waits for `work` to end, with success or not, and for {@link PATIENCE_MS} at most. */
export async function soon(work: Promise<unknown>, signal: AbortSignal): Promise<void> {
  const done = new AbortController();
  const over = work.catch(() => {});
  await Promise.race([over, sleep(PATIENCE_MS, AbortSignal.any([done.signal, signal]))]);
  done.abort();
}

function isOf(read: Pick<Whole, 'config' | 'store'>, { config, store }: Resources): boolean {
  return read.config === config && read.store === store.id;
}

/**
 * Reads the clients again that the entries after `read.seq` name.
 * @param size the number of an entry that the log has come to
 * @returns false when entries were cut before they were read: then nothing tells which clients changed
 */
async function readChanged(read: Whole, size: number, resources: Resources, signal: AbortSignal): Promise<boolean> {
  const changed = new Set<ClientRef>();
  let { seq } = read;
  for (;;) {
    signal.throwIfAborted();
    const entries = await resources.store.auditAfter(seq, ENTRIES);
    // Entries are numbered without gaps. Looked at here and not before: a cut may come at any time.
    if (entries[0] !== undefined && entries[0].seq > seq + 1) return false;
    for (const { client } of entries) if (client !== null) changed.add(client);
    seq = entries.at(-1)?.seq ?? seq;
    if (entries.length < ENTRIES) break;
  }
  if (seq < size) return false;
  for (const page of pagesOf([...changed])) await takeIn(page, read, resources);
  read.seq = seq;
  return true;
}

async function takeIn(refs: readonly ClientRef[], { known, toKnown }: Whole, resources: Resources): Promise<void> {
  for (const [ref, { record, now }] of await resources.store.loadMany(refs)) {
    known.set(ref, toKnown(record, now, resources));
  }
}
