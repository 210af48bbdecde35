/** Commits, one after the other as Redis executed them: none by somebody who was fenced off, and none without its entry. */
import type { Check, Violation } from '../checker.ts';
import type { StoredRecord } from '../evidence.ts';
import type { CommitEvent } from '../history.ts';

interface Held {
  version: string;
  epoch: string;
  record: StoredRecord | null;
}

export const storeIsFenced: Check = ({ events }) => {
  const held = new Map<string, Held>();
  const violations: Violation[] = [];
  for (const event of events) {
    if (event.kind === 'snapshot') {
      held.clear();
      for (const [ref, { version, epoch, record }] of Object.entries(event.clients))
        held.set(ref, { version, epoch, record: JSON.parse(record) });
    }
    if (event.kind === 'claim') {
      const before = held.get(event.ref);
      if (before === undefined) continue;
      if (Number(event.epoch) <= Number(before.epoch))
        violations.push({
          rule: 'epoch',
          ref: event.ref,
          message: `epoch ${event.epoch} was given out after ${before.epoch}`,
        });
      before.epoch = event.epoch;
    }
    if (event.kind === 'loose_entry' && JSON.parse(event.draft).client !== null)
      violations.push({
        rule: 'loose_entry',
        ref: null,
        message: `an entry without its change: ${event.draft.slice(0, 200)}`,
      });
    if (event.kind !== 'commit') continue;
    const before = held.get(event.ref) ?? { version: '0', epoch: '', record: null };
    violations.push(...judgeCommit(event, before));
    held.set(event.ref, { version: event.version, epoch: before.epoch, record: JSON.parse(event.record) });
  }
  return violations;
};

function judgeCommit(event: CommitEvent, before: Held): Violation[] {
  const { ref, expected, version } = event;
  const found: string[] = [];
  if (before.record !== null && (expected.version !== before.version || expected.epoch !== before.epoch)) {
    const [was, is] = [before, expected].map(({ version, epoch }) => `version ${version} of epoch ${epoch}`);
    found.push(`a commit that knew ${is} was taken while ${was} stood there`);
  }
  if (Number(version) !== Number(before.version) + 1) found.push(`version ${version} followed ${before.version}`);
  const violations = found.map((message) => ({ rule: 'fence', ref, message }));
  const types = new Set(event.drafts.map((draft): string => JSON.parse(draft).type));
  for (const type of entriesOwed(before.record, JSON.parse(event.record))) {
    if (!types.has(type)) violations.push({ rule: 'unlogged', ref, message: `a change without its entry ${type}` });
  }
  return violations;
}

const OF_STATE: Readonly<Record<string, readonly string[]>> = {
  active: ['key.activated', 'key.imported'],
  deactivated: ['key.deactivated'],
  compromised: ['key.compromised'],
  destroyed: ['key.destroyed'],
  'pre-active': ['key.stored'],
};

/** Entries that have to come with the step from one record to the next. */
function entriesOwed(before: StoredRecord | null, after: StoredRecord): readonly string[] {
  const known = new Map((before?.keys ?? []).map((key) => [key.thumbprint, key.state]));
  const owed = after.keys.flatMap(({ thumbprint, state }) => {
    if (known.get(thumbprint) === state) return [];
    const types = OF_STATE[state] ?? [];
    // The first key of a client is imported, all others are activated.
    return state === 'active' && before?.rotation == null ? types.slice(1) : types.slice(0, 1);
  });
  const announced = after.inFlight !== null && after.inFlight.deadline !== before?.inFlight?.deadline;
  return announced ? [...owed, 'key.publishing'] : owed;
}
