/** Sends scripts to Redis: at once and answered as soon as executed, or in groups and answered only when on disk. */
import { hash } from 'node:crypto';
import type { Redis } from 'ioredis';
import { messageOf, RekeydError } from '../../errors.ts';
import { sleep } from '../../time.ts';
import { keys } from '../keys.ts';
import type { Durability } from './durability.ts';
import { isAborted, isMisdirected, isOtherStore, isPassing, list, storeError } from './replies.ts';

export interface ScriptCall {
  readonly lua: string;
  readonly keys: readonly string[];
  readonly args: readonly (string | number)[];
}

export interface Scripts {
  /** Runs an idempotent command, waiting for Redis when it is away. @throws RekeydError `redis_unreachable` (closed) */
  ask<T>(command: () => Promise<T>): Promise<T>;
  /** Resolves with the script's answer. @throws RekeydError `not_durable` (Redis refuses writes), `redis_unreachable` (closed) */
  run(call: ScriptCall): Promise<unknown>;
  /** The same, but resolves only when what the script wrote is on disk. @throws RekeydError `not_durable` */
  runDurably(call: ScriptCall): Promise<unknown>;
  /** Closes the connections opened here; all that still waits is rejected. */
  close(): void;
}

interface Waiting {
  readonly call: ScriptCall;
  readonly resolve: (reply: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** Connections that may wait for the disk at the same time: with `appendfsync everysec` each is blocked for up to a second. */
const LANES = 4;

/** Between two tries at a server that asks for patience, in ms. */
const RETRY_MS = 100;

/** Sends a script by its SHA-1, which spares both sides the text; or with the text, for a server that has not seen it or lost it. */
type By = 'evalsha' | 'eval';

/** Each script is given its store first; see {@link ../lua/prelude.ts}. */
function scriptArguments(
  by: By,
  { expected: { id, size } }: Guarded,
  { lua, keys: own, args }: ScriptCall,
): [string, number, ...(string | number)[]] {
  const script = by === 'eval' ? lua : nameOf(lua);
  return [script, own.length + 2, keys.id, keys.auditSize, ...own, id, size, ...args];
}

const names = new Map<string, string>();

/** As Redis names a script. There are some twenty. */
function nameOf(lua: string): string {
  const name = names.get(lua) ?? hash('sha1', lua);
  names.set(lua, name);
  return name;
}

function isNotKnown(error: unknown): boolean {
  return messageOf(error).startsWith('NOSCRIPT');
}

async function evaluate(redis: Redis, guard: Guarded, call: ScriptCall): Promise<unknown> {
  try {
    return await redis.evalsha(...scriptArguments('evalsha', guard, call));
  } catch (error) {
    if (!isNotKnown(error)) throw error;
    return redis.eval(...scriptArguments('eval', guard, call));
  }
}

/** Runs an idempotent command until the right server answers it: one whose connection dropped half-way is sent again. */
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

function isUnanswered(error: unknown): boolean {
  return isAborted(error) || isMisdirected(error) || isPassing(error);
}

/** At once, where the connection is made anew and the command waits for it; after a moment where it stays. */
async function beforeAnotherTry(errors: readonly unknown[]): Promise<void> {
  if (!errors.some(isAborted)) await sleep(RETRY_MS);
}

/** Tells whether Redis is the one that was there before, and keeps what it acknowledges; see {@link ../guard.ts}. */
export interface Guarded {
  /** What every script is given: the id of the store, and the least number of audit entries that it must have. */
  readonly expected: { readonly id: string; readonly size: number };
  readonly durability: Durability;
  /** Waits for a check that is under way. @throws RekeydError `store_lost`, `redis_unsafe` */
  ready(): Promise<void>;
  /** A script was refused as run on another store. Resolves when that store was declared to replace ours. @throws RekeydError `store_lost` */
  refused(error: Error): Promise<void>;
}

export function openScripts(redis: Redis, guard: Guarded): Scripts {
  const writer = openGroupWriter(redis, guard);
  const waiting = new Set<(error: Error) => void>();
  const closedError = () => new RekeydError('redis_unreachable', 'The store was closed before Redis answered.');
  let closed = false;

  // ioredis forgets what is queued when it is disconnected between two attempts to connect; nobody may wait for that forever.
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
      if (!isOtherStore(error)) throw error;
      await guard.refused(error);
      return send();
    }
  }

  return {
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

/**
 * Group commit. WAITAOF blocks its connection and covers only what that connection wrote, so scripts and their WAITAOF travel in one
 * pipeline on one connection, many scripts to one WAITAOF: all that is asked for in one turn of the event loop, or while every lane waits.
 */
function openGroupWriter(redis: Redis, guard: Guarded) {
  let queue: Waiting[] = [];
  const idle: Redis[] = [];
  const lanes: Redis[] = [];
  let scheduled = false;

  function takeLane(): Redis | undefined {
    const lane = idle.pop();
    if (lane !== undefined || lanes.length === LANES) return lane;
    const opened = redis.duplicate({ enableAutoPipelining: false });
    opened.on('error', () => {}); // the main connection reports; without a listener ioredis prints every error
    lanes.push(opened);
    return opened;
  }

  function flush(): void {
    scheduled = false;
    if (queue.length === 0) return;
    const lane = takeLane();
    if (lane === undefined) return;
    const group = queue;
    queue = [];
    void writeGroup(lane, group, guard).then(() => {
      idle.push(lane);
      flush();
    });
  }

  return {
    write(call: ScriptCall): Promise<unknown> {
      return new Promise((resolve, reject) => {
        queue.push({ call, resolve, reject });
        if (scheduled) return;
        scheduled = true;
        setImmediate(flush);
      });
    },
    close(): void {
      queue = [];
      for (const lane of lanes) lane.disconnect();
    },
  };
}

/** Between the call and its turn, a new check may have found that the answer of each write says it all. */
const NO_CONFIRMATION: NonNullable<Durability['confirmation']> = { commands: [['PING']], enough: () => true };

/** Settles every member of the group; never throws. */
async function writeGroup(lane: Redis, group: readonly Waiting[], guard: Guarded): Promise<void> {
  const { commands, enough } = guard.durability.confirmation ?? NO_CONFIRMATION;
  try {
    const replies = await exchange(lane, group, guard, commands);
    const problem = confirmationProblem(replies.at(-1), enough);
    group.forEach(({ resolve, reject }, index) => {
      const [error, reply] = replies[index] ?? [new Error('Redis answered too few commands'), null];
      if (error !== null) reject(storeError(error));
      else if (problem !== null) reject(problem);
      else resolve(reply);
    });
  } catch (error) {
    for (const { reject } of group) reject(storeError(error));
  }
}

type Reply = readonly [error: Error | null, reply: unknown];

/**
 * Sends the whole group again unless one server knew all scripts and answered all of it over one connection: a WAITAOF without its writes proves
 * nothing. The server that lost its role between a write and the WAITAOF may forget that write, and its successor may never have seen it.
 */
async function exchange(
  lane: Redis,
  group: readonly Waiting[],
  guard: Guarded,
  confirm: NonNullable<Durability['confirmation']>['commands'],
): Promise<readonly Reply[]> {
  for (let by: By = 'evalsha'; ; ) {
    const pipeline = lane.pipeline();
    for (const { call } of group) pipeline[by](...scriptArguments(by, guard, call));
    for (const [name, ...args] of confirm) pipeline.call(name, ...args);
    const replies: readonly Reply[] = (await pipeline.exec()) ?? [];
    const errors = replies.flatMap(([error]) => error ?? []);
    by = errors.some(isNotKnown) ? 'eval' : 'evalsha';
    if (by === 'eval') continue;
    if (!errors.some(isUnanswered)) return replies;
    await beforeAnotherTry(errors);
  }
}

function confirmationProblem(reply: Reply | undefined, enough: (counts: readonly unknown[]) => boolean): Error | null {
  const [error, counts] = reply ?? [new Error('no answer'), null];
  if (error !== null) return notDurable(storeError(error).message);
  if (enough(Array.isArray(counts) ? list(counts) : [counts])) return null;
  return notDurable('it did not confirm in time');
}

function notDurable(why: string): RekeydError {
  return new RekeydError(
    'not_durable',
    `A change was written but Redis could not confirm that it is on disk: ${why}. Nothing was sent to the API on its account, and the step is tried again. Check the Redis server's disk, its appendonly and appendfsync settings and, when replicas must confirm, that they are connected and keep an append-only file too.`,
  );
}
