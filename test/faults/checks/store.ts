/** Commits, one after the other as Redis executed them: none by somebody who was fenced off, and none without its entries. */
import type { Check, Violation } from '../checker.ts';
import type { StoredRecord } from '../evidence.ts';
import type { CommitEvent, Event } from '../history.ts';
import { misaccounted } from './transitions.ts';

interface Held {
  readonly version: string;
  epoch: string;
  readonly record: StoredRecord;
}

export const storeIsFenced: Check = ({ events }) => {
  const held = new Map<string, Held>();
  return events.flatMap((event) => {
    switch (event.kind) {
      case 'snapshot':
        held.clear();
        for (const [ref, { version, epoch, record }] of Object.entries(event.clients))
          held.set(ref, { version, epoch, record: JSON.parse(record) });
        return [];
      case 'claim':
        return judgeClaim(event, held.get(event.ref));
      case 'loose_entry':
        return judgeLoose(event.draft);
      case 'commit': {
        const before = held.get(event.ref);
        const record: StoredRecord = JSON.parse(event.record);
        held.set(event.ref, { version: event.version, epoch: before?.epoch ?? '0', record });
        return before === undefined ? [] : judgeCommit(event, before, record);
      }
      default:
        return [];
    }
  });
};

function judgeClaim({ ref, epoch }: Extract<Event, { kind: 'claim' }>, before: Held | undefined): Violation[] {
  if (before === undefined) return [];
  const isLater = Number(epoch) > Number(before.epoch);
  const message = `epoch ${epoch} was given out after ${before.epoch}`;
  before.epoch = epoch;
  return isLater ? [] : [{ rule: 'epoch', ref, message }];
}

/** What concerns a client stands or falls with a change of its record; only somebody who joins a rotation under way changes nothing. */
function judgeLoose(draft: string): Violation[] {
  const { client, type, data } = JSON.parse(draft);
  if (client === null || (type === 'rotation.requested' && data.joins !== undefined)) return [];
  return [{ rule: 'loose_entry', ref: client, message: `an entry without its change: ${draft.slice(0, 200)}` }];
}

function judgeCommit(event: CommitEvent, before: Held, record: StoredRecord): Violation[] {
  const { ref, expected, version } = event;
  const violations: Violation[] = [];
  const say = (rule: string) => (message: string) => void violations.push({ rule, ref, message });
  if (expected.version !== before.version || expected.epoch !== before.epoch) {
    const [was, is] = [before, expected].map(({ version, epoch }) => `version ${version} of epoch ${epoch}`);
    say('fence')(`a commit that knew ${is} was taken while ${was} stood there`);
  }
  if (Number(version) !== Number(before.version) + 1) say('fence')(`version ${version} followed ${before.version}`);
  const [had, has] = [before.record, record].map(({ keys }) => keys.filter(({ state }) => state === 'active').length);
  if (has !== 1 && had === 1) say('one_active')(`${has} keys were active at once`);
  misaccounted(
    before.record,
    record,
    event.drafts.map((draft) => JSON.parse(draft)),
  ).forEach(say('unlogged'));
  return violations;
}
