import { expect, test } from 'vitest';
import type { AuditLine } from '../evidence/evidence.ts';
import type { Event, Untimed } from '../evidence/history.ts';
import { rulesOf } from './fleets.ts';
import { webhooksAreTold } from './webhooks.ts';

type Hook = Extract<Event, { readonly kind: 'hook' }>;

const LOG = ['rotation.requested', 'rotation.started', 'key.generated', 'key.stored'].map(
  (type, index): AuditLine => ({
    ...{ seq: index + 1, at: 0, type, client: null, rotation: null, actor: 'a test', data: {}, draft: '' },
  }),
);

/** Of the entry with this number. */
function told(seq: number, changes: Partial<Hook> = {}): Untimed<Event> {
  return { kind: 'hook', id: `evt_${seq}`, seq, type: LOG[seq - 1]?.type ?? 'lost', isSigned: true, ...changes };
}

test.each<[what: string, told: readonly Untimed<Event>[], ...rules: string[]]>([
  ['of nothing', []],
  ['of all from the second one on', [told(2), told(3), told(4)]],
  ['of one twice', [told(1), told(2), told(2), told(3)]],
  ['of an earlier one again', [told(1), told(2), told(1), told(2), told(3)]],
  ['of all but one', [told(1), told(3)], 'hook_order'],
  ['of one too late', [told(1), told(3), told(2)], 'hook_order'],
  ['of one that the log has lost', [told(4), told(5)], 'hook_strange'],
  ['of something else under its number', [told(1), told(2, { type: 'key.proven' })], 'hook_strange'],
  ['of one under two ids', [told(1), told(1, { id: 'evt_other' })], 'hook_id'],
  ['of two under one id', [told(1), told(2, { id: 'evt_1' })], 'hook_id'],
  ['without a signature', [told(1, { isSigned: false })], 'hook_unsigned'],
])('a receiver is told %s', (_, events, ...rules) => {
  expect(rulesOf(webhooksAreTold, [], events, [], { audit: LOG })).toEqual(rules);
});
