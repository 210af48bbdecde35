/**
 * Tells open pages that something changed, as Server-Sent Events: not what, so that a page is drawn in one place alone. However many look, one loop of this
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
  /** The page is about this client alone; null: about many. */
  readonly client: ClientRef | null;
}

export interface Live {
  /** Writes to the response until the visitor is gone, or the session has ended. Writes nothing before it returns. */
  look(look: Look, sink: Sink): Listen;
  /** Ends all streams: pages come back, perhaps to another process. */
  close(): Promise<void>;
}

export interface LiveParts {
  readonly store: Pick<Store, 'settledAfter' | 'settledSize' | 'deploymentStates' | 'present'>;
  /** Of the config in force. */
  deployments(): readonly string[];
  readonly log: Log;
}

/** Between two looks, in ms: no page hears of changes more often. */
const LOOK_MS = 1_000;

/** Proxies cut a connection on which nothing comes; and at each beat pages are told when their session has ended. In ms. */
const BEAT_MS = 15_000;

/** In ms. When the store has not answered for so long, pages are told: they ask, and say that what they show is old. */
const PATIENCE_MS = 3_000;

const PAGE = 500;
const MOST_LOOKS = 1_000;

/** Pages of one token at once. */
export const MOST_OF_A_VISITOR = 100;

/** A page that does not read is sent away. In bytes. */
const MOST_UNREAD = 64 * 1024;

/** More clients than these are not named. */
const MOST_NAMED = 100;

/** What no page shows, and comes when nothing happens. */
const QUIET: readonly AuditEntry['type'][] = [
  'audit.sealed',
  'api.called',
  'api.refused',
  'session.started',
  'session.ended',
];

/** A page that does not hear it soon is behind a proxy that holds events back. */
const HELLO = 'event: hello\ndata: {}\n\n';

/** What has changed since the last look. */
interface Changed {
  readonly clients: ReadonlySet<ClientRef>;
  /** Something that is about no single client. */
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
  /** How far the loop has read, and how deployments and workers stood then. Null while nobody looks: what comes after it is told, also after a failure. */
  let place: Place | null = null;
  let isFailing = false;

  /** The store waits for a Redis that is away. Pages wait a moment, and a server that stops does not wait. */
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

  /** A page draws itself anew then, since something may have changed before it was heard. */
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
    // With so many, who they are about does not matter: each page draws itself anew.
    const areMany = entries.length === PAGE;
    place = { at: areMany ? await ask(store.settledSize()) : (entries.at(-1)?.seq ?? known.at), around };
    const changed = changedBy(entries, areMany || around !== known.around);
    for (const one of [...looking]) {
      const text = isFailing ? eventOf([]) : newsFor(one, changed);
      if (text !== null) tell(one, text);
    }
    isFailing = false;
  }

  /** Pages ask then, and find out for themselves; when the store answers again, they are told to ask once more. */
  function fail(error: unknown): void {
    if (ended.signal.aborted || isFailing) return;
    isFailing = true;
    log.warn({ error: messageOf(error) }, 'what has changed cannot be read for open pages');
    for (const one of [...looking]) tell(one, eventOf([]));
  }

  async function beat(one: Looking): Promise<void> {
    if (await one.principal.isValid()) tell(one, ':\n\n');
    else end(one);
  }

  /** A store that does not answer is asked again. */
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
      // Later than this: nothing is written yet.
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

/** Null: nothing that its page shows has changed. A visitor hears of no client that the token may not see. */
function newsFor({ client, principal }: Look, { clients, others }: Changed): string | null {
  const isSeen = (ref: ClientRef) => (client === null ? mayTouch(principal, ref) : ref === client);
  const seen = [...clients].filter(isSeen);
  return seen.length > 0 || others ? eventOf(seen) : null;
}

function eventOf(clients: readonly ClientRef[]): string {
  const named = clients.length > MOST_NAMED ? [] : clients;
  return `event: changed\ndata: ${JSON.stringify({ clients: named })}\n\n`;
}
