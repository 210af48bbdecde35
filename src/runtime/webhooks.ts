/** Delivers the webhooks of one config, and forgets those that no config has any more. */
import type { LookupFunction } from 'node:net';
import { policyFor } from '../config/lookup.ts';
import type { Config } from '../config/model.ts';
import { messageOf } from '../errors.ts';
import type { Log } from '../rotation/resources.ts';
import type { Store } from '../store/store.ts';
import { type Clock, sleep, untilAborted } from '../time.ts';
import { startCourier } from '../webhooks/courier.ts';
import { openSender } from '../webhooks/send.ts';
import type { Outcome, Pace } from '../webhooks/turn.ts';

export interface WebhookOptions {
  readonly store: Store;
  readonly log: Log;
  readonly clock: Clock;
  readonly onOutcome?: ((webhook: string, outcome: Outcome) => void) | undefined;
  /** Looks host names up; the system's when absent. */
  readonly lookup?: LookupFunction | undefined;
  readonly pace?: Pace | undefined;
  /** See {@link FORGET_MS}. */
  readonly forgetMs?: number | undefined;
}

/**
 * What no worker has had in its config for so long, in ms, is forgotten; and not sooner after a start: a worker that has read the new config must not take a
 * cursor away from those that are about to.
 */
const FORGET_MS = 10 * 60_000;

/** @returns what stops it; tries under way are aborted. A second call waits for the first */
export function startWebhooks(config: Config, options: WebhookOptions): () => Promise<void> {
  const { store, log, clock, lookup, onOutcome = () => {}, pace, forgetMs = FORGET_MS } = options;
  const ended = new AbortController();
  const stops = config.webhooks.map((webhook) => {
    const sender = openSender(webhook, { now: clock.now, lookup });
    const stop = startCourier({
      ...{ webhook, outbox: store, sender, log, pace },
      ownerOf: (client) => policyFor(config, client)?.policy.owner ?? null,
      onOutcome: (outcome) => onOutcome(webhook.name, outcome),
    });
    return () => stop().finally(() => sender.close());
  });

  async function forget(): Promise<void> {
    const names = config.webhooks.map(({ name }) => name);
    for (;;) {
      await sleep(forgetMs, ended.signal);
      if (ended.signal.aborted) return;
      try {
        const gone = await untilAborted(store.forgetWebhooks(names, forgetMs), ended.signal);
        if (gone.length > 0) log.info({ webhooks: gone }, 'webhooks that no config has any more are forgotten');
      } catch (error) {
        if (!ended.signal.aborted) log.warn({ error: messageOf(error) }, 'webhooks could not be forgotten yet');
      }
    }
  }
  void forget();

  let stopping: Promise<unknown> | null = null;
  return async () => {
    ended.abort();
    stopping ??= Promise.all(stops.map((stop) => stop()));
    await stopping;
  };
}
