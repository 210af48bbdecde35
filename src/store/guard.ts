/**
 * Whether Redis may be worked with: it is the store that was there before, it keeps what it acknowledges, and it takes writes. Asked at the start, after
 * every reconnect and by upkeep, since a failover or a restart may have changed any of it.
 */
import type { Redis } from 'ioredis';
import { messageOf, RekeydError } from '../errors.ts';
import { monotonic, sleep } from '../time.ts';
import { lost, type Marker, nameStore, readFacts, readMarker, whyLost, writeMarker } from './identity.ts';
import { checkDurability, type Durability, type DurabilityOptions } from './redis/durability.ts';
import { type Guarded, untilAnswered } from './redis/evaluate.ts';

export interface Guard extends Guarded {
  /** Why nothing is written now; null when all is well. */
  readonly problem: RekeydError | null;
  /** A commit with that audit entry is on disk: a store that shows less was rolled back. */
  confirmed(seq: number): void;
  /** Calls `listener` whenever the store can be worked with again, or another store was declared to replace it. */
  onRecovery(listener: () => void): void;
  /** Notes how many clients the store holds by now: a loss is noticed only up to what was noted. */
  remember(): Promise<void>;
  /** Looks at everything again. @throws RekeydError as {@link openGuard} */
  check(): Promise<void>;
  /** Writes down how far the audit log is. */
  close(): Promise<void>;
}

export interface GuardOptions extends DurabilityOptions {
  readonly dataDir: string;
  /** Told when a check finds something else than the one before. */
  readonly onChange?: (problem: RekeydError | null) => void;
}

/** The marker is written down at most this often, in ms. */
const NOTE_MS = 1_000;

/** @throws RekeydError `store_lost`, `redis_unsafe` */
export async function openGuard(redis: Redis, options: GuardOptions): Promise<Guard> {
  const { dataDir, onChange = () => {} } = options;
  let durability: Durability = await checkDurability(redis, options);
  let marker = await identify(redis, dataDir, await readMarker(dataDir));
  let noted = marker;
  let notedAt = monotonic();
  let planned: Promise<void> | null = null;
  const closing = new AbortController();
  const recovered: (() => void)[] = [];
  let writing: Promise<void> = Promise.resolve();
  let problem: RekeydError | null = null;
  let checking: Promise<void> | null = null;

  /** The marker in `data_dir`; null when it cannot be read. */
  function readNoted(): Promise<Marker | null> {
    return readMarker(dataDir).catch(() => null);
  }

  function note(): Promise<void> {
    notedAt = monotonic();
    // After one that failed, too.
    const before = writing.catch(() => {});
    writing = before.then(async () => {
      if (noted === marker) return;
      const next = marker;
      // A command beside the service may have seen more.
      await writeMarker(dataDir, furthest(next, await readNoted()));
      noted = next;
    });
    return writing;
  }

  /** Writes the newest marker, once for all entries that are confirmed within a second. Until it is written, a loss of them would go unnoticed. */
  function noteSoon(): void {
    planned ??= sleep(Math.max(0, notedAt + NOTE_MS - monotonic()), closing.signal).then(() => {
      planned = null;
      return note().catch(() => {}); // the next one tries again, and `close` says so
    });
  }

  function setProblem(next: RekeydError | null): void {
    const isNews = problem?.message !== next?.message;
    problem = next;
    if (isNews) onChange(next);
  }

  async function look(): Promise<void> {
    try {
      durability = await untilAnswered(() => checkDurability(redis, options));
      // Another worker of this machine may have seen more.
      const next = await identify(redis, dataDir, furthest(marker, await readNoted()));
      // Meanwhile more may have been confirmed.
      const isBack = problem !== null || next.id !== marker.id;
      marker = furthest(next, marker);
      setProblem(null);
      if (isBack) for (const listener of recovered) listener();
    } catch (error) {
      setProblem(asProblem(error));
      throw error;
    }
  }

  function check(): Promise<void> {
    checking ??= look().finally(() => {
      checking = null;
    });
    return checking;
  }

  // The next server may be another one: nothing is written before it was looked at.
  const onReady = () => void check().catch(() => {});
  redis.on('ready', onReady);

  return {
    get expected() {
      return marker;
    },
    get durability() {
      return durability;
    },
    get problem() {
      return problem;
    },
    async ready() {
      await checking?.catch(() => {});
      if (problem !== null) throw problem;
    },
    async refused() {
      await check();
    },
    confirmed(seq) {
      if (seq <= marker.size) return;
      marker = { ...marker, size: seq };
      noteSoon();
    },
    onRecovery: (listener) => void recovered.push(listener),
    async remember() {
      const { clients } = await readFacts(redis);
      if (clients > marker.clients) marker = { ...marker, clients };
      await note();
    },
    check,
    async close() {
      redis.off('ready', onReady);
      closing.abort();
      await planned;
      await note();
    },
  };
}

/** The higher of two markers of one store. */
function furthest(marker: Marker, other: Marker | null): Marker {
  if (marker.id !== other?.id) return marker;
  return { ...marker, clients: Math.max(marker.clients, other.clients), size: Math.max(marker.size, other.size) };
}

function asProblem(error: unknown): RekeydError {
  if (error instanceof RekeydError) return error;
  return new RekeydError('redis_unreachable', `Redis could not be checked: ${messageOf(error)}`);
}

/** The marker of the store that answers: the one known before, one that was declared to replace it, or a new one. @throws RekeydError `store_lost` */
async function identify(redis: Redis, dataDir: string, before: Marker | null): Promise<Marker> {
  const facts = await readFacts(redis);
  const why = whyLost(before, facts);
  if (before !== null && why !== null) throw lost(before, why);
  const id = facts.id ?? (await nameStore(redis));
  if (before?.id === id) return { ...before, clients: Math.max(before.clients, facts.clients) };
  const marker = { id, clients: facts.clients, size: facts.size };
  await writeMarker(dataDir, marker);
  return marker;
}
