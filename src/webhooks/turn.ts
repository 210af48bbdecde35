/** What a worker does while a webhook is its own: it sends what comes next, and notes what became of it. See {@link ./courier.ts}. */
import { createHash } from 'node:crypto';
import type { WebhookConfig } from '../config/telling.ts';
import type { AuditEntry } from '../core/audit.ts';
import { eventOf } from '../core/event.ts';
import { type DeadLetter, isTooOld, isWanted, type retryDelay, type WebhookState } from '../core/webhook.ts';
import type { Outbox } from './outbox.ts';
import type { Sender, Sent } from './send.ts';

/** What came of a try; `dead`: it was the last one. */
export type Outcome = 'delivered' | 'failed' | 'dead' | 'stopped';

export interface DeliveryOptions {
  readonly webhook: WebhookConfig;
  readonly outbox: Outbox;
  readonly sender: Sender;
  /** Of a client, as its policy names it. */
  readonly ownerOf: (client: NonNullable<AuditEntry['client']>) => string | null;
  readonly onOutcome: (outcome: Outcome) => void;
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

const PAGE = 200;

/** So many failures in a row are no fault of one event: all that are too old are given up together, or the list of what waits would grow for ever. */
const MANY = 10;

interface Turn {
  readonly state: WebhookState;
  readonly signal: AbortSignal;
  readonly soon: <T>(work: Promise<T>) => Promise<T>;
}

export function openRun(options: DeliveryOptions & { readonly pace: Pace }, { state, signal, soon }: Turn) {
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

  /** Of these entries the first that are too old, or not wanted: `to` is the last of them; null: there is none. */
  function tooOld(entries: readonly AuditEntry[], why: string, now: number) {
    const letters: DeadLetter[] = [];
    let to: number | null = null;
    for (const entry of entries) {
      if (isWanted(entry, webhook)) {
        if (!isTooOld(entry, now, giveUpMs)) break;
        letters.push({ entry, why, at: Math.round(now) });
      }
      to = entry.seq;
    }
    return { letters, to };
  }

  async function giveUp(at: number, to: number, letters: readonly DeadLetter[], error: string): Promise<void> {
    if (!(await soon(outbox.giveUp(name, at, { to, letters, error }, pace.afterDeadMs)))) return;
    for (const _ of letters) onOutcome('dead');
    const seqs = letters.map(({ entry }) => entry.seq);
    const about = { webhook: name, events: seqs.length, first: seqs[0], last: seqs.at(-1), error };
    log.error(about, 'events could not be delivered in time, and are dead letters now');
  }

  /** A webhook that has stopped keeps nothing for ever: retention waits for its cursor. @returns ms until the next turn */
  async function expire(why: string, now: number): Promise<number> {
    const { letters, to } = tooOld(await soon(outbox.settledAfter(state.cursor, PAGE)), why, now);
    if (to === null) return pace.waitMs;
    if (letters.length === 0) await soon(outbox.passWebhook(name, state.cursor, to));
    else await giveUp(state.cursor, to, letters, why);
    return pace.lookMs;
  }

  /**
   * Says nothing when the cursor was moved meanwhile: another worker has this webhook then, and nothing was noted.
   * @param rest the entry that was tried, and those after it
   */
  async function failed(
    rest: readonly AuditEntry[],
    at: number,
    sent: Exclude<Sent, { kind: 'delivered' }>,
    now: number,
  ) {
    const [entry] = rest;
    if (entry === undefined) return;
    const { seq, type } = entry;
    const { why } = sent;
    if (sent.kind === 'gone') {
      const draft = { type: 'webhook.stopped', client: null, rotation: null, actor: 'rekeyd', reason: why } as const;
      const stopped = { why, config: fingerprint(webhook) };
      if (!(await soon(outbox.stopWebhook(name, at, stopped, [{ ...draft, data: { webhook: name } }])))) return;
      onOutcome('stopped');
      const fix = `Change its settings, or run: rekeyd webhooks retry ${name}`;
      log.error({ webhook: name, error: why, fix }, 'the receiver wants nothing more: the webhook has stopped');
    } else if (isTooOld(entry, now, giveUpMs)) {
      const { letters, to } = tooOld(tries + 1 < MANY ? [entry] : rest, why, now);
      await giveUp(at, to ?? seq, letters, why);
    } else {
      const delayMs = pace.retryMs(tries + 1, Math.random(), sent.wishedMs);
      if (!(await soon(outbox.noteFailure(name, at, { error: why, delayMs })))) return;
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
    for (const [index, entry] of entries.entries()) {
      if (!isWanted(entry, webhook)) {
        last = entry.seq;
        continue;
      }
      if (!mayTry()) break;
      const sent = await send(entry);
      if (sent === null) return 0;
      if (sent.kind !== 'delivered') {
        await failed(entries.slice(index), at, sent, now());
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

  return { again, expire, onward };
}

/** The same for each try, and another one in another store. Without a full stop: see {@link ./sign.ts}. */
function idOf(store: string, { seq }: AuditEntry): string {
  return `evt_${store}_${seq}`;
}

/** Another one when any setting has changed, its secrets included. */
export function fingerprint({ url, secrets, routingKey, ...rest }: WebhookConfig): string {
  const hash = createHash('sha256').update(JSON.stringify(rest));
  for (const secret of [url, ...secrets, ...(routingKey === null ? [] : [routingKey])])
    hash.update(secret.revealBytes());
  return hash.digest('base64url').slice(0, 16);
}
