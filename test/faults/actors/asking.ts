/** Asks for rotations until the answer is there, and waits until all of them are done. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Violation } from '../checks/checker.ts';
import type { StoredEnd, StoredRecord } from '../evidence/evidence.ts';
import type { FaultClient } from '../stage/fleet.ts';
import type { Testbed } from '../stage/testbed.ts';

/** How long an answer, or the end of all work, may take. */
export const PATIENCE_MS = 60_000;

export const POLL_MS = 100;

/** The data of a `request` job, but for what is always the same. */
export interface Wish {
  readonly select?: object;
  readonly compromised?: boolean | { readonly kid: string };
  readonly take_over?: boolean;
  readonly keep_standby?: boolean;
  /** Also where the breaker would hold it back. */
  readonly confirm?: boolean;
}

/** Asks until the answer is in, or (null) when the patience is over. A request that a power cut undid was never acknowledged: it is sent again. */
export async function ask(
  { queues, history }: Pick<Testbed, 'queues' | 'history'>,
  id: string,
  wish: Wish,
  patienceMs: number,
): Promise<readonly string[] | null> {
  const data = { v: 1, select: { all: true }, reason: 'faults', actor: 'faults', compromised: false, ...wish };
  // Redis may refuse to write anything, or be away.
  const add = () => queues.control.add('request', data, { jobId: id }).catch(() => undefined);
  await add();
  for (const end = performance.now() + patienceMs; performance.now() < end; await delay(POLL_MS)) {
    const job = await queues.control.getJob(id).catch(() => null);
    if (job === null) continue;
    if (job === undefined) await add();
    else if (job.finishedOn !== undefined) {
      if (job.failedReason) {
        // Redis took nothing, not even that the request waits. The one who asked is told so, and asks again.
        const told = `${id} failed after ${job.attemptsMade}: ${job.failedReason}`;
        history.note({ kind: 'asked', job: told, rotations: [] });
        await job.remove();
        continue;
      }
      const { rotations }: { rotations: { id: string }[] } = job.returnvalue;
      const ids = rotations.map((rotation) => rotation.id);
      history.note({ kind: 'asked', job: id, rotations: ids });
      return ids;
    }
  }
  history.note({ kind: 'asked', job: `${id} was never answered`, rotations: [] });
  return null;
}

/** Null while the store does not know the client. */
export async function recordOf(raw: Redis, ref: string): Promise<StoredRecord | null> {
  return JSON.parse((await raw.hget(`{rekeyd}:store:client:${ref}`, 'record')) ?? 'null');
}

/** True while something is left to do for a client without anybody asking. */
export function isBusy(record: StoredRecord | null): boolean {
  if (record === null) return false;
  return record.rotation !== null || record.retirements.length > 0 || record.server.inFlight !== null;
}

/** Waits until nothing is left to do. What is then still under way is stuck. */
export async function quiet(
  raw: Redis,
  clients: readonly FaultClient[],
  rotations: ReadonlySet<string>,
  forMs: number,
): Promise<readonly Violation[]> {
  for (const end = performance.now() + forMs; ; await delay(POLL_MS)) {
    const stuck: Violation[] = [];
    const ended = new Set<string>();
    for (const { ref } of clients) {
      const record = await recordOf(raw, ref);
      for (const summary of await raw.lrange(`{rekeyd}:store:history:${ref}`, 0, -1)) {
        const { id }: StoredEnd = JSON.parse(summary);
        ended.add(id);
      }
      if (record !== null && isBusy(record)) stuck.push({ rule: 'stuck', ref, message: whatIsLeft(record) });
    }
    const missing = await notIn(raw, ended, rotations);
    if (stuck.length === 0 && missing.length === 0) return [];
    if (performance.now() < end) continue;
    const forgotten = missing.map((id) => ({ rule: 'forgotten', ref: null, message: `rotation ${id} never ended` }));
    return [...stuck, ...forgotten];
  }
}

function whatIsLeft({ rotation, retirements, server, halted }: StoredRecord): string {
  const leaving = retirements.map(({ kid, phase, until, tries: { error } }) => ({ kid, phase, until, error }));
  const phase = rotation?.phase;
  const left = { phase, error: rotation?.tries.error, leaving, deadline: server.inFlight?.deadline, halted };
  return `is not done: ${JSON.stringify(left)}`;
}

/** The history keeps only the last few; the audit log keeps all. */
async function notIn(raw: Redis, ended: Set<string>, rotations: ReadonlySet<string>): Promise<readonly string[]> {
  const missing = [...rotations].filter((id) => !ended.has(id));
  if (missing.length === 0) return [];
  for (const [, [, , , draft = 'null']] of await raw.xrange('{rekeyd}:store:audit', '-', '+')) {
    const { type, rotation } = JSON.parse(draft);
    if (ENDS.includes(type)) ended.add(rotation);
  }
  return missing.filter((id) => !ended.has(id));
}

const ENDS = ['rotation.completed', 'rotation.failed', 'rotation.rolled_back'];
