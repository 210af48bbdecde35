/** Runs `task` over all items, at most `limit` at once. Rejects with the first failure, after those under way have ended. */
export async function inParallel<T>(
  items: Iterable<T>,
  limit: number,
  task: (item: T) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.iterator]();
  const failures: unknown[] = [];
  async function lane(): Promise<void> {
    for (let next = iterator.next(); next.done !== true && failures.length === 0; next = iterator.next()) {
      try {
        await task(next.value);
      } catch (error) {
        failures.push(error);
      }
    }
  }
  await Promise.all(Array.from({ length: limit }, lane));
  if (failures.length > 0) throw failures[0];
}

/** How many clients of a list, or of an index, are in memory at once: a fleet may have 100,000. */
export const PAGE = 250;

export function* pagesOf<T>(items: Iterable<T>): Generator<readonly T[]> {
  let page: T[] = [];
  for (const item of items) {
    page.push(item);
    if (page.length < PAGE) continue;
    yield page;
    page = [];
  }
  if (page.length > 0) yield page;
}

export interface Lanes {
  /**
   * Runs `task` when a lane is free.
   * @param urgent the task goes before all waiting ones that are not urgent
   * @param signal when it aborts while the task waits, `run` rejects with its reason; a task that has begun goes on
   */
  run<T>(task: () => Promise<T>, urgent: boolean, signal?: AbortSignal): Promise<T>;
}

/** For tasks that come one by one: at most `limit` of them run at once, and the others wait in line. */
export function openLanes(limit: number): Lanes {
  const urgents = new Set<PromiseWithResolvers<void>>();
  const others = new Set<PromiseWithResolvers<void>>();
  let busy = 0;

  function admit(): void {
    for (const line of [urgents, others]) {
      for (const turn of line) {
        if (busy >= limit) return;
        busy += 1;
        line.delete(turn);
        turn.resolve();
      }
    }
  }

  return {
    async run(task, urgent, signal) {
      signal?.throwIfAborted();
      const line = urgent ? urgents : others;
      const turn = Promise.withResolvers<void>();
      const leave = () => {
        if (line.delete(turn)) turn.reject(signal?.reason);
      };
      signal?.addEventListener('abort', leave, { once: true });
      line.add(turn);
      admit();
      await turn.promise.finally(() => signal?.removeEventListener('abort', leave));
      try {
        return await task();
      } finally {
        busy -= 1;
        admit();
      }
    },
  };
}
