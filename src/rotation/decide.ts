/** What is to be done next for a client. What changes nothing outside the record is done here. */
import type { Action } from '../core/action.ts';
import { fail, turnBack } from '../core/ending.ts';
import { plan } from '../core/plan.ts';
import type { Context } from '../core/policy.ts';
import { destroyed, takenRefused, takenUnproven } from '../core/proving.ts';
import { settled } from '../core/publishing.ts';
import { delayed } from '../core/readiness.ts';
import type { ClientRecord } from '../core/record.ts';
import { ripen } from '../core/retirement.ts';
import { incomingKid } from '../core/rotation.ts';
import { standbyDropped, standbyLeft, standbyTaken } from '../core/standby.ts';
import { type Change, merged } from './commit.ts';

/** The actions that {@link decide} leaves to the loop: all that have an effect outside the record. */
export type Outside = Exclude<
  Action,
  {
    do:
      | 'done'
      | 'wait'
      | 'fail'
      | 'turn_back'
      | 'settle'
      | 'take_unproven'
      | 'take_refused'
      | 'destroy'
      | 'tell_delay'
      | 'take_standby'
      | 'leave_standby'
      | 'drop_standby';
  }
>;

/** Steps that change nothing outside the record are taken at once, and committed with what came before them. */
export function decide(
  from: Change,
  now: number,
  context: () => Context,
): { readonly change: Change; readonly action: Action } {
  let change = from;
  for (;;) {
    const record = ripen(change.record, now);
    const action = plan(record, context().policy, now);
    const step = pureStep(action, record, context);
    if (step === null) return { change: record === change.record ? change : { ...change, record }, action };
    change = merged({ ...change, record }, step);
  }
}

function pureStep(action: Action, record: ClientRecord, context: () => Context): Change | null {
  const { rotation } = record;
  switch (action.do) {
    case 'fail':
      return rotation === null ? null : fail(record, rotation, action.why, context());
    case 'turn_back': {
      const kid = incomingKid(rotation);
      return rotation === null || kid === null ? null : turnBack(record, rotation, kid, action.why);
    }
    case 'settle':
      return settled(record, { purpose: action.purpose, owner: action.owner }, context());
    case 'take_unproven':
      return takenUnproven(record, action.kid);
    case 'take_refused':
      return takenRefused(record, action.old);
    case 'tell_delay':
      return delayed(record, action.old, action.why, context().now);
    case 'destroy':
      return { ...destroyed(record, action.old, context()), erase: erasedWith(record, action.old.kid) };
    case 'take_standby':
      return { record: standbyTaken(record, action.rotation, action.kid, context().now), entries: [] };
    case 'leave_standby':
      return { record: standbyLeft(record, action.why), entries: [] };
    case 'drop_standby':
      return { ...standbyDropped(record, action.kid, context()), erase: erasedWith(record, action.kid) };
    default:
      return null;
  }
}

/** Sealed private halves are named by thumbprint. */
function erasedWith(record: ClientRecord, kid: string | null): readonly string[] {
  return record.keys.flatMap((key) => (key.kid === kid ? [key.thumbprint] : []));
}
