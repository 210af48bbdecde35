/** One script, or command, on its way to Redis. */
import { hash } from 'node:crypto';
import type { Redis } from 'ioredis';
import { messageOf } from '../../errors.ts';
import { sleep } from '../../time.ts';
import type { StoreKeys } from '../keys.ts';
import type { Durability } from './durability.ts';
import { isAborted, isBusy, isLoginRefused, isMisdirected, isPassing, storeError } from './replies.ts';

export interface ScriptCall {
  readonly lua: string;
  readonly keys: readonly string[];
  readonly args: readonly (string | number)[];
}

/** Tells whether Redis is the one that was there before, and keeps what it acknowledges; see {@link ../guard.ts}. */
export interface Guarded {
  readonly keys: StoreKeys;
  /** What every script is given: the id of the store, and the least number of audit entries that it must have. */
  readonly expected: { readonly id: string; readonly size: number };
  readonly durability: Durability;
  /** Waits for a check that is under way. @throws RekeydError `store_lost`, `redis_unsafe` */
  ready(): Promise<void>;
  /** A script was refused as run on another store. Resolves when that store was declared to replace ours. @throws RekeydError `store_lost` */
  refused(error: Error): Promise<void>;
  /** Looks into an error that may mean that Redis takes no writes. Resolves with true when there is a problem that the guard reports; never rejects. */
  doubt(error: unknown): Promise<boolean>;
}

type Expecting = Pick<Guarded, 'keys' | 'expected'>;

/** Between two tries at a server that asks for patience, in ms. */
const RETRY_MS = 100;

/** Sends a script by its SHA-1, which spares both sides the text; or with the text, for a server that has not seen it or lost it. */
export type By = 'evalsha' | 'eval';

/** Each script is given its store first; see {@link ../lua/prelude.ts}. */
export function scriptArguments(
  by: By,
  { keys, expected: { id, size } }: Expecting,
  { lua, keys: own, args }: ScriptCall,
): [string, number, ...(string | number)[]] {
  const script = by === 'eval' ? lua : nameOf(lua);
  return [script, own.length + 2, keys.id, keys.auditSize, ...own, id, size, ...args];
}

const names = new Map<string, string>();

/** As Redis names a script. There are fewer than a hundred. */
function nameOf(lua: string): string {
  const name = names.get(lua) ?? hash('sha1', lua);
  names.set(lua, name);
  return name;
}

export function isNotKnown(error: unknown): boolean {
  return messageOf(error).startsWith('NOSCRIPT');
}

export async function evaluate(redis: Redis, guard: Expecting, call: ScriptCall): Promise<unknown> {
  try {
    return await redis.evalsha(...scriptArguments('evalsha', guard, call));
  } catch (error) {
    if (!isNotKnown(error)) throw error;
    return redis.eval(...scriptArguments('eval', guard, call));
  }
}

/** Runs an idempotent command until the right server answers it: if its connection drops half-way, it is sent again. */
export async function untilAnswered<T>(command: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await command();
    } catch (error) {
      if (!isUnanswered(error)) throw storeError(error);
      await beforeAnotherTry([error]);
    }
  }
}

export function isUnanswered(error: unknown): boolean {
  return [isAborted, isMisdirected, isPassing, isBusy, isLoginRefused].some((is) => is(error));
}

/** At once, where the connection is made anew and the command waits for it; after a moment where it stays. */
export async function beforeAnotherTry(errors: readonly unknown[]): Promise<void> {
  if (!errors.some(isAborted)) await sleep(RETRY_MS);
}
