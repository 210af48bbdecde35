/** A plan as a person reads it. */
import { formatDuration } from '../../src/core/duration.ts';
import { CLIENT_STATES } from '../../src/core/state.ts';
import type { DeploymentOutlook } from '../../src/forecast/fleet.ts';
import type { PreviewStep } from '../../src/forecast/preview.ts';
import type { ClientPlan } from './client.ts';
import { type CompromiseSummary, outcomeOf, type PlanSummary } from './summary.ts';

/** So many of the most frequent warnings stand above a list. */
const MOST_WARNINGS = 3;

/** What many plans come to, in a few lines. */
export function summaryLines(summary: PlanSummary): readonly string[] {
  const { clients, counts, would, due, warnings, compromise, next_start: next } = summary;
  const states = CLIENT_STATES.filter((state) => counts[state] > 0).map((state) => `${counts[state]} ${state}`);
  const rotated = would.overlap + would.cutover;
  const how = listed([counted(would.overlap, 'by overlap'), counted(would.cutover, 'by cutover')]);
  const request = listed([
    `rotates ${rotated}${rotated === 0 ? '' : ` (${how})`}`,
    counted(would.join, 'have a rotation under way', 'has a rotation under way'),
    counted(would.fail, 'would fail at once'),
    counted(would.leave_alone, compromise === null ? 'left alone' : 'skipped'),
  ]);
  const schedule = `rotates ${due} now${next === null ? '' : `; the next one not before ${next}`}`;
  return [
    `${clients === 1 ? '1 client' : `${clients} clients`}: ${states.join(', ')}`,
    ...(compromise === null ? [`The schedule ${schedule}`] : []),
    `A request for all of them ${request}`,
    ...(compromise === null ? [] : compromiseLines(compromise)),
    ...warnings.slice(0, MOST_WARNINGS).map(({ message, clients }) => `! ${clients}: ${message}`),
  ];
}

function compromiseLines(summary: CompromiseSummary): readonly string[] {
  const { clients, fleet, share, breaker, people, needs_confirmation: isOver, standby, stays } = summary;
  const size = `It is about ${clients} of ${fleet} clients (${percent(share)})`;
  const others = people > 1 ? `, and ${people} people (approval)` : '';
  const used = counted(
    standby.used,
    'have a standby key: one PATCH, and no key is made',
    'has a standby key: one PATCH, and no key is made',
  );
  const discarded = counted(
    standby.discarded,
    'lose their standby keys, which may have leaked too',
    'loses its standby key, which may have leaked too',
  );
  const left = counted(stays, 'go on to show keys that are not ours', 'goes on to show a key that is not ours');
  return [
    isOver
      ? `${size}: more than ${percent(breaker)} (breaker), so it needs --yes${others}`
      : `${size}: no more than the breaker allows (${percent(breaker)}, or one client)`,
    ...[used, discarded, left].filter((line) => line !== null),
  ];
}

function counted(count: number, many: string, one = many): string | null {
  return count === 0 ? null : `${count} ${count === 1 ? one : many}`;
}

function listed(parts: readonly (string | null)[]): string {
  return parts.filter((part) => part !== null).join(', ');
}

export const PLAN_HEADINGS = ['CLIENT', 'POLICY', 'STATE', 'STRATEGY', 'WHAT WOULD HAPPEN'];

/** One line, with a mark where there is a warning. Why it would fail is told. */
export function planRow(plan: ClientPlan): readonly string[] {
  const { client, policy, state, strategy, warnings } = plan;
  const what = outcomeOf(plan) === 'fail' ? warnings.join(' ') : `${firstLine(plan)}${warnings.length > 0 ? ' !' : ''}`;
  return [client, policy, state, strategy ?? '-', what];
}

/** @param asked somebody chose these clients; otherwise those that are not due get a line and no steps */
export function planLines(plan: ClientPlan, asked: boolean): readonly string[] {
  const { client, policy, known, enrolment, due, joins, strategy, warnings } = plan;
  const lines = [
    `${client}  policy ${policy}, ${enrolment}${known ? '' : ', not known yet'}`,
    `  ${firstLine(plan)}`,
    ...warnings.map((warning) => `  ! ${warning}`),
  ];
  // Why it would fail at once is among the warnings.
  const isDoomed = plan.steps.every(({ step }) => step === 'fail');
  if ((!asked && due === null && joins === null) || isDoomed) return [...lines, ''];
  const heading = strategy === null ? '  what is left to do:' : `  strategy ${strategy}:`;
  return [...lines, heading, ...numbered(plan.steps), ''];
}

export function outlookLine(outlook: DeploymentOutlook & { readonly enrolled: number }): string {
  const { deployment, clients, enrolled, load, rotate_all_seconds: all, compromise_all_seconds: compromised } = outlook;
  const count = clients === 1 ? '1 client' : `${clients} clients`;
  const isWhole = enrolled === clients;
  const times = `rotated in ${formatDuration(all * 1_000)}, and after a compromise in ${formatDuration(compromised * 1_000)}`;
  return isWhole
    ? `deployment ${deployment}: ${count}. At its rate limit all are ${times}; the schedule uses ${percent(load)} of it`
    : `deployment ${deployment}: ${count}, ${enrolled} enrolled. Were all enrolled: at its rate limit ${times}; the schedule would use ${percent(load)} of it`;
}

function percent(part: number): string {
  return part > 0 && part < 0.001 ? 'under 0.1 %' : `${Number((part * 100).toPrecision(2))} %`;
}

function firstLine(plan: ClientPlan): string {
  const { joins, enrolment, steps, skipped, compromised } = plan;
  if (skipped) return `skipped: ${enrolment}; its present key goes on signing in. Name the client, or --take-over`;
  if (joins !== null) return `rotation ${joins} is under way: a request joins it`;
  if (compromised && steps.length > 0) return 'at once: windows do not count';
  return enrolment !== 'enrolled' && steps.length === 0 ? 'left alone by schedules' : dueLine(plan);
}

function dueLine({ due, overdue, next_due: nextDue, next_start: nextStart }: ClientPlan): string {
  const isDue = overdue ? 'OVERDUE (its key is older than must_by)' : 'due';
  const why = due === null ? `not due before ${nextDue}` : `${isDue}: ${due.message}`;
  return nextStart === nextDue ? why : `${why}; the next window opens, or the freeze ends, at ${nextStart}`;
}

function numbered(steps: readonly PreviewStep[]): readonly string[] {
  return steps.flatMap((step, index) => {
    const [first = '', ...others] = stepLines(step);
    return [`  ${String(index + 1).padStart(2)}. ${first}`, ...others.map((line) => `      ${line}`)];
  });
}

/** The first line says what is done; the others are the body that is sent. */
export function stepLines(step: PreviewStep): readonly string[] {
  switch (step.step) {
    case 'generate':
      return [`generate a key for ${step.alg} and store it, encrypted`];
    case 'take_standby':
      return [`use the standby key ${step.kid}`];
    case 'leave_standby':
      return [`give the standby key up: ${step.why}`];
    case 'deliver': {
      const held = Object.entries({ current: step.current, next: step.next, previous: step.previous });
      return [`deliver to signers: ${held.map(([name, kid]) => `${name} ${kid ?? 'none'}`).join(', ')}`];
    }
    case 'serve':
      return [`write the public set with ${step.kids.join(', ')} to the publish folder`];
    case 'patch':
      return [`PATCH (${step.purpose.replace('_', ' ')})`, ...JSON.stringify(step.body, null, 2).split('\n')];
    case 'in_place':
      return ['nothing to send: the server holds the document already'];
    case 'prove':
      return [proofLine(step)];
    case 'await_signers':
      return [`wait until ${step.count} ${step.count === 1 ? 'signer reports' : 'signers report'} the new key`];
    case 'activate':
      return [`${step.kid} is active`];
    case 'offer':
      return [
        `${step.kid} is offered to the application: the client is enrolled when it signs with it, or when you say so`,
      ];
    case 'wait':
      return [`wait ${formatDuration(step.ms)}: ${step.why}`];
    case 'destroy':
      return [step.kid === null ? 'finished: the old key is not ours' : `destroy ${step.kid}`];
    case 'fail':
      return [`fail: ${step.why}`];
    default:
      return step satisfies never;
  }
}

function proofLine({ kid, expect, how }: Extract<PreviewStep, { step: 'prove' }>): string {
  if (kid === null) return 'nothing to sign in with: the private half of the old key is not ours';
  if (how === 'read_back') return `take ${kid} for ${expect}, as read back: there is no test sign-in`;
  return `test sign-in with ${kid}: must be ${expect}`;
}
