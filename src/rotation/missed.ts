/** A step that threw before anything was learned. */
import type { Owner } from '../core/action.ts';
import type { ClientRecord } from '../core/record.ts';
import { failedStep, heldUpStep } from '../core/setback.ts';
import type { Transition } from '../core/transition.ts';
import { hasCode, messageOf } from '../errors.ts';
import type { Run } from './run.ts';

/** A KMS that is away is no failure of this client: no attempt is lost over it. */
export function missed(record: ClientRecord, owner: Owner, error: unknown, run: Pick<Run, 'context'>): Transition {
  const step = hasCode(error, 'kms_unavailable') ? heldUpStep : failedStep;
  return step(record, owner, messageOf(error), run.context());
}
