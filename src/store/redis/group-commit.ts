/** Scripts that are answered only when what they wrote is on disk. */
import type { Redis } from 'ioredis';
import { RekeydError } from '../../errors.ts';
import type { Durability } from './durability.ts';
import {
  type By,
  beforeAnotherTry,
  type Guarded,
  isNotKnown,
  isUnanswered,
  type ScriptCall,
  scriptArguments,
} from './evaluate.ts';
import { list, storeError } from './replies.ts';

interface Waiting {
  readonly call: ScriptCall;
  readonly resolve: (reply: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** Connections that may wait for the disk at the same time: with `appendfsync everysec` each is blocked for up to a second. */
const LANES = 4;

/**
 * Group commit. WAITAOF blocks its connection and covers only what that connection wrote, so scripts and their WAITAOF travel in one
 * pipeline on one connection, many scripts to one WAITAOF: all that is asked for in one turn of the event loop, or while every lane waits.
 */
export function openGroupWriter(redis: Redis, guard: Guarded) {
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

/** A check between the call and its turn may have found a server that needs no confirmation: there the answer of each write is enough. */
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
