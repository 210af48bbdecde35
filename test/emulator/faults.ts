import { setTimeout as delay } from 'node:timers/promises';
import type { Answer } from './answer.ts';
import { jsonBody } from './body.ts';
import { answerOf, apiOf, type DisturbingRule, type FaultRule, type GarblingRule, type When } from './fault-rules.ts';
import { isLook, type LogEntry } from './log.ts';
import type { State } from './state.ts';
import { readUpdate } from './wire.ts';

export type { FaultRule } from './fault-rules.ts';

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

/** How an answer goes out. */
export interface Dispatch {
  readonly body: unknown;
  readonly cut: boolean;
  readonly gzip: boolean;
}

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
      const { rule } = fault;
      if (isGarbling(rule) || momentOf(rule) !== when || !fires(fault, call)) continue;
      const outcome = isDisturbing(rule) ? await this.#disturb(rule, call) : answerOf(rule, call);
      if (outcome !== null) return outcome;
    }
    return null;
  }

  /** What to write in place of `body`, and how. */
  dispatch(call: LogEntry, body: unknown): Dispatch {
    let dispatch: Dispatch = { body, cut: false, gzip: false };
    for (const fault of this.#armed) {
      const { rule } = fault;
      if (!isGarbling(rule) || !fires(fault, call)) continue;
      if (rule.kind !== 'tamper') dispatch = { ...dispatch, [rule.kind]: true };
      else dispatch = { ...dispatch, body: tampered(rule, dispatch.body) };
    }
    return dispatch;
  }

  async #disturb(rule: DisturbingRule, call: LogEntry): Promise<Outcome> {
    switch (rule.kind) {
      case 'latency':
        return delay(rule.ms, null, { signal: this.#closing }).catch(() => 'drop' as const);
      case 'hold':
        await rule.until;
        return null;
      case 'edit':
        this.#edit(rule, call);
        return null;
      case 'stall':
      case 'drop':
        return rule.kind;
    }
  }

  #edit(rule: Extract<DisturbingRule, { kind: 'edit' }>, call: LogEntry): void {
    const id = rule.client ?? call.client;
    if (call.deployment === null || call.app === null || id === null) {
      throw new Error(`an edit fault matched ${call.method} ${call.path}, which names no client: say which`);
    }
    const app = this.#state.app(call.deployment, call.app);
    const { edit } = rule;
    const members = typeof edit === 'function' ? edit(this.#state.client(app, id)) : edit;
    this.#state.patch(app, id, readUpdate(jsonBody(members)));
  }
}

function isGarbling(rule: FaultRule): rule is GarblingRule {
  return rule.kind === 'tamper' || rule.kind === 'cut' || rule.kind === 'gzip';
}

function isDisturbing(rule: FaultRule): rule is DisturbingRule {
  return ['latency', 'hold', 'edit', 'stall', 'drop'].includes(rule.kind);
}

function momentOf(rule: FaultRule): When {
  return ('when' in rule ? rule.when : undefined) ?? 'before';
}

function tampered({ tamper }: Extract<GarblingRule, { kind: 'tamper' }>, body: unknown): unknown {
  const copy: unknown = structuredClone(body);
  return typeof tamper === 'function' ? tamper(copy) : Object.assign(Object(copy), tamper);
}

/** Matches and counts in one synchronous step, so that two requests under way never share one strike. */
function fires(fault: ArmedFault, call: LogEntry): boolean {
  const { times = 1, skip = 0 } = fault.rule;
  if (fault.fired >= times || !matches(fault.rule, call)) return false;
  if (fault.skipped < skip) {
    fault.skipped += 1;
    return false;
  }
  fault.fired += 1;
  return true;
}

function matches(rule: FaultRule, call: LogEntry): boolean {
  const { match = {} } = rule;
  const api = apiOf(rule) ?? call.api;
  return (
    api === call.api &&
    (match.api === undefined || match.api === call.api) &&
    (match.method === undefined || match.method === call.method) &&
    (match.isLook === undefined || match.isLook === isLook(call)) &&
    (match.path === undefined || match.path.test(call.path)) &&
    (match.deployment === undefined || match.deployment === call.deployment) &&
    (match.app === undefined || match.app === call.app) &&
    (match.client === undefined || match.client === call.client || match.client === call.clientId)
  );
}
