/**
 * Whether Redis may be worked with: it is the store that was there before, it keeps what it acknowledges, and it takes writes. Asked at the start, after
 * every reconnect and by upkeep, since a failover or a restart may have changed any of it.
 */
import type { Redis } from 'ioredis';
import { hasCode, messageOf, RekeydError } from '../errors.ts';
import { monotonic } from '../time.ts';
import { furthest, lost, type Marker, nameStore, readFacts, readMarker, whyLost, writeMarker } from './identity.ts';
import type { StoreKeys } from './keys.ts';
import { SEEN } from './lua/log.ts';
import { openMarkerNotes } from './marker-notes.ts';
import { storeFinder } from './namespaces.ts';
import { watchProblem } from './problem.ts';
import { checkDurability, type Durability, type DurabilityOptions } from './redis/durability.ts';
import { evaluate, type Guarded, untilAnswered } from './redis/evaluate.ts';
import { denied, isDenial, isOtherStore, isRefusal } from './redis/replies.ts';

export interface Guard extends Guarded {
  /** Why nothing is written now; null when all is well. While there is a problem, it is looked at again by itself. */
  readonly problem: RekeydError | null;
  /** Writes a byte. Many may ask at once: one write answers all who ask within a second. @throws RekeydError as {@link openGuard}, or that Redis refuses to write */
  tryWrite(): Promise<void>;
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
  readonly keys: StoreKeys;
  readonly dataDir: string;
  /** Which rights the Redis user lacks, for a person; null when none. Asked when a command was denied. */
  readonly whatIsDenied?: () => Promise<string | null>;
  /** Told when a check finds something else than the one before, and once a minute while it lasts. */
  readonly onChange?: (problem: RekeydError | null) => void;
  /** As {@link ./marker-notes.ts} tells it. */
  readonly onNotes?: (problem: string | null) => void;
}

/** How often a store that changes meanwhile is asked which one it is. */
const IDENTIFIED = 3;

/** For how long a write that was tried answers the same question, in ms. */
const TRIED_MS = 1_000;

/** @throws RekeydError `store_lost`, `redis_unsafe` */
export async function openGuard(redis: Redis, options: GuardOptions): Promise<Guard> {
  const { dataDir, keys, onChange = () => {}, onNotes = () => {} } = options;
  let durability: Durability = await checkDurability(redis, options);
  let marker = await identify(redis, options, await readMarker(dataDir));
  const closing = new AbortController();
  const recovered: (() => void)[] = [];
  let checking: Promise<void> | null = null;
  let trying: Promise<void> | null = null;
  let triedAt = Number.NEGATIVE_INFINITY;
  let isDenied = false;
  const found = watchProblem({ onChange, lookAgain: () => check(), signal: closing.signal });
  const find = storeFinder(redis);
  const notes = openMarkerNotes({ dataDir, current: () => marker, onChange: onNotes });

  /** @throws what Redis says against it */
  async function write(expected: Marker): Promise<void> {
    const call = { lua: SEEN, keys: [keys.touched], args: [] };
    await untilAnswered(() => evaluate(redis, { keys, expected }, call));
  }

  async function tryWrite(): Promise<void> {
    try {
      await write(marker);
    } catch (error) {
      if (!isRefusal(error) && !isOtherStore(error)) throw error;
      await check(); // which says it in full
    }
  }

  async function doubt(error: unknown): Promise<boolean> {
    if (found.current !== null) return true;
    if (!isRefusal(error) && !isOtherStore(error)) return false;
    isDenied ||= hasCode(error, 'redis_denied') || isDenial(messageOf(error));
    return check().then(
      () => false,
      () => true,
    );
  }

  /** Our own write needs few rights. Once a command was denied, all of them are looked at. */
  async function expectRights(): Promise<void> {
    if (!isDenied) return;
    const why = (await options.whatIsDenied?.()) ?? null;
    if (why !== null) throw denied(why);
    isDenied = false;
  }

  /** The marker of a store that has taken a write. @throws RekeydError `store_lost`; and as {@link write} */
  async function identified(): Promise<Marker> {
    for (let attempt = 1; ; attempt += 1) {
      // Another worker of this machine may have seen more.
      const next = await identify(redis, options, furthest(marker, await notes.read()), find);
      try {
        await write(next);
        return next;
      } catch (error) {
        // The store was changed after it was asked which one it is: it is asked again, and says what is wrong.
        if (!isOtherStore(error) || attempt === IDENTIFIED) throw error;
      }
    }
  }

  async function look(): Promise<void> {
    try {
      durability = await untilAnswered(() => checkDurability(redis, options));
      const next = await identified();
      await expectRights();
      // Meanwhile more may have been confirmed.
      const isBack = found.current !== null || next.id !== marker.id;
      marker = furthest(next, marker);
      found.set(null);
      if (isBack) for (const listener of recovered) listener();
    } catch (error) {
      found.set(asProblem(error));
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
    keys,
    get expected() {
      return marker;
    },
    get durability() {
      return durability;
    },
    get problem() {
      return found.current;
    },
    async ready() {
      await checking?.catch(() => {});
      if (found.current !== null) throw found.current;
    },
    async refused() {
      await check();
    },
    doubt,
    tryWrite() {
      if (found.current !== null) return Promise.reject(found.current);
      // One that waits for Redis to come back answers all who ask meanwhile.
      if (trying === null || monotonic() - triedAt > TRIED_MS) {
        triedAt = Number.POSITIVE_INFINITY;
        trying = tryWrite().finally(() => {
          triedAt = monotonic();
        });
      }
      return trying;
    },
    confirmed(seq) {
      if (seq <= marker.size) return;
      marker = { ...marker, size: seq };
      notes.writeSoon();
    },
    onRecovery: (listener) => void recovered.push(listener),
    async remember() {
      const { clients } = await readFacts(redis, keys);
      if (clients > marker.clients) marker = { ...marker, clients };
      await notes.write();
    },
    check,
    async close() {
      redis.off('ready', onReady);
      closing.abort();
      await notes.close();
    },
  };
}

function asProblem(error: unknown): RekeydError {
  if (error instanceof RekeydError) return error;
  return new RekeydError('redis_unreachable', `Redis could not be checked: ${messageOf(error)}`);
}

/** The marker of the store that answers: the one known before, one that was declared to replace it, or a new one. @throws RekeydError `store_lost` */
async function identify(
  redis: Redis,
  { keys, dataDir }: GuardOptions,
  before: Marker | null,
  find = storeFinder(redis),
): Promise<Marker> {
  const facts = await readFacts(redis, keys);
  const why = whyLost(before, facts);
  if (before !== null && why !== null) {
    // One that was rolled back is where it was.
    throw lost(before, why, keys, facts.id === before.id ? null : await find(before.id));
  }
  const id = facts.id ?? (await nameStore(redis, keys));
  if (before?.id === id) return { ...before, clients: Math.max(before.clients, facts.clients) };
  const marker = { id, clients: facts.clients, size: facts.size };
  await writeMarker(dataDir, marker);
  return marker;
}
