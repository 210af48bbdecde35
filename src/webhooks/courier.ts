/**
 * Delivers one webhook: the entries of the audit log after its cursor, one after the other. An entry is passed only when its receiver took it, or when it was
 * given up: a worker that dies in between has another one send it again, under the same id. So a receiver hears of everything at least once, and in order.
 */
import { randomUUID } from 'node:crypto';
import { AFTER_DEAD_MS, retryDelay } from '../core/webhook.ts';
import { messageOf } from '../errors.ts';
import { monotonic, sleep, untilAborted } from '../time.ts';
import { type DeliveryOptions, fingerprint, openRun, type Pace } from './turn.ts';

export interface CourierOptions extends DeliveryOptions {
  /** {@link PACE} when absent. */
  readonly pace?: Pace | undefined;
}

const PACE: Pace = { lookMs: 1_000, waitMs: 2_000, retryMs: retryDelay, afterDeadMs: AFTER_DEAD_MS, awayMs: 5_000 };

/** A lease outlives the try that is made under it by this, in ms: no second worker sends while one may still do. */
const MARGIN_MS = 15_000;

/** How long a worker that ends tries to say so, in ms. Else the next one waits for the end of the lease. */
const GOODBYE_MS = 1_000;

/** @returns what ends it: a try under way is aborted, and made again by the worker that comes next */
export function startCourier(options: CourierOptions): () => Promise<void> {
  const { webhook, outbox, log, pace = PACE } = options;
  const { name } = webhook;
  const holder = randomUUID();
  const ended = new AbortController();
  const { signal } = ended;
  /** A store that is away keeps its callers waiting; a worker that ends does not wait, nor hear what came of it. */
  function soon<T>(work: Promise<T>): Promise<T> {
    work.catch(() => {});
    return untilAborted(work, signal);
  }
  const leaseMs = webhook.timeoutMs + MARGIN_MS;

  async function turn(): Promise<number> {
    const leasedAt = monotonic();
    const taken = await soon(outbox.takeWebhook(name, holder, leaseMs));
    if ('heldMs' in taken) return Math.min(taken.heldMs, pace.waitMs);
    const { state, now, again } = taken;
    const run = openRun({ ...options, pace }, { state, signal, soon });
    const mayTry = () => monotonic() - leasedAt < MARGIN_MS / 2;
    const storeNow = () => now + (monotonic() - leasedAt);
    if (state.stopped !== null) {
      if (state.stopped.config === fingerprint(webhook)) return run.expire(state.stopped.why, storeNow());
      await soon(outbox.resumeWebhook(name));
      log.info({ webhook: name }, 'the webhook had stopped, and goes on with its new settings');
    } else if (state.nextAt !== null && state.nextAt > now) return Math.min(state.nextAt - now, pace.waitMs);
    if (again > 0) return run.again(storeNow);
    return run.onward(storeNow, mayTry);
  }

  async function work(): Promise<void> {
    let isAway = false;
    while (!signal.aborted) {
      let restMs = pace.awayMs;
      try {
        restMs = await turn();
        isAway = false;
      } catch (error) {
        if (signal.aborted) break;
        if (!isAway)
          log.warn(
            { webhook: name, error: messageOf(error) },
            'the store cannot be asked what to deliver: the webhook waits for it',
          );
        isAway = true;
      }
      await sleep(restMs, signal);
    }
  }
  const working = work();

  return async () => {
    ended.abort();
    await working;
    const said = new AbortController();
    const leaving = outbox.leaveWebhook(name, holder).catch(() => {}); // the lease ends by itself, too
    await Promise.race([leaving.finally(() => said.abort()), sleep(GOODBYE_MS, said.signal)]);
  };
}
