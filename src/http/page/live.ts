/**
 * Tells open pages that something changed, as server-sent events. It does not say what: a page then asks for itself again. For all open pages one loop of this
 * process reads the audit log, the deployments and the workers.
 */
import type { AuditEntry } from '../../core/audit.ts';
import type { ClientRef } from '../../core/client.ts';
import { messageOf } from '../../errors.ts';
import type { Log } from '../../rotation/resources.ts';
import { answerOf } from '../../store/redis/patience.ts';
import type { Store } from '../../store/store.ts';
import { sleep, untilAborted } from '../../time.ts';
import type { Listen } from '../events.ts';
import { mayTouch, type Principal } from '../principal.ts';
import type { Sink } from '../route.ts';

export interface Look {
  readonly principal: Principal;
  /** The one client that the page shows; null: it shows many. */
  readonly client: ClientRef | null;
}

export interface Live {
  /** Writes to `sink` until the visitor leaves or the session ends. Writes nothing before it returns. */
  look(look: Look, sink: Sink): Listen;
  /** Ends all streams. The pages connect again, perhaps to another process. */
  close(): Promise<void>;
}

export interface LiveParts {
  readonly store: Pick<Store, 'settledAfter' | 'settledSize' | 'deploymentStates' | 'present'>;
  /** Of the config in force. */
  deployments(): readonly string[];
  readonly log: Log;
}

/** Between two readings, in ms: no page is told of changes more often. */
const LOOK_MS = 1_000;

/** Between two beats, in ms. A beat keeps proxies from cutting a silent connection, and ends the streams of sessions that have ended. */
const BEAT_MS = 15_000;

/** In ms. When the store does not answer for this long, all pages are told to ask: they then say that what they show is old. */
const PATIENCE_MS = 3_000;

const PAGE = 500;
const MOST_LOOKS = 1_000;

/** How many open pages of one token are served. */
export const MOST_OF_A_VISITOR = 100;

/** The stream of a page that leaves more than this unread is ended. In bytes. */
const MOST_UNREAD = 64 * 1024;

/** An event names this many clients at the most; with more it names none. */
const MOST_NAMED = 100;

/** Entries that no page shows: they come also when nothing happens. */
const QUIET: readonly AuditEntry['type'][] = [
  'audit.sealed',
  'api.called',
  'api.refused',
  'session.started',
  'session.ended',
];

/** A page that does not get it soon is behind a proxy that buffers events. */
const HELLO = 'event: hello\ndata: {}\n\n';

/** What has changed since the last look. */
interface Changed {
  readonly clients: ReadonlySet<ClientRef>;
  /** Something changed that is not about one client. */
  readonly others: boolean;
}

interface Place {
  readonly at: number;
  readonly around: string;
}

interface Looking extends Look {
  readonly sink: Sink;
  isGreeted: boolean;
}

export function openLive(
  { store, deployments, log }: LiveParts,
  { lookMs = LOOK_MS, beatMs = BEAT_MS, patienceMs = PATIENCE_MS } = {},
): Live {
  const looking = new Set<Looking>();
  const ended = new AbortController();
  let reading: Promise<void> | null = null;
  /** Where the loop has read to. Kept after a failure, so that nothing is missed. Null while no page is open. */
  let place: Place | null = null;
  let isFailing = false;

  /** The store waits for as long as Redis is away. Here the wait ends after `patienceMs`, and at once when the server stops. */
  const ask = <T>(work: Promise<T>) =>
    untilAborted(answerOf(work, { signal: ended.signal, ms: patienceMs }, ''), ended.signal) as Promise<T>; // null only after an abort

  function end(one: Looking): void {
    if (looking.delete(one)) one.sink.end();
  }

  function tell(one: Looking, text: string): void {
    if (!looking.has(one)) return;
    one.sink.write(text);
    if (one.sink.writableLength > MOST_UNREAD) end(one);
  }

  /** A page asks for itself again at `hello`: something may have changed between its drawing and its stream. */
  function greet(one: Looking): void {
    if (!one.isGreeted) tell(one, HELLO);
    one.isGreeted = true;
  }

  async function surroundings(): Promise<string> {
    const [states, workers] = await ask(Promise.all([store.deploymentStates(deployments()), store.present()]));
    const notes = [...workers].map(([name, { problem, version }]) => [name, version, problem]).sort();
    return JSON.stringify([[...states], notes]);
  }

  async function read(): Promise<void> {
    const known = place ?? { at: await ask(store.settledSize()), around: await surroundings() };
    place = known;
    for (const one of [...looking]) greet(one);
    const entries = await ask(store.settledAfter(known.at, PAGE));
    const around = await surroundings();
    // A flood of entries is not searched for clients: every page is told to ask.
    const areMany = entries.length === PAGE;
    place = { at: areMany ? await ask(store.settledSize()) : (entries.at(-1)?.seq ?? known.at), around };
    const changed = changedBy(entries, areMany || around !== known.around);
    for (const one of [...looking]) {
      const text = isFailing ? eventOf([]) : newsFor(one, changed);
      if (text !== null) tell(one, text);
    }
    isFailing = false;
  }

  /** Tells all pages to ask, once: they see for themselves what is wrong. They are told again when the store answers. */
  function fail(error: unknown): void {
    if (ended.signal.aborted || isFailing) return;
    isFailing = true;
    log.warn({ error: messageOf(error) }, 'changes cannot be read for open pages');
    for (const one of [...looking]) tell(one, eventOf([]));
  }

  async function beat(one: Looking): Promise<void> {
    if (await one.principal.isValid()) tell(one, ':\n\n');
    else end(one);
  }

  /** Runs while a page is open. After a failure it tries again. */
  async function readOn(): Promise<void> {
    for (let beatIn = beatMs; looking.size > 0 && !ended.signal.aborted; beatIn -= lookMs) {
      await read().catch(fail);
      if (beatIn <= 0) {
        beatIn = beatMs;
        await Promise.all([...looking].map(beat));
      }
      await sleep(lookMs, ended.signal);
    }
    place = null;
    reading = null;
  }

  return {
    look(look, sink) {
      const own = [...looking].filter(({ principal }) => principal.key === look.principal.key).length;
      if (looking.size >= MOST_LOOKS || ended.signal.aborted) return 'full';
      if (own >= MOST_OF_A_VISITOR) return 'caller_full';
      if (sink.destroyed) return 'listening';
      const one = { ...look, sink, isGreeted: false };
      looking.add(one);
      sink.on('close', () => looking.delete(one));
      // Not now: the head of the response is not written yet.
      queueMicrotask(() => place !== null && greet(one));
      reading ??= readOn();
      return 'listening';
    },
    async close() {
      ended.abort();
      for (const one of [...looking]) end(one);
      await reading;
    },
  };
}

function changedBy(entries: readonly AuditEntry[], isElsewhere: boolean): Changed {
  const shown = entries.filter(({ type }) => !QUIET.includes(type));
  const clients = new Set(shown.flatMap(({ client }) => client ?? []));
  return { clients, others: isElsewhere || shown.some(({ client }) => client === null) };
}

/** The event for one page; null: nothing that it shows has changed. It never names a client that the token may not see. */
function newsFor({ client, principal }: Look, { clients, others }: Changed): string | null {
  const isSeen = (ref: ClientRef) => (client === null ? mayTouch(principal, ref) : ref === client);
  const seen = [...clients].filter(isSeen);
  return seen.length > 0 || others ? eventOf(seen) : null;
}

function eventOf(clients: readonly ClientRef[]): string {
  const named = clients.length > MOST_NAMED ? [] : clients;
  return `event: changed\ndata: ${JSON.stringify({ clients: named })}\n\n`;
}
