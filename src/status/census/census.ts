/**
 * How all clients stand, kept in memory for what is asked for again and again: `/metrics` and the page share one. All records are read once, page by page;
 * from then on only those that the audit log names. Reading 100,000 records takes half a minute, so nobody who asks waits for it.
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
  /** All clients as they are now. Of a fleet that is not known yet, or went by another config before, that takes a while. */
  whole(signal: AbortSignal): Promise<Clients>;
  /** What is known by now. Only a small fleet is waited for, and not for long. */
  look(): Promise<Look>;
  stop(): void;
}

/** What a commit without an audit entry changed, such as a server that was looked at, is taken in after this time, in ms. */
const WHOLE_EVERY_MS = 30 * 60_000;

/** Nobody has asked for so long, in ms: what was kept in memory is given up. */
const IDLE_MS = 10 * 60_000;

/** So long, in ms, somebody waits for a small fleet to be read. */
const PATIENCE_MS = 1_000;

/** Entries of the audit log that are read at once. */
const ENTRIES = 1_000;

interface Whole {
  /** What it was read by, and from. */
  readonly config: Resources['config'];
  readonly store: string;
  readonly known: Map<ClientRef, Known>;
  readonly toKnown: ToKnown;
  /** Of the monotonic clock. */
  readAt: number;
  /** The last audit entry that was looked at. */
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
  let again: Promise<void> | null = null;
  let lastTurn: Promise<unknown> = Promise.resolve();
  let keep = () => {};

  /** Records are taken in one page after the other: one that was read earlier must not take the place of one that was read later. */
  function inTurn<T>(task: () => Promise<T>): Promise<T> {
    const turn = lastTurn.then(task);
    lastTurn = turn.catch(() => {});
    return turn;
  }

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
    // Those who look do not wait for it, and ask again.
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

  /** False: meanwhile another config came into force, or another store; or nobody wants it any more. */
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
      // Half of the time is left to what this process is there for.
      await sleep(monotonic() - beganAt, ended.signal);
    }
  }

  function forget(): null {
    whole = null;
    return null;
  }

  /** What is known, with all that has changed until now; null: it has to be read anew. */
  function upToDate(): Promise<Whole | null> {
    return inTurn(async () => {
      const resources = current();
      const { store } = resources;
      const size = await store.auditSize();
      if (whole === null || !isOf(whole, resources) || size < whole.seq) return forget();
      const read = whole;
      if (size === read.seq) return read;
      // Entries that were cut before they were read leave open which clients changed.
      if ((await store.auditFirst()) > read.seq + 1) return forget();
      await readChanged(read, resources, ended.signal);
      return read;
    });
  }

  function readAgain(read: Whole): void {
    if (again !== null || monotonic() - read.readAt <= WHOLE_EVERY_MS) return;
    read.readAt = monotonic();
    const work = readAll(read)
      .then(() => {})
      .catch(() => {
        // As soon as somebody asks.
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
    // A Redis that does not answer must not keep anybody from stopping: what is under way is not waited for.
    stop() {
      ended.abort();
      keep();
    },
  };
}

/** Waits a little while for it, whatever becomes of it. */
export async function soon(work: Promise<unknown>, signal: AbortSignal): Promise<void> {
  const done = new AbortController();
  const over = work.catch(() => {});
  await Promise.race([over, sleep(PATIENCE_MS, AbortSignal.any([done.signal, signal]))]);
  done.abort();
}

function isOf(read: Pick<Whole, 'config' | 'store'>, { config, store }: Resources): boolean {
  return read.config === config && read.store === store.id;
}

async function readChanged(read: Whole, resources: Resources, signal: AbortSignal): Promise<void> {
  const changed = new Set<ClientRef>();
  let { seq } = read;
  for (;;) {
    signal.throwIfAborted();
    const entries = await resources.store.auditAfter(seq, ENTRIES);
    for (const { client } of entries) if (client !== null) changed.add(client);
    seq = entries.at(-1)?.seq ?? seq;
    if (entries.length < ENTRIES) break;
  }
  for (const page of pagesOf([...changed])) await takeIn(page, read, resources);
  read.seq = seq;
}

async function takeIn(refs: readonly ClientRef[], { known, toKnown }: Whole, resources: Resources): Promise<void> {
  for (const [ref, { record, now }] of await resources.store.loadMany(refs)) {
    known.set(ref, toKnown(record, now, resources));
  }
}
