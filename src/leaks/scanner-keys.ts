/** The public keys that scanners sign their reports with, as they publish them: GitHub and GitLab in the same form. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { members } from '../core/reply.ts';
import { exchange } from '../net/exchange.ts';
import { openPool, type Route } from '../net/pool.ts';
import { monotonic, systemClock } from '../time.ts';

export interface KeyPlace {
  readonly keysUrl: string;
  readonly route: Route;
}

export interface ScannerKeys {
  /** Null: the scanner publishes no such key. @throws Error when its keys cannot be read now */
  keyOf(place: KeyPlace, identifier: string): Promise<KeyObject | null>;
}

/** How long keys that were read count, in ms. A key that the scanner takes back is refused after that. */
const FRESH_MS = 3_600_000;

/** Reports with made-up key identifiers cause the scanner's keys to be fetched again at most this often, in ms. */
const REST_MS = 60_000;

const TIMEOUT_MS = 10_000;
const MAX_BYTES = 256 * 1024;

interface Published {
  readonly keys: Promise<ReadonlyMap<string, KeyObject>>;
  /** The keys count until {@link FRESH_MS} after this. */
  readonly at: number;
  /** When the scanner was last asked, also in vain. */
  readonly askedAt: number;
}

/** @param now ms that only rise */
export function openScannerKeys(now: () => number = monotonic): ScannerKeys {
  const known = new Map<string, Published>();

  function read(place: KeyPlace): Published['keys'] {
    const before = known.get(place.keysUrl);
    const published = { keys: fetchKeys(place), at: now(), askedAt: now() };
    known.set(place.keysUrl, published);
    // Keys that were read before count on, unless they are too old. Without such keys the failure itself counts for a while: not every report asks the scanner again.
    published.keys.catch(() => {
      const counts = before !== undefined && now() - before.at < FRESH_MS;
      const { askedAt } = published;
      known.set(place.keysUrl, counts ? { ...before, askedAt } : { ...published, at: now() - FRESH_MS + REST_MS });
    });
    return published.keys;
  }

  return {
    async keyOf(place, identifier) {
      const held = known.get(place.keysUrl);
      const isFresh = held !== undefined && now() - held.at < FRESH_MS;
      const found = (await (isFresh ? held.keys : read(place))).get(identifier);
      if (found !== undefined || !isFresh || now() - held.askedAt < REST_MS) return found ?? null;
      return (await read(place)).get(identifier) ?? null;
    },
  };
}

async function fetchKeys({ keysUrl, route }: KeyPlace): Promise<ReadonlyMap<string, KeyObject>> {
  const { origin, pathname } = new URL(keysUrl);
  const pool = openPool(origin, { ...route, connections: 1, timeoutMs: TIMEOUT_MS });
  try {
    const answer = await exchange(pool, {
      method: 'GET',
      path: pathname,
      // GitHub refuses who does not say what it is.
      headers: { accept: 'application/json', 'user-agent': 'rekeyd' },
      body: null,
      timeoutMs: TIMEOUT_MS,
      maxBytes: MAX_BYTES,
      signal: undefined,
      now: systemClock.now,
    });
    if (answer.kind === 'lost') throw new Error(`${keysUrl} cannot be read: ${answer.message}`);
    if (answer.status !== 200) throw new Error(`${keysUrl} answers ${answer.status}`);
    return keysIn(answer.body, keysUrl);
  } finally {
    await pool.close();
  }
}

/** `{"public_keys":[{"key_identifier","key":PEM,"is_current"}]}`: one that is not current may have signed what comes late. */
function keysIn(body: string, url: string): ReadonlyMap<string, KeyObject> {
  const keys = new Map<string, KeyObject>();
  try {
    const { public_keys: listed } = members(JSON.parse(body));
    for (const entry of Array.isArray(listed) ? listed : []) {
      const { key_identifier: identifier, key } = members(entry);
      if (typeof identifier === 'string' && typeof key === 'string') keys.set(identifier, createPublicKey(key));
    }
  } catch {
    throw new Error(`${url} does not answer with public keys`);
  }
  return keys;
}
