/** Who is known, who is due, who has unfinished work. */
import type { Redis } from 'ioredis';
import { type ClientRef, parseReference } from '../core/client.ts';
import { keys } from './keys.ts';
import type { Scripts } from './scripts.ts';

export interface Indexes {
  /** Every known client, in alphabetical order. */
  clientRefs(): Promise<ClientRef[]>;
  clientCount(): Promise<number>;
  /** Clients due at `now` (ms since the Unix epoch), the longest due first. */
  due(now: number, limit: number, offset?: number): Promise<ClientRef[]>;
  /** Moves when a client is due, outside a commit: the policy changed, not the client. Null removes. */
  setDue(ref: ClientRef, at: number | null): Promise<void>;
  openWork(): Promise<ClientRef[]>;
}

export function openIndexes(redis: Redis, scripts: Scripts): Indexes {
  async function references(command: () => Promise<string[]>): Promise<ClientRef[]> {
    return (await scripts.ask(command)).map(parseReference);
  }

  return {
    clientRefs: () => references(() => redis.zrange(keys.clients, '0', '-1')),
    clientCount: () => scripts.ask(() => redis.zcard(keys.clients)),
    due: (now, limit, offset = 0) =>
      references(() => redis.zrangebyscore(keys.due, '-inf', now, 'LIMIT', offset, limit)),
    async setDue(ref, at) {
      await scripts.ask(() => (at === null ? redis.zrem(keys.due, ref) : redis.zadd(keys.due, at, ref)));
    },
    openWork: () => references(() => redis.smembers(keys.open)),
  };
}
