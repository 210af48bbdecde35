/** Collects what is planned, and shows it: as a summary with a list, step by step, or as one JSON document. */

import type { ClientPlan } from '../../../jobs/plan/client.ts';
import { type BreakerView, byUrgency, countPlans, type PlanSummary } from '../../../jobs/plan/summary.ts';
import { outlookLine, PLAN_HEADINGS, planLines, planRow, summaryLines } from '../../../jobs/plan/text.ts';
import type { ClientRef } from '../../core/client.ts';
import { type Foremost, keepForemost } from '../../status/foremost.ts';
import { beginJson, note, noteAbout, openTable, print, printElement, printJson } from '../output.ts';
import type { Outlook } from './fleet.ts';

export interface ReportOptions {
  /** Somebody named the clients: each is shown with its steps. */
  readonly isNamed: boolean;
  /** Somebody said which clients, by name or otherwise: their steps are shown though nothing is due. */
  readonly isAsked: boolean;
  /** Null: it is no compromise. */
  readonly breaker: BreakerView | null;
  readonly limit: number | undefined;
  readonly verbose: boolean;
  readonly json: boolean;
}

/** The members are told while clients are planned; `end` says the rest, once. */
export interface Report {
  planned(plan: ClientPlan): void;
  failed(client: ClientRef, message: string): void;
  unreadable(row: string, problem: string): void;
  /** @returns the exit code */
  end(outlook: Outlook): number;
}

interface ClientError {
  readonly client: ClientRef;
  readonly message: string;
}

/** With the summary above it, a list of so many clients fits on a screen. */
const LISTED = 15;

/** How many rows and clients are named beside a list that leaves most clients out. */
const NAMED = 20;

/** Of a fleet, no more is held than is shown: all plans of a document are printed as they come. */
export function openReport(options: ReportOptions): Report {
  const { isNamed, json } = options;
  const isDetailed = isNamed || options.verbose;
  const limit = options.limit ?? (json || isDetailed ? Number.POSITIVE_INFINITY : LISTED);
  const isStreamed = json && limit === Number.POSITIVE_INFINITY;
  const counted = countPlans(options.breaker);
  const shown = keepForemost(limit, byUrgency);
  const errors: ClientError[] = [];
  let [failed, odd, begun] = [0, 0, false];
  return {
    planned(plan) {
      counted.add(plan);
      if (!isStreamed) return shown.offer(plan);
      if (!begun) beginJson({}, 'clients');
      begun = true;
      printElement(plan);
    },
    failed(client, message) {
      failed += 1;
      if (json || isNamed || failed <= NAMED) errors.push({ client, message });
    },
    unreadable(row, problem) {
      odd += 1;
      if (odd <= NAMED) note(`${row}: the API shows it in a way that cannot be read (${problem})`);
    },
    end({ warnings, deployments }) {
      const summary = counted.summary();
      const more = { errors, warnings, deployments, summary };
      if (json) printJson(begun ? more : { clients: shown.list(), ...more });
      else {
        if (isDetailed) printDetails(shown, summary, options);
        else printList(shown, summary);
        if (summary.clients > limit) print(moreLine(summary.clients - limit, isDetailed));
      }
      if (odd > NAMED) note(`and ${odd - NAMED} more that cannot be read`);
      for (const one of deployments) note(outlookLine(one));
      for (const { path, message } of warnings) note(`warning: ${path}: ${message}.`);
      for (const { client, message } of errors) noteAbout(client, message);
      if (failed > errors.length) note(`and ${failed - errors.length} more: --json lists all of them`);
      if (summary.clients + failed === 0) note('No client with private_key_jwt matches.');
      return failed === 0 ? 0 : 1;
    },
  };
}

function printDetails(shown: Foremost<ClientPlan>, summary: PlanSummary, { isNamed, ...options }: ReportOptions): void {
  if (!isNamed && summary.clients > 0) for (const line of summaryLines(summary)) print(line);
  for (const one of shown.list()) for (const line of planLines(one, options.isAsked)) print(line);
}

function printList(shown: Foremost<ClientPlan>, summary: PlanSummary): void {
  if (summary.clients === 0) return;
  for (const line of summaryLines(summary)) print(line);
  const rows = shown.list().map(planRow);
  if (rows.length > 0) openTable(PLAN_HEADINGS)(rows);
  if (summary.clients <= rows.length) print(VERBOSE);
}

const VERBOSE = '--verbose shows steps and PATCH bodies, and so does `rekeyd plan CLIENT`.';

function moreLine(count: number, isDetailed: boolean): string {
  const line = `… and ${count} more: --limit N lists more of them`;
  return isDetailed ? line : `${line}. ${VERBOSE}`;
}
