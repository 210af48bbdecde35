/** Commits, one after the other as Redis executed them: none by somebody who was fenced off, and none without its entries. */

import type { StoredEnd, StoredRecord } from '../evidence/evidence.ts';
import type { CommitEvent, Event, SnapshotClient } from '../evidence/history.ts';
import type { Check, Violation } from './checker.ts';
import { misaccounted } from './transitions.ts';

interface Held {
  readonly op: string;
  readonly version: string;
  claim: string;
  epoch: string;
  readonly record: StoredRecord;
}

export const storeIsFenced: Check = ({ events }) => {
  const held = new Map<string, Held>();
  return events.flatMap((event) => {
    switch (event.kind) {
      case 'snapshot':
        held.clear();
        for (const [ref, client] of Object.entries(event.clients)) held.set(ref, heldAs(client));
        return [];
      case 'store':
        if (event.how === 'emptied') held.clear();
        return [];
      case 'claim':
        return judgeClaim(event, held.get(event.ref));
      case 'loose_entry':
        return judgeLoose(event.draft);
      case 'commit': {
        const before = held.get(event.ref);
        const record: StoredRecord = JSON.parse(event.record);
        const { op, version } = event;
        held.set(event.ref, { op, version, claim: before?.claim ?? '', epoch: before?.epoch ?? '0', record });
        return judgeCommit(event, before, record);
      }
      default:
        return [];
    }
  });
};

function heldAs({ record, ...same }: SnapshotClient): Held {
  return { ...same, record: JSON.parse(record) };
}

function judgeClaim({ ref, claim, epoch }: Extract<Event, { kind: 'claim' }>, before: Held | undefined): Violation[] {
  if (before === undefined) return [{ rule: 'epoch', ref, message: 'a client was claimed that nobody knows' }];
  before.claim = claim;
  // Nobody's: it only ends the one before.
  if (epoch === '') return [];
  const isLater = Number(epoch) > Number(before.epoch);
  const message = `epoch ${epoch} was given out after ${before.epoch}`;
  before.epoch = epoch;
  return isLater ? [] : [{ rule: 'epoch', ref, message }];
}

const NO_CHANGES: readonly string[] = ['schedule.paused', 'schedule.resumed', 'rotation.refused', 'key.import_refused'];

/** What concerns a client stands or falls with a change of its record. These change nothing of it: to join a rotation under way, to be turned away, to pause it, an import that is refused. */
function judgeLoose(draft: string): Violation[] {
  const { client, type, data } = JSON.parse(draft);
  const changesNothing = NO_CHANGES.includes(type) || (type === 'rotation.requested' && data.joins !== undefined);
  if (client === null || changesNothing) return [];
  return [{ rule: 'loose_entry', ref: client, message: `an entry without its change: ${draft.slice(0, 200)}` }];
}

const NOBODY: Pick<Held, 'op' | 'version' | 'claim'> = { op: '', version: '0', claim: '' };

function judgeCommit(event: CommitEvent, before: Held | undefined, record: StoredRecord): Violation[] {
  const { ref, expected, version } = event;
  const stood = before ?? NOBODY;
  const violations: Violation[] = [];
  const say = (rule: string) => (message: string) => void violations.push({ rule, ref, message });
  if (expected.op !== stood.op || expected.claim !== stood.claim) {
    const [was, is] = [stood, expected].map(({ op, claim }) => `commit ${op} of claim ${claim}`);
    say('fence')(`a commit that knew ${is} was taken while ${was} stood there`);
  }
  if (Number(version) !== Number(stood.version) + 1) say('fence')(`version ${version} followed ${stood.version}`);
  const has = activeIn(record);
  const isGone = has === 0 && record.enrolment !== 'found' && before !== undefined && activeIn(before.record) === 1;
  if (has > 1 || isGone) say('one_active')(`${has} keys were active at once`);
  misaccounted({
    before: before?.record ?? null,
    after: record,
    ended: event.ended.map((end): StoredEnd => JSON.parse(end)),
    drafts: event.drafts.map((draft) => JSON.parse(draft)),
  }).forEach(say('unlogged'));
  return violations;
}

function activeIn({ keys }: StoredRecord): number {
  return keys.filter(({ state }) => state === 'active').length;
}
