/**
 * How far each webhook is. The audit log itself is the outbox: a webhook has a cursor in it, and a list of the entries that were given up. No second list
 * of what is to be sent could differ from what happened.
 */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { AuditDraft } from '../core/audit.ts';
import type { DeadLetter, WebhookState } from '../core/webhook.ts';
import { draftTexts } from './audit-log.ts';
import { LEAVE_STRING } from './lua/lease.ts';
import { DISCARD, FAIL, FORGET, GIVE_UP, GO_ON, PASS, RETRY, SETTLE, STOP, TAKE } from './lua/webhooks.ts';
import { integer, list, text } from './redis/replies.ts';
import type { Scripts } from './redis/scripts.ts';

/** What a worker gets that delivers a webhook. */
export interface WebhookTurn {
  readonly state: WebhookState;
  /** The store's clock, ms since the epoch. */
  readonly now: number;
  /** Dead letters that a person wants to be tried again. */
  readonly again: number;
}

/** As people see it. */
export interface WebhookStanding extends WebhookState {
  readonly dead: number;
  readonly again: number;
  /** Entries after its cursor. */
  readonly pending: number;
}

/** All of them, or those with these numbers. */
export type Letters = 'all' | readonly number[];

export interface Webhooks {
  /** It is `holder`'s for `ms` from now on; or another worker's, which `heldMs` more may pass. A new webhook begins at the end of the log. */
  takeWebhook(name: string, holder: string, ms: number): Promise<WebhookTurn | { readonly heldMs: number }>;
  leaveWebhook(name: string, holder: string): Promise<void>;
  /** All entries up to `to` are delivered, or not wanted. False, here and in the next three: the cursor is not at `from` any more. */
  passWebhook(name: string, from: number, to: number): Promise<boolean>;
  noteFailure(
    name: string,
    from: number,
    failure: { readonly error: string; readonly delayMs: number },
  ): Promise<boolean>;
  /** Of the entries up to `to`, these are dead letters, and the others are not wanted. What follows is tried after `delayMs`. */
  giveUp(
    name: string,
    from: number,
    given: { readonly to: number; readonly letters: readonly DeadLetter[]; readonly error: string },
    delayMs: number,
  ): Promise<boolean>;
  stopWebhook(
    name: string,
    from: number,
    stopped: NonNullable<WebhookState['stopped']>,
    entries: readonly AuditDraft[],
  ): Promise<boolean>;
  resumeWebhook(name: string): Promise<void>;
  /** By name, of those that have begun. */
  webhookStandings(names: readonly string[]): Promise<ReadonlyMap<string, WebhookStanding>>;
  /** Oldest first. */
  deadLetters(name: string): Promise<readonly DeadLetter[]>;
  /** They are tried once more, and the webhook at once, even when it had stopped. On disk when it resolves. @returns how many */
  retryLetters(name: string, letters: Letters, entries: readonly AuditDraft[]): Promise<number>;
  /** On disk when it resolves. @returns how many */
  discardLetters(name: string, letters: Letters, entries: readonly AuditDraft[]): Promise<number>;
  /** The oldest of those that are tried once more. */
  nextAgain(name: string): Promise<DeadLetter | null>;
  /** It was delivered (null), or died once more. */
  settleAgain(name: string, seq: number, died: DeadLetter | null): Promise<void>;
  /** Of webhooks that are not among `names`: cursor and letters, where no worker has had them in its config for `ms`. @returns those */
  forgetWebhooks(names: readonly string[], ms: number): Promise<readonly string[]>;
  /**
   * The lowest number of an entry that one of these webhooks still needs; null: none of them needs any. An entry that is not there yet counts too. Dead
   * letters need none: they hold their entries themselves.
   * @param names those of the config: a webhook that was removed from it holds nothing back
   */
  neededFrom(names: readonly string[]): Promise<number | null>;
}

export function openWebhooks(redis: Redis, scripts: Scripts): Webhooks {
  const { keys } = scripts;

  async function stored(name: string): Promise<Readonly<Record<string, string>> | null> {
    const fields = await scripts.ask(() => redis.hgetall(keys.webhook(name).hook));
    return fields.cursor === undefined ? null : fields;
  }

  /** A person's change, with its entries. */
  async function change(lua: string, name: string, letters: Letters, entries: readonly AuditDraft[]): Promise<number> {
    const { hook, dead, again } = keys.webhook(name);
    const args = [letters === 'all' ? '*' : letters.join(' '), ...draftTexts(entries)];
    const touched = [hook, dead, again, keys.audit, keys.operation(randomUUID())];
    return integer(await scripts.runDurably({ lua, keys: touched, args }));
  }

  async function run(lua: string, touched: readonly string[], args: readonly (string | number)[]): Promise<boolean> {
    return (await scripts.run({ lua, keys: touched, args })) === 1;
  }

  return {
    async takeWebhook(name, holder, ms) {
      const { hook, again, lease } = keys.webhook(name);
      const call = { lua: TAKE, keys: [keys.webhooks, hook, again, lease], args: [name, holder, ms] };
      const [heldMs, now, waiting, ...fields] = list(await scripts.run(call));
      if (integer(heldMs) > 0) return { heldMs: integer(heldMs) };
      return { state: stateOf(pairs(fields.map(text))), now: integer(now), again: integer(waiting) };
    },
    async leaveWebhook(name, holder) {
      await scripts.run({ lua: LEAVE_STRING, keys: [keys.webhook(name).lease], args: [holder] });
    },
    passWebhook: (name, from, to) => run(PASS, [keys.webhook(name).hook], [from, to]),
    noteFailure: (name, from, { error, delayMs }) => run(FAIL, [keys.webhook(name).hook], [from, error, delayMs]),
    giveUp(name, from, { to, letters, error }, delayMs) {
      const { hook, dead } = keys.webhook(name);
      const buried = letters.flatMap((letter) => [letter.entry.seq, JSON.stringify(letter)]);
      return run(GIVE_UP, [hook, dead], [from, to, error, delayMs, ...buried]);
    },
    stopWebhook(name, from, stopped, entries) {
      const args = [from, JSON.stringify(stopped), ...draftTexts(entries)];
      return run(STOP, [keys.webhook(name).hook, keys.audit, keys.operation(randomUUID())], args);
    },
    async resumeWebhook(name) {
      await scripts.run({ lua: GO_ON, keys: [keys.webhook(name).hook], args: [] });
    },
    async webhookStandings(names) {
      const size = integer((await scripts.ask(() => redis.get(keys.auditSize))) ?? 0);
      const found = names.map(async (name) => {
        const { dead, again } = keys.webhook(name);
        const counts = [dead, again].map((key) => scripts.ask(() => redis.zcard(key)));
        const [fields, ...letters] = await Promise.all([stored(name), ...counts]);
        if (fields === null) return [];
        const state = stateOf(fields);
        const [deadCount = 0, againCount = 0] = letters.map(integer);
        const pending = Math.max(0, size - state.cursor);
        return [[name, { ...state, dead: deadCount, again: againCount, pending }] as const];
      });
      return new Map((await Promise.all(found)).flat());
    },
    async deadLetters(name) {
      const found = await scripts.ask(() => redis.zrange(keys.webhook(name).dead, '0', '-1'));
      return found.map(letterOf);
    },
    retryLetters: (name, letters, entries) => change(RETRY, name, letters, entries),
    discardLetters: (name, letters, entries) => change(DISCARD, name, letters, entries),
    async nextAgain(name) {
      const [letter] = await scripts.ask(() => redis.zrange(keys.webhook(name).again, '0', '0'));
      return letter === undefined ? null : letterOf(letter);
    },
    async settleAgain(name, seq, died) {
      const { hook, dead, again } = keys.webhook(name);
      await run(SETTLE, [hook, dead, again], [seq, died === null ? '' : JSON.stringify(died)]);
    },
    async forgetWebhooks(names, ms) {
      const known = Object.keys(await scripts.ask(() => redis.hgetall(keys.webhooks)));
      const others = known.filter((name) => !names.includes(name));
      if (others.length === 0) return [];
      const touched = others.flatMap((name) => {
        const { hook, dead, again } = keys.webhook(name);
        return [hook, dead, again];
      });
      const call = { lua: FORGET, keys: [keys.webhooks, ...touched], args: [ms, ...others] };
      return list(await scripts.run(call)).map(text);
    },
    async neededFrom(names) {
      const found = await Promise.all(names.map(stored));
      const needed = found.flatMap((fields) => (fields === null ? [] : [integer(fields.cursor) + 1]));
      return needed.length === 0 ? null : Math.min(...needed);
    },
  };
}

function pairs(flat: readonly string[]): Readonly<Record<string, string>> {
  const found: Record<string, string> = {};
  for (let index = 0; index < flat.length; index += 2) found[flat[index] ?? ''] = flat[index + 1] ?? '';
  return found;
}

function stateOf(fields: Readonly<Record<string, string>>): WebhookState {
  const time = (value: string | undefined) => (value === undefined ? null : integer(value));
  const { cursor, tries = 0, since, next, error = null, stopped, dropped = 0 } = fields;
  return {
    cursor: integer(cursor),
    tries: integer(tries),
    failingSince: time(since),
    nextAt: time(next),
    error,
    stopped: stopped === undefined ? null : JSON.parse(stopped), // only `stopWebhook` writes it
    dropped: integer(dropped),
  };
}

function letterOf(json: string): DeadLetter {
  return JSON.parse(json) as DeadLetter; // only the scripts write it, from a DeadLetter
}
