import { setTimeout as delay } from 'node:timers/promises';
import { type Answer, oauthRefusal, plainRefusal, refusal } from './answer.ts';
import type { StoredClient } from './clients.ts';
import type { LogEntry } from './log.ts';
import type { ClientMembers, State } from './state.ts';

/** Before the request is applied, or after it was applied and before its answer is written. */
type When = 'before' | 'after';

interface Match {
  readonly method?: string;
  readonly path?: RegExp;
  readonly deployment?: string;
  /** App slug. */
  readonly app?: string;
  /** Row id or OAuth `client_id`. */
  readonly client?: string;
}

type Kind =
  /** Goes on after `ms`, even when the caller has gone by then: that is how a PATCH arrives late. */
  | { readonly kind: 'latency'; readonly ms: number; readonly when?: When }
  /** Like latency, until the promise settles: for tests that must not depend on timing. */
  | { readonly kind: 'hold'; readonly until: Promise<unknown>; readonly when: When }
  /**
   * Answers with that status. 429 says `Rate limit exceeded. Retry after 60 seconds` and has no `Retry-After` unless given; 502 and 504
   * come from the proxy in front, as text. Default `when`: before.
   */
  | {
      readonly kind: 'status';
      readonly status: number;
      readonly message?: string;
      readonly retryAfter?: string | number;
      readonly when?: When;
    }
  /** Never answers; ends when the caller gives up or the emulator closes. */
  | { readonly kind: 'stall'; readonly when: When }
  /** Closes the connection without a byte of an answer. */
  | { readonly kind: 'drop'; readonly when: When }
  /** Somebody else PATCHes the client of this request, or the one with row id `client`. With `after`, the answer shows their document. */
  | {
      readonly kind: 'edit';
      readonly edit: ClientMembers | ((client: StoredClient) => ClientMembers);
      readonly client?: string;
      readonly when: When;
    }
  /** Changes a copy of the answer's body: members to lay over it, or a function of it. */
  | { readonly kind: 'tamper'; readonly tamper: ClientMembers | ((body: unknown) => unknown) };

export type FaultRule = Kind & {
  /** All given members must match; absent: every request. */
  readonly match?: Match;
  /** How often it strikes at most. Default 1; `Number.POSITIVE_INFINITY` for ever. */
  readonly times?: number;
  /** How many matching requests pass unharmed first. Default 0. */
  readonly skip?: number;
};

export interface Fault {
  readonly rule: FaultRule;
  /** How often it struck. */
  readonly fired: number;
}

interface ArmedFault {
  readonly rule: FaultRule;
  fired: number;
  skipped: number;
}

/** What a fault makes of a request: another answer, none at all, or (null) nothing that stops it. */
export type Outcome = Answer | 'stall' | 'drop' | null;

export class Faults {
  readonly #state: State;
  readonly #closing: AbortSignal;
  #armed: ArmedFault[] = [];

  /** `closing` ends latencies early, with the connection dropped. */
  constructor(state: State, closing: AbortSignal) {
    this.#state = state;
    this.#closing = closing;
  }

  add(rule: FaultRule): Fault {
    const fault: ArmedFault = { rule, fired: 0, skipped: 0 };
    this.#armed.push(fault);
    return fault;
  }

  list(): readonly Fault[] {
    return this.#armed;
  }

  clear(): void {
    this.#armed = [];
  }

  /** Lets the rules of that moment strike, in the order added, until one of them decides how the request ends. */
  async strike(when: When, call: LogEntry): Promise<Outcome> {
    for (const fault of this.#armed) {
      if (fault.rule.kind === 'tamper' || momentOf(fault.rule) !== when || !fires(fault, call)) continue;
      const outcome = await this.#strikeOne(fault.rule, call);
      if (outcome !== null) return outcome;
    }
    return null;
  }

  /** The body to write in place of `body`. */
  tampered(call: LogEntry, body: unknown): unknown {
    let changed = body;
    for (const fault of this.#armed) {
      if (fault.rule.kind !== 'tamper' || !fires(fault, call)) continue;
      const { tamper } = fault.rule;
      const copy: unknown = structuredClone(changed);
      changed = typeof tamper === 'function' ? tamper(copy) : Object.assign(Object(copy), tamper);
    }
    return changed;
  }

  async #strikeOne(rule: Exclude<FaultRule, { kind: 'tamper' }>, call: LogEntry): Promise<Outcome> {
    switch (rule.kind) {
      case 'latency':
        return delay(rule.ms, null, { signal: this.#closing }).catch(() => 'drop' as const);
      case 'hold':
        await rule.until;
        return null;
      case 'edit':
        this.#edit(rule, call);
        return null;
      case 'status':
        return statusAnswer(rule, call);
      case 'stall':
      case 'drop':
        return rule.kind;
    }
  }

  #edit(rule: Extract<FaultRule, { kind: 'edit' }>, call: LogEntry): void {
    const id = rule.client ?? call.client;
    if (call.deployment === null || call.app === null || id === null) {
      throw new Error(`an edit fault matched ${call.method} ${call.path}, which names no client: say which`);
    }
    const app = this.#state.app(call.deployment, call.app);
    const { edit } = rule;
    this.#state.patch(app, id, typeof edit === 'function' ? edit(this.#state.client(app, id)) : edit);
  }
}

function momentOf(rule: Exclude<FaultRule, { kind: 'tamper' }>): When {
  return rule.when ?? 'before';
}

/** Matches and counts in one synchronous step, so that two requests under way never share one strike. */
function fires(fault: ArmedFault, call: LogEntry): boolean {
  const { match = {}, times = 1, skip = 0 } = fault.rule;
  if (fault.fired >= times || !matches(match, call)) return false;
  if (fault.skipped < skip) {
    fault.skipped += 1;
    return false;
  }
  fault.fired += 1;
  return true;
}

function matches(match: Match, call: LogEntry): boolean {
  return (
    (match.method === undefined || match.method === call.method) &&
    (match.path === undefined || match.path.test(call.path)) &&
    (match.deployment === undefined || match.deployment === call.deployment) &&
    (match.app === undefined || match.app === call.app) &&
    (match.client === undefined || match.client === call.client || match.client === call.clientId)
  );
}

const MESSAGES: Readonly<Record<number, string>> = {
  400: 'Bad request',
  401: 'Authentication failed',
  403: 'Permission denied for this resource',
  404: 'Resource not found',
  409: 'Conflict',
  429: 'Rate limit exceeded. Retry after 60 seconds',
  502: 'Bad Gateway',
  504: 'Gateway Timeout',
};

function statusAnswer(rule: Extract<FaultRule, { kind: 'status' }>, call: LogEntry): Answer {
  const { status, retryAfter } = rule;
  const message = rule.message ?? MESSAGES[status] ?? 'Something went wrong';
  if (status === 502 || status === 504) return plainRefusal(status, message).answer;
  if (call.api === 'runtime')
    return oauthRefusal(status, status === 401 ? 'invalid_client' : 'server_error', message).answer;
  return refusal(status, message, retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) }).answer;
}
