/**
 * Delivers one webhook: the entries of the audit log after its cursor, one after the other. An entry is passed only when its receiver took it, or when it was
 * given up: a worker that dies in between has another one send it again, under the same id. So a receiver hears of everything at least once, and in order.
 */
import { createHash, randomUUID } from 'node:crypto';
import type { WebhookConfig } from '../config/telling.ts';
import type { AuditEntry } from '../core/audit.ts';
import { eventOf } from '../core/event.ts';
import { AFTER_DEAD_MS, isTooOld, isWanted, retryDelay, type WebhookState } from '../core/webhook.ts';
import { messageOf } from '../errors.ts';
import { monotonic, sleep, untilAborted } from '../time.ts';
import type { Outbox } from './outbox.ts';
import type { Sender, Sent } from './send.ts';

/** What came of a try; `dead`: it was the last one. */
export type Outcome = 'delivered' | 'failed' | 'dead' | 'stopped';

export interface CourierOptions {
  readonly webhook: WebhookConfig;
  readonly outbox: Outbox;
  readonly sender: Sender;
  /** Of a client, as its policy names it. */
  readonly ownerOf: (client: NonNullable<AuditEntry['client']>) => string | null;
  readonly onOutcome: (outcome: Outcome) => void;
  readonly pace?: Pace | undefined;
  readonly log: Record<'info' | 'warn' | 'error', (fields: object, message: string) => void>;
}

/** In ms. */
export interface Pace {
  /** Between two looks at a log that had nothing new. */
  readonly lookMs: number;
  /** At most, between two looks at a webhook that another worker delivers, that waits, or that has stopped. */
  readonly waitMs: number;
  readonly retryMs: typeof retryDelay;
  readonly afterDeadMs: number;
  /** Before a store that did not answer is asked again. */
  readonly awayMs: number;
}

const PACE: Pace = { lookMs: 1_000, waitMs: 2_000, retryMs: retryDelay, afterDeadMs: AFTER_DEAD_MS, awayMs: 5_000 };

/** A lease outlives the try that is made under it by this, in ms: no second worker sends while one may still do. */
const MARGIN_MS = 15_000;

const PAGE = 200;

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
    if (state.stopped !== null) {
      if (state.stopped.config === fingerprint(webhook)) return pace.waitMs;
      await soon(outbox.resumeWebhook(name));
      log.info({ webhook: name }, 'the webhook had stopped, and goes on with its new settings');
    } else if (state.nextAt !== null && state.nextAt > now) return Math.min(state.nextAt - now, pace.waitMs);
    const run = openRun({ ...options, pace }, { state, signal, soon });
    const mayTry = () => monotonic() - leasedAt < MARGIN_MS / 2;
    const storeNow = () => now + (monotonic() - leasedAt);
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
            'it is not known what to deliver: the store does not say',
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

interface Turn {
  readonly state: WebhookState;
  readonly signal: AbortSignal;
  readonly soon: <T>(work: Promise<T>) => Promise<T>;
}

function openRun(options: CourierOptions & { readonly pace: Pace }, { state, signal, soon }: Turn) {
  const { webhook, outbox, sender, ownerOf, onOutcome, log, pace } = options;
  const { name, giveUpMs } = webhook;
  let { tries } = state;

  /** Null: this worker ends, and what became of the try is not known. */
  async function send(entry: AuditEntry): Promise<Sent | null> {
    const event = eventOf(entry, entry.client === null ? null : ownerOf(entry.client));
    const sent = await sender.send(event, idOf(outbox.id, entry), signal);
    return signal.aborted ? null : sent;
  }

  function delivered(): void {
    onOutcome('delivered');
    if (tries > 0) log.info({ webhook: name }, 'the webhook is delivered again');
    tries = 0;
  }

  /** What a person wants to be tried once more. @returns ms until the next turn */
  async function again(now: () => number): Promise<number> {
    const letter = await soon(outbox.nextAgain(name));
    const sent = letter === null ? null : await send(letter.entry);
    if (letter === null || sent === null) return 0;
    const { seq, type } = letter.entry;
    if (sent.kind === 'delivered') {
      delivered();
      await soon(outbox.settleAgain(name, seq, null));
      return 0;
    }
    await soon(outbox.settleAgain(name, seq, { ...letter, why: sent.why, at: now() }));
    onOutcome('dead');
    log.error({ webhook: name, seq, type, error: sent.why }, 'the webhook did not take a dead letter this time either');
    return 0;
  }

  async function failed(entry: AuditEntry, at: number, sent: Exclude<Sent, { kind: 'delivered' }>, now: number) {
    const { seq, type } = entry;
    const { why } = sent;
    if (sent.kind === 'gone') {
      const draft = { type: 'webhook.stopped', client: null, rotation: null, actor: 'rekeyd', reason: why } as const;
      const stopped = { why, config: fingerprint(webhook) };
      await soon(outbox.stopWebhook(name, at, stopped, [{ ...draft, data: { webhook: name } }]));
      onOutcome('stopped');
      const fix = `Change its settings, or run: rekeyd webhooks retry ${name}`;
      log.error({ webhook: name, error: why, fix }, 'the receiver wants nothing more: the webhook has stopped');
    } else if (isTooOld(entry, now, giveUpMs)) {
      await soon(outbox.giveUp(name, at, { entry, why, at: Math.round(now) }, pace.afterDeadMs));
      onOutcome('dead');
      log.error({ webhook: name, seq, type, error: why }, 'an event could not be delivered, and is a dead letter now');
    } else {
      const delayMs = pace.retryMs(tries + 1, Math.random(), sent.wishedMs);
      await soon(outbox.noteFailure(name, at, { error: why, delayMs }));
      onOutcome('failed');
      const next = new Date(now + delayMs).toISOString();
      log.warn({ webhook: name, seq, type, error: why, next_try: next }, 'an event could not be delivered yet');
    }
  }

  /** What comes after the cursor. @returns ms until the next turn */
  async function onward(now: () => number, mayTry: () => boolean): Promise<number> {
    const entries = await soon(outbox.settledAfter(state.cursor, PAGE));
    let at = state.cursor;
    let last = at;
    for (const entry of entries) {
      if (!isWanted(entry, webhook)) {
        last = entry.seq;
        continue;
      }
      if (!mayTry()) break;
      const sent = await send(entry);
      if (sent === null) return 0;
      if (sent.kind !== 'delivered') {
        await failed(entry, at, sent, now());
        return 0;
      }
      delivered();
      if (!(await soon(outbox.passWebhook(name, at, entry.seq)))) return 0;
      at = entry.seq;
      last = at;
    }
    if (last > at) await soon(outbox.passWebhook(name, at, last));
    const isAll = entries.length < PAGE && last === (entries.at(-1)?.seq ?? last);
    return isAll ? pace.lookMs : 0;
  }

  return { again, onward };
}

/** The same for each try, and another one in another store. Without a full stop: see {@link ./sign.ts}. */
function idOf(store: string, { seq }: AuditEntry): string {
  return `evt_${store}_${seq}`;
}

/** Another one when any setting has changed, its secrets included. */
function fingerprint({ url, secrets, routingKey, ...rest }: WebhookConfig): string {
  const hash = createHash('sha256').update(JSON.stringify(rest));
  for (const secret of [url, ...secrets, ...(routingKey === null ? [] : [routingKey])])
    hash.update(secret.revealBytes());
  return hash.digest('base64url').slice(0, 16);
}
