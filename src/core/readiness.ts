/** Waiting for signers: a cutover until enough of them hold the new key, and the end of an overlap until none signs with the old one. */
import type { Action, Wait } from './action.ts';
import { formatDuration } from './duration.ts';
import { named, nextHearing, recentReports } from './hearing.ts';
import type { ClientPolicy } from './policy.ts';
import type { ClientRecord } from './record.ts';
import { type Retirement, withRetirement } from './retirement.ts';
import type { CutoverRotation } from './rotation.ts';
import type { SignerReport } from './signers.ts';
import { entry, type Transition } from './transition.ts';

/** A cutover that is about to send its document; null after a compromise, which waits for nothing. */
function waitingCutover({ rotation }: ClientRecord): (CutoverRotation & { phase: { name: 'delivered' } }) | null {
  if (rotation?.strategy !== 'cutover' || rotation.phase.name !== 'delivered') return null;
  if (rotation.compromised !== null || rotation.abandoned !== null) return null;
  return { ...rotation, phase: rotation.phase };
}

/** Since when signers have had the new key, as far as it is known. */
function deliveredAt({ phase, startedAt }: CutoverRotation & { phase: { name: 'delivered' } }): number {
  return phase.at ?? startedAt;
}

/** A cutover would cut short the overlap of keys that still wait for their time, so it waits for them to end. */
export function holdingForOverlap(record: ClientRecord, policy: ClientPolicy, now: number): Action | null {
  const rotation = waitingCutover(record);
  const overlapping = record.retirements.filter(({ phase }) => phase === 'overlap');
  if (rotation === null || overlapping.length === 0) return null;
  const actions = overlapping.map((old) => overlapAction(old, record, policy, now));
  const other = actions.find((action) => action.do !== 'wait');
  if (other !== undefined) return other;
  const last = actions.filter((action) => action.do === 'wait').reduce((a, b) => (a.until > b.until ? a : b));
  const over = Math.max(deliveredAt(rotation), ...overlapping.map(({ until }) => until));
  // Its overlap is over, and a signer goes on with the old key: the rotation cannot wait for that for ever.
  if (rotation.before === null && now >= over + policy.readyTimeoutMs) return { do: 'fail', why: last.why };
  return overlapping.some(({ until }) => now < until) ? { ...last, why: 'an older key is still in its overlap' } : last;
}

/** Nothing is sent before `require_ready` signers report that they hold the new key. What was sent already cannot be held back. */
export function holdingForSigners(record: ClientRecord, policy: ClientPolicy, now: number): Action | null {
  const rotation = waitingCutover(record);
  if (rotation === null || rotation.before !== null || policy.requireReady === 0) return null;
  const since = deliveredAt(rotation);
  const next = nextHearing(record, since, now);
  if (now >= next) return { do: 'hear' };
  const { ready, missing } = readiness(record, rotation.phase.kid, now);
  if (ready.length >= policy.requireReady) return null;
  const why = notReady(ready.length, missing, policy, record);
  const deadline = since + policy.readyTimeoutMs;
  if (now < deadline) return { do: 'wait', until: Math.min(deadline, next), why };
  return { do: 'fail', why: `${why}, ${formatDuration(policy.readyTimeoutMs)} after they could. Nothing was sent` };
}

/** Which of the signers that reported lately hold a key, and which do not. */
function readiness(
  record: ClientRecord,
  kid: string,
  now: number,
): { readonly ready: readonly SignerReport[]; readonly missing: readonly SignerReport[] } {
  const reports = recentReports(record, now);
  const holds = ({ kids }: SignerReport) => kids.includes(kid);
  return { ready: reports.filter(holds), missing: reports.filter((report) => !holds(report)) };
}

function notReady(
  ready: number,
  missing: readonly SignerReport[],
  { requireReady }: ClientPolicy,
  { signers }: ClientRecord,
): string {
  const without = missing.length === 0 ? '' : `; without it: ${named(missing)}`;
  const unread = signers.reported?.error == null ? '' : `; reports cannot be read: ${signers.reported.error}`;
  return `${ready} of ${requireReady} signers report that they hold the new key${without}${unread}`;
}

/** What an old key in its overlap waits for, of a record that time has {@link ./retirement.ts ripened}. */
export function overlapAction(old: Retirement, record: ClientRecord, policy: ClientPolicy, now: number): Action {
  if (now < old.until) return { do: 'wait', until: old.until, why: 'the old key is in its overlap' };
  const next = nextHearing(record, old.until, now);
  if (now >= next) return { do: 'hear' };
  const wait: Wait = { do: 'wait', until: next, why: whyHeld(old, record, now) };
  const isLate = now >= old.until + policy.readyTimeoutMs;
  return isLate && old.delayed === undefined ? { do: 'tell_delay', old, why: wait.why } : wait;
}

/** Both keys stay. People are told once; the error stays until the overlap ends. */
export function delayed(record: ClientRecord, old: Retirement, why: string, now: number): Transition {
  const signing = recentReports(record, now).filter((report) => report.signing === old.kid);
  const data = { kid: old.kid, signers: signing.map(({ name }) => name), error: why };
  return {
    record: withRetirement(record, old, { delayed: true, tries: { ...old.tries, error: why } }),
    entries: [entry(record, old.rotation, 'rotation.delayed', data)],
  };
}

function whyHeld({ kid }: Retirement, record: ClientRecord, now: number): string {
  const signing = recentReports(record, now).filter(({ signing }) => signing === kid);
  if (signing.length > 0)
    return `the overlap goes on, because signers still sign with the old key ${kid}: ${named(signing)}`;
  return `the overlap goes on for a while, because reports of signers cannot be read: ${record.signers.reported?.error}`;
}
