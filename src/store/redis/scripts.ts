/** Sends scripts to Redis: at once and answered as soon as executed, or in groups and answered only when on disk. */
import type { Redis } from 'ioredis';
import { RekeydError } from '../../errors.ts';
import type { StoreKeys } from '../keys.ts';
import { evaluate, type Guarded, type ScriptCall, untilAnswered } from './evaluate.ts';
import { openGroupWriter } from './group-commit.ts';
import { isOtherStore } from './replies.ts';

export interface Scripts {
  readonly keys: StoreKeys;
  /** Runs an idempotent command, waiting for Redis when it is away. @throws RekeydError `redis_unreachable` (closed) */
  ask<T>(command: () => Promise<T>): Promise<T>;
  /** Resolves with the script's answer. @throws RekeydError `not_durable` (Redis refuses writes), `redis_unreachable` (closed) */
  run(call: ScriptCall): Promise<unknown>;
  /** The same, but resolves only when what the script wrote is on disk. @throws RekeydError `not_durable` */
  runDurably(call: ScriptCall): Promise<unknown>;
  /** Closes the connections opened here; all that still waits is rejected. */
  close(): void;
}

export function openScripts(redis: Redis, guard: Guarded): Scripts {
  const writer = openGroupWriter(redis, guard);
  const waiting = new Set<(error: Error) => void>();
  const closedError = () => new RekeydError('redis_unreachable', 'The store was closed before Redis answered.');
  let closed = false;

  // ioredis forgets what is queued when it is disconnected between two attempts to connect: its callers would wait for ever.
  function untilClosed<T>(answer: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (closed) return reject(closedError());
      waiting.add(reject);
      answer()
        .then(resolve, reject)
        .finally(() => waiting.delete(reject));
    });
  }

  const ask = <T>(command: () => Promise<T>) => untilClosed(() => untilAnswered(command));
  /** Sent again only when the store was declared lost and replaced. */
  async function guarded(send: () => Promise<unknown>): Promise<unknown> {
    await guard.ready();
    try {
      return await send();
    } catch (error) {
      if (!isOtherStore(error)) {
        void guard.doubt(error);
        throw error;
      }
      await guard.refused(error);
      return send();
    }
  }

  return {
    keys: guard.keys,
    ask,
    run: (call) => untilClosed(() => guarded(() => untilAnswered(() => evaluate(redis, guard, call)))),
    runDurably: (call) =>
      untilClosed(async () => {
        const reply = await guarded(() =>
          guard.durability.confirmation === null
            ? untilAnswered(() => evaluate(redis, guard, call))
            : writer.write(call),
        );
        // It may have been sent again, to a server that no longer keeps what it acknowledges.
        await guard.ready();
        return reply;
      }),
    close() {
      closed = true;
      writer.close();
      for (const reject of waiting) reject(closedError());
    },
  };
}
