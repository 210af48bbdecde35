/** A step that did not succeed: where that is counted, when it is tried again, and when it is given up. */
import type { Owner } from './action.ts';
import { fail, giveUp, turnBack } from './ending.ts';
import type { Context } from './policy.ts';
import { isPressing } from './pressing.ts';
import type { ClientRecord } from './record.ts';
import { isSame, withRetirement } from './retirement.ts';
import type { Rotation } from './rotation.ts';
import type { Transition } from './transition.ts';
import { afterFailure, afterHoldUp, afterRefusal, afterThrottling, attemptsIn, NO_TRIES, type Tries } from './tries.ts';

/** The tries of one owner. */
export function triesOf({ rotation, server, signers }: ClientRecord, owner: Owner): Tries {
  if (owner === 'rotation') return rotation?.tries ?? server.tries;
  if (owner === 'server') return server.tries;
  return owner === 'signers' ? signers.tries : owner.tries;
}

/** The same, changed. */
export function withTries(record: ClientRecord, owner: Owner, change: (tries: Tries) => Tries): ClientRecord {
  const { rotation, server, signers } = record;
  if (owner === 'rotation') {
    return rotation === null ? record : { ...record, rotation: { ...rotation, tries: change(rotation.tries) } };
  }
  if (owner === 'server') return { ...record, server: { ...server, tries: change(server.tries) } };
  if (owner === 'signers') return { ...record, signers: { ...signers, tries: change(signers.tries) } };
  const retirement = record.retirements.find((old) => isSame(old, owner));
  return retirement === undefined ? record : withRetirement(record, retirement, { tries: change(retirement.tries) });
}

export function relieved(record: ClientRecord, owner: Owner): ClientRecord {
  return withTries(record, owner, () => NO_TRIES);
}

/** How `error` begins when it is tried again after the attempts of the policy. */
const USED_UP = 'its attempts are used up, and it goes on because a key may have leaked: ';

/**
 * It may pass. After a compromise it is tried again without end: a rotation that was given up would leave the key that leaked in use, and nobody would
 * come back to it. Any other rotation is given up after the attempts of its policy.
 */
export function failedStep(record: ClientRecord, owner: Owner, why: string, context: Context): Transition {
  const { rotation } = record;
  const isUrgent = owner === 'rotation' && rotation !== null && rotation.compromised !== null;
  const next = withTries(record, owner, (tries) => {
    const failed = afterFailure(tries, why, context);
    return isUrgent && attemptsIn(failed) >= context.policy.attempts
      ? { ...failed, error: `${USED_UP}${why}` }
      : failed;
  });
  if (owner !== 'rotation' || isUrgent) return { record: next, entries: [] };
  return usedUp(next, 'failed', why, context);
}

/** Somebody said no. Also after a compromise, a rotation is given up once that was said as often as the policy has attempts. */
export function refusedStep(record: ClientRecord, owner: Owner, why: string, context: Context): Transition {
  const next = withTries(record, owner, (tries) => afterRefusal(tries, why, context));
  if (owner !== 'rotation') return { record: next, entries: [] };
  return usedUp(next, next.rotation?.compromised == null ? 'failed' : 'refused', why, context);
}

/** The API key is refused, or the KMS is away, which is no matter of this client: it is tried again more and more rarely, and no attempt is used. */
export function heldUpStep(record: ClientRecord, owner: Owner, why: string, context: Context): Transition {
  return { record: withTries(record, owner, (tries) => afterHoldUp(tries, why, context)), entries: [] };
}

/** The server asks to be left alone: no attempt is lost. While sign-ins are refused, or a leaked key is accepted, its wish counts for less. */
export function throttledStep(
  record: ClientRecord,
  owner: Owner,
  { ms, why }: { readonly ms: number; readonly why: string },
  context: Context,
): Transition {
  const waitMs = isPressing(record) ? Math.min(ms, PRESSING_MS) : ms;
  return { record: withTries(record, owner, (tries) => afterThrottling(tries, waitMs, why, context)), entries: [] };
}

/** What is pressing asks again after this time, in ms: the store lets one such call of a deployment through that often. */
const PRESSING_MS = 5_000;

/** What kept the API from taking calls is gone: nothing that failed over it has to wait any longer. */
export function hastened(record: ClientRecord): ClientRecord {
  const owners: readonly Owner[] = ['rotation', 'server', ...record.retirements];
  return owners.reduce((next, owner) => withTries(next, owner, (tries) => ({ ...tries, notBefore: 0 })), record);
}

function usedUp(record: ClientRecord, counted: 'failed' | 'refused', why: string, context: Context): Transition {
  const { rotation } = record;
  if (rotation === null) return { record, entries: [] };
  const used = counted === 'failed' ? attemptsIn(rotation.tries) : rotation.tries.refused;
  if (used < context.policy.attempts) return { record, entries: [] };
  return givenUpIn(record, rotation, `gave up after ${used} attempts: ${why}`, context);
}

/** Where each phase leads when its rotation is given up. */
function givenUpIn(record: ClientRecord, rotation: Rotation, why: string, context: Context): Transition {
  switch (rotation.phase.name) {
    case 'requested':
    case 'stored':
      return fail(record, rotation, why, context);
    case 'delivered':
      return giveUp(record, rotation, rotation.phase.kid, why, context);
    case 'published':
    case 'cut_over':
      return turnBack(record, rotation, rotation.phase.kid, why);
    case 'proven':
    case 'offered':
    case 'reverting':
      // None has a better place to go: signers hold both keys, so trying again is the safe thing. `rekeyd abandon` ends it.
      return { record, entries: [] };
    default:
      return rotation.phase satisfies never;
  }
}
