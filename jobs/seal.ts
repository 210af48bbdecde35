/** Seals the audit log every few seconds, on the worker that has the lease. A seal that cannot be made stops nothing else. */
import { randomUUID } from 'node:crypto';
import { keepsFromSealing, openSealer, type SealRun } from '../src/audit/seal.ts';
import { messageOf } from '../src/errors.ts';
import { sleep, untilAborted } from '../src/time.ts';
import type { JobContext } from './context.ts';

export const SEAL_EVERY_MS = 5_000;

/** For this many rounds the lease of a sealer that is gone keeps the others waiting. */
const ROUNDS = 3;

/** A problem that stays is told again after this time, in ms. */
const TELL_AGAIN_MS = 10 * 60_000;

const NEVER = new AbortController().signal;

export interface Sealing {
  /** Seals what there is by now, and ends. */
  stop(): Promise<void>;
}

/** @param hurry aborts when Redis is given up */
export function sealRegularly(context: JobContext, everyMs: number, hurry: AbortSignal = NEVER): Sealing {
  const { resources, keks, log } = context;
  const { store, guard } = resources;
  const holder = randomUUID();
  const sealer = openSealer(store, { holder, leaseMs: ROUNDS * everyMs, keks });
  const stopping = new AbortController();
  let told: { readonly message: string; readonly at: number } | null = null;

  /** @returns how many rounds to wait for the next one */
  async function round(): Promise<number> {
    // What is wrong with the store is told by the guard.
    if (guard.problem !== null) return 1;
    try {
      const run = await untilAborted(sealer.run(), hurry);
      tellRun(run);
      if (told !== null && run.kind !== 'elsewhere') {
        log.info({}, 'the audit log is sealed again');
        told = null;
      }
      return 1;
    } catch (error) {
      if (hurry.aborted || guard.problem !== null) return 1;
      tell(error);
      // Another worker may have the KEK that this one lacks.
      await leave();
      return ROUNDS;
    }
  }

  async function leave(): Promise<void> {
    if (!hurry.aborted && guard.problem === null) await untilAborted(store.leaveSeal(holder), hurry).catch(() => {});
  }

  function tellRun(run: SealRun): void {
    if (run.kind !== 'sealed') return;
    const { seq, hash, checkpoint, key } = run;
    log.info({ seq, hash, checkpoint, kid: key.kid, public_key: key.x }, 'audit log sealed');
  }

  function tell(error: unknown): void {
    const [message, at] = [messageOf(error), resources.clock.now()];
    if (told?.message === message && Math.abs(at - told.at) < TELL_AGAIN_MS) return;
    told = { message, at };
    log[keepsFromSealing(error) ? 'error' : 'warn']({ error: message }, 'THE AUDIT LOG IS NOT SEALED: rotations go on');
  }

  async function run(): Promise<void> {
    for (let rounds = 1; !stopping.signal.aborted; rounds = await round()) {
      await sleep(rounds * everyMs, stopping.signal);
    }
    await leave();
  }
  const ended = run();

  return {
    async stop() {
      stopping.abort();
      await ended;
    },
  };
}
