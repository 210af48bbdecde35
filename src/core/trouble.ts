/** What a person should hear of steps that fail: once when it begins, again when the error changes or the attempts are used up, and once when it is over. */
import type { Policy } from './policy.ts';
import type { ClientRecord } from './record.ts';
import { isSame } from './retirement.ts';
import { NO_TRIES, type Tries } from './tries.ts';

export type Trouble =
  /** `nextAt`: when it is tried again, in ms since the epoch; null: when somebody next looks. */
  | {
      readonly kind: 'fails' | 'used_up';
      readonly error: string;
      readonly failed: number;
      readonly nextAt: number | null;
    }
  /** `error`: what it had failed with. */
  | { readonly kind: 'works'; readonly error: string };

/** Told from one committed record to the next, so that it is told once, whichever worker is at work and however often it starts anew. */
export function troublesSince(
  before: ClientRecord,
  after: ClientRecord,
  { attempts }: Pick<Policy, 'attempts'>,
): readonly Trouble[] {
  const changes = [...ofRotation(before, after), ...ofRetirements(before, after), ...ofParts(before, after)];
  return [...changes.flatMap(([was, is]) => change(was, is, attempts) ?? []), ...ofReports(before, after)];
}

type Change = readonly [was: Tries, is: Tries];

/** How a rotation ends is told of itself, and so is that a person ended it. */
function ofRotation({ rotation: was }: ClientRecord, { rotation: is }: ClientRecord): readonly Change[] {
  if (is === null) return [];
  if (was === null || was.id !== is.id) return [[NO_TRIES, is.tries]];
  const isGivenUp = was.abandoned !== null && is.abandoned === null;
  return isGivenUp ? [] : [[was.tries, is.tries]];
}

/** Signers that hold an overlap up are told of as `rotation.delayed`. */
function ofRetirements(before: ClientRecord, after: ClientRecord): readonly Change[] {
  return after.retirements.flatMap((is): readonly Change[] => {
    const was = before.retirements.find((old) => isSame(old, is));
    return is.delayed && !was?.delayed ? [] : [[was?.tries ?? NO_TRIES, is.tries]];
  });
}

function ofParts(before: ClientRecord, after: ClientRecord): readonly Change[] {
  return [
    [before.server.tries, after.server.tries],
    [before.signers.tries, after.signers.tries],
  ];
}

function change(was: Tries, is: Tries, attempts: number): Trouble | null {
  if (is.error === null) return was.error === null ? null : { kind: 'works', error: was.error };
  const { error, failed, notBefore } = is;
  if (was.failed < attempts && failed >= attempts) return { kind: 'used_up', error, failed, nextAt: notBefore };
  // A server that asks to be left alone says another time with each answer. That is no failure, and no other error.
  const isNews = was.error === null || (error !== was.error && failed !== was.failed);
  return isNews ? { kind: 'fails', error, failed, nextAt: notBefore } : null;
}

function ofReports(before: ClientRecord, after: ClientRecord): readonly Trouble[] {
  const [was, is] = [before.signers.reported?.error ?? null, after.signers.reported?.error ?? null];
  if (was === is) return [];
  if (is !== null) return [{ kind: 'fails', error: is, failed: 1, nextAt: null }];
  return was === null ? [] : [{ kind: 'works', error: was }];
}
