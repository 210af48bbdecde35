/** One seed: a fleet is rotated while everything around it breaks, is left to finish in peace, and is then judged. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { redisKinds } from '../support/redis.ts';
import { breakThings } from './chaos.ts';
import { judge, type Violation } from './checker.ts';
import { gather, type StoredRecord } from './evidence.ts';
import { ENVIRONMENT } from './fleet.ts';
import type { Event } from './history.ts';
import { startLogins } from './logins.ts';
import { startPool } from './pool.ts';
import { chance } from './random.ts';
import { onStage, type Stage } from './stage.ts';

export interface ScenarioOptions {
  readonly seed: number;
  /** Nothing is broken: what a rotation looks like by itself. */
  readonly calm?: boolean;
  /** How many times the fleet is asked to rotate, with {@link ACTS_PER_ASK} things broken after each. */
  readonly asks?: number;
  readonly keep?: boolean;
  /** How long the fleet may take to come to rest, in ms. */
  readonly quietMs?: number;
}

export interface ScenarioResult {
  readonly seed: number;
  readonly seconds: number;
  readonly kills: number;
  readonly lockLosses: number;
  readonly redisFaults: number;
  readonly rotations: number;
  readonly logins: { readonly ok: number; readonly fallback: number; readonly refused: number };
  readonly violations: readonly Violation[];
  /** Each point that a worker passed, or died at. */
  readonly points: ReadonlySet<string>;
  /** Where the history is, when it was kept. */
  readonly dir: string | null;
}

const ASKS = 4;
const ACTS_PER_ASK = 6;
const QUIET_MS = 60_000;
const POLL_MS = 100;

export async function runScenario({
  seed,
  calm = false,
  asks = ASKS,
  keep = false,
  quietMs = QUIET_MS,
}: ScenarioOptions): Promise<ScenarioResult> {
  const startedAt = performance.now();
  const dice = chance(seed);
  // Only a server that confirms single writes may be late with the others.
  const everysec = redisKinds[0] === 'valkey' && dice.next() < 0.75;
  return onStage(everysec, async (stage) => {
    const { history, clients, raw, emulator } = stage;
    const stopLogins = await startLogins(clients, emulator, history);
    stage.later('logins', stopLogins);
    const pool = startPool({
      dir: stage.dir,
      size: dice.between(1, 3),
      config: stage.config,
      env: ENVIRONMENT,
      history,
      chance: dice.branch('workers'),
      deadly: !calm,
    });
    stage.later('workers', () => pool.stop());
    await pool.ready();
    const reach = { ...stage, pool, chance: dice.branch('chaos') };
    const asked = [ask(stage, `ask-${seed}-0`)];
    if (!calm) {
      for (let count = 1; count <= asks; count += 1) {
        await breakThings(reach, ACTS_PER_ASK);
        if (count < asks) asked.push(ask(stage, `ask-${seed}-${count}`));
      }
      emulator.faults.clear();
      pool.calm();
    }
    const answers = await Promise.all(asked);
    const rotations = new Set(answers.flatMap((ids) => ids ?? []));
    const stuck = await quiet(
      raw,
      clients.map(({ ref }) => ref),
      rotations,
      quietMs,
    );
    await delay(POLL_MS * 5); // a few more logins with what is left
    await stopLogins();
    await pool.stop();
    stage.watch.close();
    const points = readPoints(stage.dir);
    const evidence = await gather(clients, history.events, raw, emulator, stage.publicFolder);
    const unanswered: Violation[] = answers.includes(null)
      ? [{ rule: 'unanswered', ref: null, message: 'a request was never answered' }]
      : [];
    const violations = [...unanswered, ...stuck, ...(await judge(evidence, emulator, stuck.length === 0))];
    const result: ScenarioResult = {
      seed,
      seconds: (performance.now() - startedAt) / 1000,
      kills: pool.kills,
      ...count(history.events),
      rotations: rotations.size,
      violations,
      points,
      dir: keep || violations.length > 0 ? stage.dir : null,
    };
    return { result, keep: result.dir !== null };
  });
}

/** Asks for everybody's rotation until the answer is in, or (null) for as long as anybody would wait. A request that a power cut undid was never acknowledged: it is sent again. */
async function ask({ queues, history }: Stage, id: string): Promise<readonly string[] | null> {
  const data = { v: 1, select: { all: true }, reason: 'faults', actor: 'faults', compromised: false };
  await queues.addControl('request', data, id);
  for (const end = performance.now() + QUIET_MS; performance.now() < end; await delay(POLL_MS)) {
    const job = await queues.control.getJob(id);
    if (job === undefined) await queues.addControl('request', data, id);
    else if (job.finishedOn !== undefined) {
      if (job.failedReason) {
        // The API was away for all its attempts, and whoever asked was told so: they ask again.
        history.note({
          kind: 'asked',
          job: `${id} failed after ${job.attemptsMade}: ${job.failedReason}`,
          rotations: [],
        });
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

/** Waits until nothing is left to do. What is then still under way is stuck. */
async function quiet(
  raw: Redis,
  refs: readonly string[],
  rotations: ReadonlySet<string>,
  forMs: number,
): Promise<readonly Violation[]> {
  const end = performance.now() + forMs;
  for (;;) {
    const stuck: Violation[] = [];
    const ended = new Set<string>();
    for (const ref of refs) {
      const record: StoredRecord = JSON.parse((await raw.hget(`{rekeyd}:store:client:${ref}`, 'record')) ?? 'null');
      const { rotation, retiring, inFlight, lastError } = record;
      for (const { id, state } of record.history) if (state !== 'running' && state !== 'active') ended.add(id);
      if (rotation === null && retiring.length === 0 && inFlight === null) continue;
      const message = `is not done: ${JSON.stringify({ phase: rotation?.phase, retiring, lastError })}`;
      stuck.push({ rule: 'stuck', ref, message });
    }
    const missing = [...rotations].filter((id) => !ended.has(id));
    if (stuck.length === 0 && missing.length === 0) return [];
    if (performance.now() > end) {
      return [
        ...stuck,
        ...missing.map((id) => ({ rule: 'forgotten', ref: null, message: `rotation ${id} never ended` })),
      ];
    }
    await delay(POLL_MS);
  }
}

function count(events: readonly Event[]): Pick<ScenarioResult, 'lockLosses' | 'redisFaults' | 'logins'> {
  const logins = { ok: 0, fallback: 0, refused: 0 };
  let lockLosses = 0;
  let redisFaults = 0;
  for (const event of events) {
    if (event.kind === 'login') logins[event.result] += 1;
    if (event.kind === 'lock_loss') lockLosses += 1;
    if (event.kind === 'redis' && event.fault.endsWith('ms)')) redisFaults += 1;
  }
  return { lockLosses, redisFaults, logins };
}

function readPoints(dir: string): ReadonlySet<string> {
  const files = readdirSync(dir).filter((name) => name.startsWith('points-'));
  const lines = files.flatMap((name) => readFileSync(join(dir, name), 'utf8').split('\n').filter(Boolean));
  return new Set(lines.map((line) => JSON.parse(line).point));
}
