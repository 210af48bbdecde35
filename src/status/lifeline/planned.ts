/** What comes next for one client when all goes well, with times. */
import type { Purpose } from '../../core/action.ts';
import { type Calendar, nextBeginning } from '../../core/calendar.ts';
import { dueAt, isScheduled } from '../../core/due.ts';
import type { ClientPolicy } from '../../core/policy.ts';
import type { ClientRecord } from '../../core/record.ts';
import { PLANNED_KID, plannedKey } from '../../forecast/planned-key.ts';
import { type PreviewStep, preview } from '../../forecast/preview.ts';
import type { PlannedStep } from '../views.ts';

/** A step of a key: its private half is destroyed, and the server refuses it. */
export const GONE = 'the old key is gone';

/** @param policy null when the config no longer takes care of the client: nothing is planned */
export function plannedSteps(
  record: ClientRecord,
  policy: (ClientPolicy & Calendar) | null,
  now: number,
): readonly PlannedStep[] {
  if (policy === null || record.halted !== null) return [];
  const steps: PlannedStep[] = [];
  let at = now;
  for (const step of preview(record, policy, now, plannedKey)) {
    if (step.step === 'wait') at += step.ms;
    const told = toldOf(step);
    if (told !== null) steps.push({ at, ...told });
  }
  if (record.rotation !== null || !isScheduled(record, policy)) return steps;
  const begins = nextBeginning(policy, Math.max(now, dueAt(record, policy)));
  const next = { at: begins, what: 'the next rotation may begin', kid: null };
  return [...steps, next].sort((a, b) => a.at - b.at);
}

const SENT: Readonly<Record<Purpose, string>> = {
  publish: 'the new key is published beside the old one',
  cut_over: 'the new key takes the place of the old one on the server',
  revert: 'the old key is put back on the server',
  withdraw: 'the old key is taken off the server',
  repair: 'our document is published again',
};

/** Null: a step that a lifeline does not show. */
function toldOf(step: PreviewStep): Omit<PlannedStep, 'at'> | null {
  switch (step.step) {
    case 'generate':
      return { what: 'a new key is made', kid: null };
    case 'take_standby':
      return { what: 'the key that is kept ready is taken', kid: step.kid };
    case 'patch':
      return { what: SENT[step.purpose], kid: null };
    case 'prove':
      return {
        what: step.expect === 'accepted' ? 'the server must accept the new key' : 'the server must refuse the old key',
        kid: nameOf(step.kid),
      };
    case 'activate':
      return { what: 'the new key becomes active', kid: nameOf(step.kid) };
    case 'await_signers':
      return { what: `signers must report that they hold the new key: ${step.count}`, kid: null };
    case 'offer':
      return { what: 'the new key is offered to the application', kid: nameOf(step.kid) };
    case 'destroy':
      return { what: GONE, kid: nameOf(step.kid) };
    case 'fail':
      return { what: `the rotation fails: ${step.why}`, kid: null };
    case 'leave_standby':
    case 'deliver':
    case 'serve':
    case 'in_place':
    case 'wait':
      return null;
    default:
      return step satisfies never;
  }
}

function nameOf(kid: string | null): string | null {
  return kid === PLANNED_KID ? null : kid;
}
