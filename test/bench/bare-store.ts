/** Durable writes to Redis, grouped as well as one can: what is asked for in one turn of the event loop, or while all connections wait, is one pipeline. */
import type { Redis } from 'ioredis';
import { connectRedis } from '../../src/store/redis/connection.ts';
import { checkDurability } from '../../src/store/redis/durability.ts';

/** WAITAOF blocks its connection: with `appendfsync everysec` for up to a second, in which others go on. */
const CONNECTIONS = 64;

export interface BareStore {
  /** Sets fields of a hash, and deletes others. Resolves when that is on disk. */
  write(key: string, fields: Readonly<Record<string, string>>, erased?: readonly string[]): Promise<void>;
  close(): void;
}

interface Waiting {
  readonly key: string;
  readonly fields: Readonly<Record<string, string>>;
  readonly erased: readonly string[];
  readonly done: PromiseWithResolvers<void>;
}

/** @throws RekeydError when that Redis keeps nothing */
export async function openBareStore(socketPath: string): Promise<BareStore> {
  const first = await connectRedis({ socketPath }, { name: 'bench' });
  const { confirmation } = await checkDurability(first, { mode: 'strict' });
  const connections = [first];
  const idle = [first];
  let queue: Waiting[] = [];
  let isScheduled = false;

  function takeConnection(): Redis | undefined {
    const taken = idle.pop();
    if (taken !== undefined || connections.length === CONNECTIONS) return taken;
    const opened = first.duplicate({ enableAutoPipelining: false });
    opened.on('error', () => {}); // without a listener ioredis prints it
    connections.push(opened);
    return opened;
  }

  async function send(connection: Redis, group: readonly Waiting[]): Promise<void> {
    const pipeline = connection.pipeline();
    for (const { key, fields, erased } of group) {
      pipeline.hset(key, fields);
      if (erased.length > 0) pipeline.hdel(key, ...erased);
    }
    for (const [name, ...args] of confirmation?.commands ?? []) pipeline.call(name, ...args);
    try {
      const replies = (await pipeline.exec()) ?? [];
      const [failure] = replies.flatMap(([error]) => error ?? []);
      const counts = replies.at(-1)?.[1];
      if (failure !== undefined) throw failure;
      if (confirmation?.enough(Array.isArray(counts) ? counts : [counts]) === false) throw new Error('not on disk');
      for (const { done } of group) done.resolve();
    } catch (error) {
      for (const { done } of group) done.reject(error);
    }
  }

  function flush(): void {
    isScheduled = false;
    const connection = queue.length === 0 ? undefined : takeConnection();
    if (connection === undefined) return;
    const group = queue;
    queue = [];
    void send(connection, group).then(() => {
      idle.push(connection);
      flush();
    });
  }

  return {
    write(key, fields, erased = []) {
      const done = Promise.withResolvers<void>();
      queue.push({ key, fields, erased, done });
      if (!isScheduled) setImmediate(flush);
      isScheduled = true;
      return done.promise;
    },
    close() {
      for (const connection of connections) connection.disconnect();
    },
  };
}
