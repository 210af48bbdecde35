/** Keys that were reported together: each is marked, whatever it is to the client. {@link ./compromise.ts} replaces the foremost of them. */
import { RekeydError } from '../errors.ts';
import type { AuditDraft } from './audit.ts';
import { type RotationRequest, reportOf, type Started } from './begin.ts';
import { activeKey, findKey, type KeyState, withKey } from './keys.ts';
import type { ClientRecord } from './record.ts';
import { withRetirements } from './retirement.ts';
import { incomingKid } from './rotation.ts';
import { standbyLeft } from './standby.ts';
import { entry } from './transition.ts';
import { NO_TRIES } from './tries.ts';

/** Of several keys the one that matters most: in use, on its way into use, on its way out, kept ready. The others are marked beside it. */
export function foremost(record: ClientRecord, kids: readonly string[]): string {
  const { rotation, retirements } = record;
  const order = [activeKey(record)?.kid, incomingKid(rotation), ...retirements.map((old) => old.kid)];
  const found = [...order, ...kids].find((kid) => kid != null && kids.includes(kid));
  if (found != null) return found;
  throw new RekeydError('not_found', `${record.ref} has none of the keys that were reported.`);
}

/** A standby key that is exposed signs in nowhere, and is given up. */
export function withoutStandby(record: ClientRecord, kids: readonly string[]): ClientRecord {
  const kid = record.standby?.kid ?? null;
  if (kid === null || !kids.includes(kid)) return record;
  return standbyLeft(withKey(record, kid, { state: 'compromised' }), 'it was reported as compromised');
}

/** Marks those of the keys that the transition did not. @param before as it was when they were reported */
export function marking(
  before: ClientRecord,
  started: Started,
  asked: RotationRequest,
  kids: readonly string[],
  now: number,
): Started {
  const { rotation: id, entries: told } = started;
  const entries = [...told];
  let { record } = started;
  for (const kid of kids) {
    const from = findKey(before, kid)?.state;
    const isTold = told.some(({ type, data }) => type === 'key.compromised' && data.kid === kid);
    const isGoing = record.standby?.kid === kid || record.retirements.some((old) => old.kid === kid);
    if (from === undefined || from === 'compromised' || isTold || !isGoing) continue;
    record = withReported(record, kid, asked, now);
    entries.push(exposure(record, kid, from, id, asked));
  }
  return { ...started, record, entries };
}

/** A key that is on its way out, or kept ready, is reported: nothing that it waits for counts any more. */
export function withReported(record: ClientRecord, kid: string, asked: RotationRequest, now: number): ClientRecord {
  const { at: reportedAt } = reportOf(asked.compromised ?? { kid }, asked.askedAt, now);
  const exposure = { reportedAt, refusedAt: null, tokensUntil: null };
  return withRetirements(withKey(record, kid, { state: 'compromised' }), (old) => {
    if (old.kid !== kid) return old;
    // Reported twice, it counts from the first time.
    return { ...old, until: Math.min(old.until, now), tries: NO_TRIES, rotation: { exposure, ...old.rotation } };
  });
}

export function exposure(
  record: ClientRecord,
  kid: string,
  from: KeyState,
  id: string,
  asked: RotationRequest,
): AuditDraft {
  return entry(record, { ...asked, id }, 'key.compromised', { kid, from, to: 'compromised' });
}
