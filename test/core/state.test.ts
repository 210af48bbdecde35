import { expect, it } from 'vitest';
import type { ClientRecord } from '../../src/core/record.ts';
import { type ClientState, clientState, lastError } from '../../src/core/state.ts';
import {
  DAY,
  enrolledRecord,
  foundRecord,
  heldRecord,
  POLICY,
  published,
  retirement,
  retiringRecord,
  rotating,
  START,
  seeing,
  signersHold,
  tries,
  withServer,
} from './support.ts';

const CALM = { paused: false, throttled: false, suspended: false };
const HELD_UP = { ...CALM, paused: true, throttled: true };
/** By a person. */
const PAUSED = { ...CALM, suspended: true };
const replacedByHand = (confirmedAt: number | null) =>
  withServer(seeing(enrolledRecord(), { keys: [published('x')] }), { confirmedAt });
const failed: ClientRecord = { ...enrolledRecord(), failure: 'the server refused' };

it.each<[string, ClientRecord, typeof CALM, number, ClientState]>([
  ['an enrolled client whose key is young', enrolledRecord(), CALM, 0, 'healthy'],
  ['one whose old key is still on its way out', retiringRecord(retirement('overlap')), CALM, 0, 'healthy'],
  ['one whose key is old', enrolledRecord(), CALM, 31 * DAY, 'due'],
  ['a found one, however old', foundRecord(), CALM, 900 * DAY, 'found'],
  ['a held one, however old', heldRecord(), CALM, 900 * DAY, 'held'],
  ['one that is being rotated', rotating('overlap', 'stored'), CALM, 0, 'rotating'],
  ['the same while its deployment is paused', rotating('overlap', 'stored'), HELD_UP, 0, 'paused'],
  ['or throttled', rotating('overlap', 'stored'), { ...CALM, throttled: true }, 0, 'throttled'],
  ['one with nothing to do is not held up', enrolledRecord(), HELD_UP, 0, 'healthy'],
  ['one that a person has paused, due or not', enrolledRecord(), PAUSED, 0, 'paused'],
  ['the same when it is due', enrolledRecord(), PAUSED, 31 * DAY, 'paused'],
  ['what runs beside a pause is finished', rotating('overlap', 'stored'), PAUSED, 0, 'rotating'],
  ['a pause does not hide what failed', failed, PAUSED, 31 * DAY, 'failed'],
  ['nor that a client is found', foundRecord(), PAUSED, 0, 'found'],
  ['one whose key is older than must_by', enrolledRecord(), CALM, 45 * DAY, 'overdue'],
  ['a moment before that', enrolledRecord(), CALM, 45 * DAY - 1, 'due'],
  ['a pause does not hide that a key is overdue', enrolledRecord(), PAUSED, 46 * DAY, 'overdue'],
  ['an overdue one that is being rotated', rotating('overlap', 'stored'), CALM, 46 * DAY, 'rotating'],
  ['an overdue one whose rotation failed', failed, CALM, 46 * DAY, 'failed'],
  ['one whose last rotation failed', failed, CALM, 31 * DAY, 'failed'],
  ['the same while it is tried again', { ...rotating('overlap', 'stored'), failure: 'no' }, CALM, 0, 'rotating'],
  ['one whose imported key somebody replaced on the server', replacedByHand(null), CALM, 0, 'failed'],
  ['the same where rekeyd puts right what it published', replacedByHand(START), CALM, 0, 'healthy'],
  ['one that waits for a person', rotating('cutover', 'cut_over', { halted: 'look' }), HELD_UP, 0, 'halted'],
])('%s', (_, record, hold, after, state) => {
  expect(clientState(record, POLICY, START + after, hold)).toBe(state);
});

it('a client that the config no longer takes care of is never due, and never overdue', () => {
  expect(clientState(enrolledRecord(), null, START + 90 * DAY, CALM)).toBe('healthy');
});

it.each<[string, ClientRecord, string | null]>([
  ['nothing went wrong', enrolledRecord(), null],
  ['the reason to wait for a person', { ...failed, halted: 'look' }, 'look'],
  [
    'of the rotation under way',
    { ...rotating('overlap', 'stored', {}, { tries: tries({ error: 'r' }) }), failure: 'f' },
    'r',
  ],
  ['of an old key', retiringRecord(retirement('withdrawn', { tries: tries({ error: 'o' }) })), 'o'],
  ['of a delivery', { ...enrolledRecord(), signers: { ...signersHold('a'), tries: tries({ error: 's' }) } }, 's'],
  ['of a repair', withServer(enrolledRecord(), { tries: tries({ error: 'v' }) }), 'v'],
  ['of the rotation that failed last', failed, 'the server refused'],
  ['an imported key that is gone', replacedByHand(null), expect.stringMatching(/does not show key a.*rekeyd rotate/)],
])('the last error that matters: %s', (_, record, error) => {
  expect(lastError(record)).toEqual(error);
});
