/** What callers of the HTTP API asked for under keys of their own, so that asking again is no second request. */
import type { Redis } from 'ioredis';
import { REMEMBER_MS } from './lua/prelude.ts';
import type { Scripts } from './redis/scripts.ts';

/** What stands under a caller's key. */
export interface Asked {
  /** Hash of what was asked. */
  readonly body: string;
  /** The answer, once there is one. */
  readonly answer: string | null;
}

export interface Idempotency {
  /** Takes the key for this body, for a day. What stands there by then: two who take it at once are told the same. */
  takeKey(name: string, body: string): Promise<Asked>;
  /** The first answer stays, for a day. @returns the answer that stands there */
  keepAnswer(name: string, answer: string): Promise<string>;
}

export function openIdempotency(redis: Redis, { ask, keys }: Scripts): Idempotency {
  /** The first value stays. */
  async function keep(key: string, value: string): Promise<string> {
    const isKept = await ask(() => redis.set(key, value, 'PX', REMEMBER_MS, 'NX'));
    return isKept === 'OK' ? value : ((await ask(() => redis.get(key))) ?? value);
  }

  return {
    async takeKey(name, body) {
      const held = keys.idempotent(name);
      const taken = await keep(held.body, body);
      return { body: taken, answer: await ask(() => redis.get(held.answer)) };
    },
    keepAnswer: (name, answer) => keep(keys.idempotent(name).answer, answer),
  };
}
