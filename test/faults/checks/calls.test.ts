/** Calls that are carried out twice, for nothing, for somebody who may not ask or without a word; and events that a listener is not told of as they are. */
import { expect, test } from 'vitest';
import type { AuditLine } from '../evidence/evidence.ts';
import type { Event, Untimed } from '../evidence/history.ts';
import { callsAreKept, eventsAreTold } from './calls.ts';
import { rulesOf, type Told } from './fleets.ts';

const NAME = 'call-1';

const called = (due: Extract<Event, { kind: 'call' }>['due']): Untimed<Event> => ({
  ...{ kind: 'call', name: NAME, token: 'siem', due },
});

const answered = (status: number, ...rotations: readonly string[]): Untimed<Event> => ({
  ...{ kind: 'answer', name: NAME, port: 1, status, request: 'http-1', pending: false },
  rotations: rotations.map((id) => ({ id, client: `of ${id}` })),
});

type Line = Partial<AuditLine> & { readonly type: string };

const by = { reason: NAME, claimed_by: 'token:siem' };
const CALLED: Line = { ...by, type: 'api.called', data: { request: 'http-1' } };
const REQUESTED: Line = { ...by, type: 'rotation.requested', client: 'of r1', rotation: 'r1' };
const WRITTEN = [CALLED, REQUESTED];

/** Numbered from 1. */
function logOf(lines: readonly Line[]): readonly AuditLine[] {
  return lines.map((line, index) => ({
    ...{ at: 0, client: null, rotation: null, actor: 'a test', data: {}, draft: '' },
    ...{ seq: index + 1, ...line },
  }));
}

const revoking: Untimed<Event> = { kind: 'revoking', token: 'siem' };
const { claimed_by: _, ...ANONYMOUS } = REQUESTED;

test.each<[what: string, told: readonly Told[], log: readonly Line[], ...rules: string[]]>([
  ['it is asked twice and done once', [called('effect'), answered(202, 'r1'), answered(202, 'r1')], WRITTEN],
  ['it is done, and never answered', [called('effect')], WRITTEN],
  [
    'the answers are two',
    [called('effect'), answered(202, 'r1'), answered(202, 'r2')],
    WRITTEN,
    'call_answers',
    'call_lost',
  ],
  ['a leak that is replaced is reported again', [called('effect'), answered(202, 'r1'), answered(200)], WRITTEN],
  ['it is written down twice', [called('effect')], [...WRITTEN, CALLED], 'call_twice'],
  [
    'a power cut makes two requests of it',
    [called('effect')],
    [...WRITTEN, { ...CALLED, data: { request: 'http-2' } }],
  ],
  ['a client of it is done twice', [called('effect')], [...WRITTEN, { ...REQUESTED, rotation: 'r2' }], 'call_twice'],
  ['its rotation never was', [called('effect'), answered(202, 'r1')], [CALLED], 'call_lost'],
  ['nobody wrote it down', [called('effect'), answered(202, 'r1')], [REQUESTED], 'call_unaudited'],
  ['nobody wrote down who asked', [called('effect')], [CALLED, ANONYMOUS], 'call_unaudited'],
  ['it is refused for no reason', [called('effect'), answered(401)], [], 'call_refused'],
  ['its token is revoked meanwhile', [called('effect'), revoking, answered(401)], []],
  ['its token is revoked later', [called('effect'), answered(401), revoking], [], 'call_refused'],
  ['a worker breaks', [called('effect'), answered(500), answered(503)], [], 'call_broken'],
  ['nothing is to come of it, and nothing does', [called('nothing'), answered(200)], []],
  ['nothing is to come of it, and something does', [called('nothing'), answered(202)], [CALLED], 'call_for_nothing'],
  ['it may not be asked, and is refused', [called('refusal'), answered(401), answered(503)], []],
  ['it may not be asked, and is answered', [called('refusal'), answered(202)], [], 'let_in'],
  ['it may not be asked, and is done', [called('refusal'), answered(401)], [REQUESTED], 'let_in'],
])('a call: %s', (_, told, log, ...rules) => {
  expect(rulesOf(callsAreKept, [], told, [], { audit: logOf(log) })).toEqual(rules);
});

const ofRotation = (id: string): Line => ({ type: 'key.proven', rotation: id });
const LOG = [ofRotation('r1'), ofRotation('r2'), ofRotation('r1'), ofRotation('r1')];

const told = (...seqs: readonly number[]): readonly Untimed<Event>[] =>
  seqs.map((seq) => ({ kind: 'told', listener: 'a listener', rotation: 'r1', seq, type: 'key.proven' }));

const toldAs = (type: string): Untimed<Event> => ({
  ...{ kind: 'told', listener: 'a listener', rotation: 'r1', seq: 1, type },
});

const toldAll: Untimed<Event> = { kind: 'told_all', listener: 'a listener', rotation: 'r1' };

test.each<[what: string, told: readonly Told[], ...rules: string[]]>([
  ['of all', [...told(1, 3, 4), toldAll]],
  ['of the first, and cut off', told(1, 3)],
  ['not of the first', told(3, 4), 'event_lost'],
  ['not of one in between', told(1, 4), 'event_lost'],
  ['not of the last, and that this is all', [...told(1, 3), toldAll], 'event_lost'],
  ['of one twice', told(1, 3, 3), 'event_order'],
  ['of one too late', [...told(1, 4, 3), toldAll], 'event_order'],
  ['of one of another rotation', told(1, 2, 3), 'event_strange'],
  ['of one as something else', [toldAs('key.destroyed'), ...told(3)], 'event_strange'],
])('a listener is told %s', (_, heard, ...rules) => {
  expect(rulesOf(eventsAreTold, [], heard, [], { audit: logOf(LOG) })).toEqual(rules);
});
