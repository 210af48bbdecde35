import { expect, it } from 'vitest';
import type { ClientRecord } from '../../src/core/record.ts';
import { type ClientState, clientState, lastError } from '../../src/core/state.ts';
import {
  DAY,
  enrolledRecord,
  foundRecord,
  heldRecord,
  POLICY,
  retirement,
  retiringRecord,
  rotating,
  START,
  signersHold,
  tries,
  withServer,
} from './support.ts';

const CALM = { paused: false, throttled: false };
const HELD_UP = { paused: true, throttled: true };
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
  ['one whose last rotation failed', failed, CALM, 31 * DAY, 'failed'],
  ['the same while it is tried again', { ...rotating('overlap', 'stored'), failure: 'no' }, CALM, 0, 'rotating'],
  ['one that waits for a person', rotating('cutover', 'cut_over', { halted: 'look' }), HELD_UP, 0, 'halted'],
])('%s', (_, record, hold, after, state) => {
  expect(clientState(record, POLICY, START + after, hold)).toBe(state);
});

it('a client that the config no longer takes care of is never due', () => {
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
])('the last error that matters: %s', (_, record, error) => {
  expect(lastError(record)).toBe(error);
});
