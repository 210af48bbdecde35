/** How often something failed, and when it is tried again. Each part of a record has its own, so that none waits for another's failures. */
import type { Wait } from './action.ts';
import { backoffMs, type Context } from './policy.ts';

export interface Tries {
  /** Failures in a row, of any kind. */
  readonly failed: number;
  /** Among them: answers that say no. An answer that tells nothing is not one. */
  readonly refused: number;
  /** Among them: what was no matter of this client, such as an API key that is refused. It lengthens the backoff, and costs no attempt. */
  readonly heldUp?: number;
  /** Not tried again before then, in ms since the epoch. */
  readonly notBefore: number;
  /** What came of the last one. */
  readonly error: string | null;
}

export const NO_TRIES: Tries = { failed: 0, refused: 0, notBefore: 0, error: null };

/** Null when it may be tried now. */
export function backoffOf({ notBefore }: Tries, now: number): Wait | null {
  return now < notBefore ? { do: 'wait', until: notBefore, why: 'backing off' } : null;
}

/** Nothing was learned, or nothing was done: try again later. */
export function afterFailure(tries: Tries, why: string, context: Context): Tries {
  const failed = tries.failed + 1;
  return { ...tries, failed, notBefore: context.now + backoffMs(failed, context), error: why };
}

/** The server said no. */
export function afterRefusal(tries: Tries, why: string, context: Context): Tries {
  const next = afterFailure(tries, why, context);
  return { ...next, refused: tries.refused + 1 };
}

/** No matter of this client. */
export function afterHoldUp(tries: Tries, why: string, context: Context): Tries {
  return { ...afterFailure(tries, why, context), heldUp: (tries.heldUp ?? 0) + 1 };
}

/** How many attempts of the policy were used. */
export function attemptsIn({ failed, heldUp = 0 }: Tries): number {
  return failed - heldUp;
}

/** The server asks to be left alone for `ms`, or may answer by an old key set for that long. That is no failure. */
export function afterThrottling(tries: Tries, ms: number, why: string, { now }: Context): Tries {
  return { ...tries, notBefore: now + ms, error: why };
}
