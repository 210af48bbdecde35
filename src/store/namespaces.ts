/** Which namespaces of a Redis hold a store. One that is missing under its name may be there under another. */
import type { Redis } from 'ioredis';
import { monotonic } from '../time.ts';
import { storeKeys } from './keys.ts';
import { integer, list, text } from './redis/replies.ts';

export interface NamespaceFound {
  readonly namespace: string;
  /** Of its store. */
  readonly id: string;
  readonly clients: number;
}

/** Other applications may have millions of keys in the same database. */
const PAGE = 1_000;
const LONGEST_MS = 2_000;

/**
 * Looks through the names of the database that `redis` is in, for two seconds at most; on a cluster, through those of one node. Empty where the server does
 * not let us look.
 */
export async function findNamespaces(redis: Redis): Promise<readonly NamespaceFound[]> {
  const found: NamespaceFound[] = [];
  const start = monotonic();
  let cursor = '0';
  try {
    do {
      const reply = list(await redis.scan(cursor, 'MATCH', storeKeys('*').id, 'COUNT', PAGE));
      cursor = text(reply[0]);
      for (const key of list(reply[1])) found.push(...(await lookInto(redis, text(key))));
    } while (cursor !== '0' && monotonic() - start < LONGEST_MS);
  } catch {
    // The answer is only advice: the loss is reported without it, too.
  }
  return found.sort((a, b) => (a.namespace < b.namespace ? -1 : 1));
}

/** Where the store with that id is. Looked for once, since the look is long. */
export function storeFinder(redis: Redis): (id: string) => Promise<NamespaceFound | null> {
  const answers = new Map<string, Promise<NamespaceFound | null>>();
  return (id) => {
    const answer = answers.get(id) ?? findNamespaces(redis).then((all) => all.find((one) => one.id === id) ?? null);
    answers.set(id, answer);
    return answer;
  };
}

/** Nothing, where the ACL user may not look into that namespace. */
async function lookInto(redis: Redis, key: string): Promise<readonly NamespaceFound[]> {
  const [, namespace = ''] = /^\{([^{}]+)\}/.exec(key) ?? [];
  const keys = storeKeys(namespace);
  try {
    const [id, clients] = [await redis.get(keys.id), await redis.zcard(keys.clients)];
    return id === null ? [] : [{ namespace, id, clients: integer(clients) }];
  } catch {
    return [];
  }
}
