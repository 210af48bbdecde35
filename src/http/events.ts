/**
 * What happens to a rotation, as it happens: Server-Sent Events from the audit log. However many listen, one loop of this process reads the log,
 * and each entry is made into text once. The id of an event is the number of its entry, so that a listener who comes back misses nothing; and none is told
 * of an entry that a power cut could still take away.
 */
import type { AuditEntry } from '../core/audit.ts';
import { messageOf } from '../errors.ts';
import type { Log } from '../rotation/resources.ts';
import type { Store } from '../store/store.ts';
import { sleep, untilAborted } from '../time.ts';
import type { Sink } from './route.ts';

export interface Listening {
  readonly rotation: string;
  /** The key of the {@link Principal} that listens. One caller has a limited number of streams, see {@link MOST_OF_A_CALLER}. */
  readonly caller: string;
  /** Only entries after this number. */
  readonly after: number;
  /** The rotation has ended: what the log says of it by now is all. */
  readonly isOver: boolean;
  /** Whether the listener may still do so; asked from time to time. */
  isValid(): Promise<boolean>;
}

/** `full`: as many listen as may. `caller_full`: as many as may of this caller. */
export type Listen = 'listening' | 'full' | 'caller_full';

export interface Events {
  /** Writes to the response until the rotation has ended, or the listener is gone. Writes nothing before it returns. */
  listen(listening: Listening, sink: Sink): Listen;
  /** Ends all streams: listeners come back, perhaps to another process. */
  close(): Promise<void>;
}

/** Between two looks at the log, in ms, while somebody listens. */
const LOOK_MS = 250;

/** Proxies cut a connection on which nothing comes; and at each beat listeners with a revoked token are disconnected. In ms. */
const BEAT_MS = 15_000;

const PAGE = 500;

const MOST_LISTENERS = 2_000;

/** Streams of one token, or of one certificate, at once: one caller must not take the places of all others. */
export const MOST_OF_A_CALLER = 200;

/** A listener that does not read as fast as things happen is sent away, and comes back where it was. In bytes. */
const MOST_UNREAD = 256 * 1024;

/** A rotation ends with one of these entries. */
const LAST: readonly string[] = ['rotation.completed', 'rotation.failed', 'rotation.rolled_back'];

interface Listener extends Listening {
  readonly sink: Sink;
  /** The number of the newest entry that it was told of, or did not need. */
  at: number;
  /** Nothing is written to it any more: Node would emit an error that nothing catches. */
  isGone: boolean;
}

export function openEvents(store: Pick<Store, 'settledAfter' | 'settledSize'>, log: Log, beatMs = BEAT_MS): Events {
  /** Listeners that the loop tells of new entries, by rotation. */
  const live = new Map<string, Set<Listener>>();
  /** Listeners that still read older entries. */
  const behind = new Set<Listener>();
  const ended = new AbortController();
  let reading: Promise<void> | null = null;
  let count = 0;
  /** How many streams each caller has. */
  const callers = new Map<string, number>();
  /** How far the loop has read; null while nobody listens. */
  let readTo: number | null = null;

  /** The store waits for a Redis that is away. A server that stops does not. */
  const entriesAfter = (seq: number) => untilAborted(store.settledAfter(seq, PAGE), ended.signal);

  function leave(listener: Listener): void {
    listener.isGone = true;
    const isLive = live.get(listener.rotation)?.delete(listener) ?? false;
    if (isLive || behind.delete(listener)) uncount(listener);
    if (live.get(listener.rotation)?.size === 0) live.delete(listener.rotation);
  }

  function uncount({ caller }: Listener): void {
    count -= 1;
    const left = (callers.get(caller) ?? 1) - 1;
    if (left === 0) callers.delete(caller);
    else callers.set(caller, left);
  }

  function end(listener: Listener): void {
    leave(listener);
    listener.sink.end();
  }

  function tell(listener: Listener, entry: AuditEntry, text: string): void {
    if (listener.isGone || entry.seq <= listener.at) return;
    listener.at = entry.seq;
    listener.sink.write(text);
    if (LAST.includes(entry.type) || listener.sink.writableLength > MOST_UNREAD) end(listener);
  }

  /** One page for each of those that are behind: so no listener waits for another one. Listeners at the same entry share a page. */
  async function catchUp(): Promise<void> {
    const pages = new Map<number, Promise<AuditEntry[]>>();
    const waiting = [...behind].map(async (listener) => {
      const asked = pages.get(listener.at) ?? entriesAfter(listener.at);
      pages.set(listener.at, asked);
      const page = await asked;
      const [first] = page;
      // Entries are numbered without gaps: what is missing was cut.
      if (first !== undefined && first.seq > listener.at + 1 && !listener.isGone) {
        listener.sink.write(gapOf(listener.at, first.seq));
      }
      for (const entry of page) if (entry.rotation === listener.rotation) tell(listener, entry, eventOf(entry));
      listener.at = Math.max(listener.at, page.at(-1)?.seq ?? 0);
      // A page that is not full ends where the log ends. The loop has read no further, so it tells this listener all that follows.
      if (page.length < PAGE && behind.has(listener)) settle(listener);
    });
    await Promise.all(waiting);
  }

  async function read(): Promise<void> {
    readTo ??= await untilAborted(store.settledSize(), ended.signal);
    for (let beatIn = beatMs; count > 0 && !ended.signal.aborted; beatIn -= LOOK_MS) {
      await catchUp();
      for (const entry of await entriesAfter(readTo)) {
        readTo = entry.seq;
        const listeners = entry.rotation === null ? undefined : live.get(entry.rotation);
        if (listeners === undefined) continue;
        const text = eventOf(entry);
        for (const listener of [...listeners]) tell(listener, entry, text);
      }
      if (beatIn <= 0) {
        beatIn = beatMs;
        await beat();
      }
      await sleep(behind.size > 0 ? 0 : LOOK_MS, ended.signal);
    }
    readTo = null;
  }

  function settle(listener: Listener): void {
    if (listener.isOver) {
      end(listener);
      return;
    }
    behind.delete(listener);
    const others = live.get(listener.rotation) ?? new Set();
    live.set(listener.rotation, others.add(listener));
  }

  async function beat(): Promise<void> {
    const check = async (listener: Listener) => {
      const isValid = await listener.isValid();
      if (listener.isGone) return;
      if (isValid) listener.sink.write(':\n\n');
      else end(listener);
    };
    await Promise.all([...live.values()].flatMap((listeners) => [...listeners].map(check)));
  }

  /** A store that does not answer is asked again: listeners stay. */
  async function readOn(): Promise<void> {
    while (count > 0 && !ended.signal.aborted) {
      await read().catch(async (error: unknown) => {
        if (ended.signal.aborted) return;
        log.warn({ error: messageOf(error) }, 'the audit log could not be read for those who listen');
        await sleep(10 * LOOK_MS, ended.signal);
      });
    }
    reading = null;
  }

  return {
    listen(listening, sink) {
      const own = callers.get(listening.caller) ?? 0;
      if (count >= MOST_LISTENERS || ended.signal.aborted) return 'full';
      if (own >= MOST_OF_A_CALLER) return 'caller_full';
      // The caller left while its rotation was looked up, and `close` does not come again: its place would stay taken.
      if (sink.destroyed) return 'listening';
      const listener = { ...listening, sink, at: listening.after, isGone: false };
      count += 1;
      callers.set(listening.caller, own + 1);
      behind.add(listener);
      sink.on('close', () => leave(listener));
      reading ??= readOn();
      return 'listening';
    },
    async close() {
      ended.abort();
      for (const listener of [...behind, ...[...live.values()].flatMap((some) => [...some])]) end(listener);
      await reading;
    },
  };
}

/** Without an id: a listener that comes back says the last entry that it heard. */
function gapOf(after: number, first: number): string {
  return `event: cut\ndata: ${JSON.stringify({ after, first })}\n\n`;
}

/** One line of data: JSON has no line ends of its own. */
function eventOf(entry: AuditEntry): string {
  return `id: ${entry.seq}\nevent: ${entry.type}\ndata: ${JSON.stringify(entry)}\n\n`;
}
