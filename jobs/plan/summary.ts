/** What the plans of many clients come to. */

import { CLIENT_STATES, type ClientState } from '../../src/core/state.ts';
import { isOver } from '../breaker.ts';
import type { ClientPlan } from './client.ts';

/** Members as in the JSON document; all but `next_start` count clients. */
export interface PlanSummary {
  readonly clients: number;
  /** By what they are now, as `rekeyd status` calls it. */
  readonly counts: Readonly<Record<ClientState, number>>;
  /** What a request would do with them. */
  readonly would: {
    readonly overlap: number;
    readonly cutover: number;
    /** A rotation is under way, which a request joins. */
    readonly join: number;
    readonly fail: number;
    /** They are not enrolled. */
    readonly leave_alone: number;
  };
  /** Of a compromise; null for other requests. */
  readonly compromise: CompromiseSummary | null;
  /** The schedule would rotate them now, if a window is open. */
  readonly due: number;
  /** What is said of many clients, the most frequent first; `CLIENT` stands for the reference. At most 50. */
  readonly warnings: readonly { readonly message: string; readonly clients: number }[];
  /** When the schedule may begin the next one of those that are not due; null when there is none. */
  readonly next_start: string | null;
}

/** What holds a compromise back. */
export interface BreakerView {
  /** A part of 1. */
  readonly breaker: number;
  /** How many clients a request could be about. */
  readonly fleet: number;
  /** How many people must agree to more than the breaker allows. */
  readonly people: number;
}

/** All but `share`, `breaker` and `people` count clients. */
export interface CompromiseSummary extends BreakerView {
  readonly clients: number;
  /** Of the fleet, a part of 1. */
  readonly share: number;
  /** It takes `--yes` (HTTP: `confirm`). */
  readonly needs_confirmation: boolean;
  /** What becomes of keys that are kept ready: see {@link ClientPlan.standby}. */
  readonly standby: { readonly used: number; readonly discarded: number };
  /** That go on to show keys which are not ours. */
  readonly stays: number;
}

export interface SummaryCount {
  add(plan: ClientPlan): void;
  summary(): PlanSummary;
}

/** So many different warnings are counted. */
const MOST_WARNINGS = 50;

export function countPlans(view: BreakerView | null): SummaryCount {
  const counts = Object.fromEntries(CLIENT_STATES.map((name) => [name, 0])) as Record<ClientState, number>; // one entry for each state
  const would = { overlap: 0, cutover: 0, join: 0, fail: 0, leave_alone: 0 };
  const warnings = new Map<string, number>();
  const standby = { used: 0, discarded: 0 };
  let [clients, due, stays] = [0, 0, 0];
  let next: string | null = null;
  return {
    add(plan) {
      clients += 1;
      counts[plan.state] += 1;
      would[outcomeOf(plan)] += 1;
      due += plan.due === null ? 0 : 1;
      if (plan.standby !== null) standby[plan.standby] += 1;
      stays += plan.stays.length > 0 ? 1 : 0;
      for (const warning of plan.warnings) {
        const message = warning.replaceAll(plan.client, 'CLIENT');
        if (warnings.size < MOST_WARNINGS || warnings.has(message))
          warnings.set(message, (warnings.get(message) ?? 0) + 1);
      }
      const isLater = plan.due === null && plan.joins === null && outcomeOf(plan) !== 'leave_alone';
      if (isLater && (next === null || plan.next_start < next)) next = plan.next_start;
    },
    summary: () => ({
      ...{ clients, counts, would, due },
      compromise: view === null ? null : { ...shareIn(clients - would.leave_alone, view), standby, stays },
      warnings: [...warnings].map(([message, clients]) => ({ message, clients })).sort((a, b) => b.clients - a.clients),
      next_start: next,
    }),
  };
}

function shareIn(clients: number, view: BreakerView) {
  const fleet = Math.max(view.fleet, clients);
  const share = fleet === 0 ? 0 : Number((clients / fleet).toPrecision(3));
  return { ...view, clients, fleet, share, needs_confirmation: isOver({ clients, fleet }, view.breaker) };
}

/** What a request comes to. */
export function outcomeOf({ joins, steps, strategy }: ClientPlan): keyof PlanSummary['would'] {
  if (joins !== null) return 'join';
  if (steps.some(({ step }) => step === 'fail')) return 'fail';
  return strategy ?? 'leave_alone';
}

/** Failures first, then in the order in which `rekeyd status` lists them; of one state, those that begin first. */
export function byUrgency(a: ClientPlan, b: ClientPlan): number {
  return rankOf(a) - rankOf(b) || compare(a.next_start, b.next_start) || compare(a.client, b.client);
}

function rankOf(plan: ClientPlan): number {
  return outcomeOf(plan) === 'fail' ? -1 : CLIENT_STATES.indexOf(plan.state);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
