/** The way back. A key that a person has put back is in use again, and the one that had replaced it is gone; a client that was released leaves no key behind. */

import type { AuditLine, Evidence } from '../evidence/evidence.ts';
import type { Event } from '../evidence/history.ts';
import type { Check, Violation } from './checker.ts';

type Undone = Extract<Event, { kind: 'undone' }>;

export const rollbacksGoBack: Check = (evidence) =>
  evidence.events.flatMap((event) => {
    if (event.kind === 'undone') return judgeUndone(event, evidence);
    return event.kind === 'released' ? judgeReleased(event.ref, evidence) : [];
  });

/** One that failed itself leaves everything as it was; one that was ended by a compromise goes to a third key. */
const ENDED_OTHERWISE = ['rotation.failed', 'rotation.rolled_back', 'key.compromised'];

function judgeUndone({ ref, rotation, restores, replaces }: Undone, { audit }: Evidence): readonly Violation[] {
  const mine = audit.filter(({ client }) => client === ref);
  if (mine.some((line) => line.rotation === rotation && ENDED_OTHERWISE.includes(line.type))) return [];
  const has = (type: string, kid: string, of: string | null) => mine.some((line) => isOf(line, type, kid, of));
  const missing = [
    ...(has('key.activated', restores, rotation) ? [] : [`the key ${restores} was never put back`]),
    ...(has('key.deactivated', replaces, rotation) ? [] : [`the key ${replaces} was not taken out of use`]),
    ...(has('key.destroyed', replaces, null) ? [] : [`the key ${replaces}, which it replaced, was never destroyed`]),
    ...(has('rotation.rolled_back', replaces, null) ? [] : [`the rotation to ${replaces} is not told as rolled back`]),
    ...(mine.some((line) => line.rotation === rotation && line.type === 'rotation.completed')
      ? []
      : ['the rollback never ended']),
  ];
  return missing.map((what) => ({ rule: 'rollback', ref, message: `rolled back by ${rotation}: ${what}` }));
}

function isOf({ type, data, rotation }: AuditLine, wanted: string, kid: string, of: string | null): boolean {
  return type === wanted && data.kid === kid && (of === null || rotation === of);
}

function judgeReleased(ref: string, { ends }: Evidence): readonly Violation[] {
  const end = ends.find(({ client }) => client.ref === ref);
  if (end === undefined) return [];
  const { record, sealed } = end;
  const isGone = record?.enrolment === 'found' && record.keys.length === 0 && sealed.size === 0;
  const message = `was released, and is ${record?.enrolment} with ${sealed.size} private halves in the store`;
  return isGone ? [] : [{ rule: 'released', ref, message }];
}
