/** What callers of the HTTP API asked for under keys of their own, so that asking again is no second request. */
import type { Redis } from 'ioredis';
import { KEEP } from './lua/idempotency.ts';
import { text } from './redis/replies.ts';
import type { Scripts } from './redis/scripts.ts';

/** What is stored under a caller's key. Neither text has a blank. */
export interface Asked {
  /** Hash of what was asked. */
  readonly body: string;
  /** Names what is begun under the key, until the key is free again. */
  readonly request: string;
}

export interface Idempotency {
  /** Takes the key for a day, unless it is taken. @returns what is stored under it now: two calls at the same moment get the same answer */
  takeKey(name: string, asked: Asked): Promise<Asked>;
  /** Null: none is kept. */
  keptAnswer(request: string): Promise<string | null>;
  /** The first answer stays, for a day. @returns the answer that is stored now */
  keepAnswer(request: string, answer: string): Promise<string>;
}

export function openIdempotency(redis: Redis, { ask, run, keys }: Scripts): Idempotency {
  async function keep(key: string, value: string): Promise<string> {
    return text(await run({ lua: KEEP, keys: [key], args: [value] }));
  }

  return {
    async takeKey(name, { body, request }) {
      const taken = await keep(keys.idempotent(name), `${body} ${request}`);
      const [asked = '', begun = ''] = taken.split(' ');
      return { body: asked, request: begun };
    },
    keptAnswer: (request) => ask(() => redis.get(keys.answer(request))),
    keepAnswer: (request, answer) => keep(keys.answer(request), answer),
  };
}
