/** A key was found where it must not be: whether anything is to be replaced. */
import { expect, it } from 'vitest';
import { type LeakedKey, leakVerdict } from '../../src/core/leaked.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { request } from '../../src/core/request.ts';
import {
  asked,
  enrolledRecord,
  foundRecord,
  heldRecord,
  idOf,
  POLICY,
  published,
  publishedPem,
  START,
  seeing,
} from './support.ts';

const ours = (state: LeakedKey['state'], shown = true): LeakedKey => ({
  id: idOf('a'),
  kid: 'a',
  state,
  published: shown,
});
const foreign = (name: string, kid: string | null = name): LeakedKey => ({
  id: idOf(name),
  kid,
  state: 'foreign',
  published: true,
});

const reported = request(enrolledRecord(), asked('c1', { kid: 'a' }), POLICY, START).record;
const former = [{ id: idOf('f'), kid: 'f', at: 1, compromised: true }];
const gone = { ...enrolledRecord(), former };
const failed = { ...seeing(enrolledRecord(), { keys: [published('a'), published('f')] }), former };
const found = seeing(foundRecord(), { keys: [publishedPem('f')] });

it.each<[string, ClientRecord, LeakedKey, object]>([
  ['the key in use is replaced', enrolledRecord(), ours('active'), { replace: 'a' }],
  ['so is that of an application which was not seen to take ours', heldRecord(), ours('active'), { replace: 'a' }],
  ['one that is on its way out', enrolledRecord(), ours('deactivated'), { replace: 'a' }],
  ['one that is kept ready', enrolledRecord(), ours('pre-active', false), { replace: 'a' }],
  [
    'a foreign one beside ours, by its id where it has no kid',
    enrolledRecord(),
    foreign('f', null),
    { replace: idOf('f') },
  ],
  ['by its id too where a request cannot hold its kid', enrolledRecord(), foreign('f', 'f '), { replace: idOf('f') }],
  ['or where its kid is that of our key', enrolledRecord(), foreign('f', 'a'), { replace: idOf('f') }],
  ['one that was destroyed, and that somebody put back', gone, ours('destroyed'), { replace: 'a' }],
  ['a foreign one that was reported in vain', failed, foreign('f'), { replace: 'f' }],
])('%s', (_, record, key, verdict) => {
  expect(leakVerdict(record, key, false)).toEqual(verdict);
});

it.each<[string, ClientRecord, LeakedKey]>([
  ['is destroyed', enrolledRecord(), ours('destroyed', false)],
  ['was reported, and is on its way out', enrolledRecord(), ours('compromised')],
  ['was reported, and is not published any more', gone, foreign('f')],
  ['is that of an application which signs with its own', found, foreign('f', null)],
  ['has no name', enrolledRecord(), { id: null, kid: null, state: 'foreign', published: true }],
])('nothing is replaced for a key that %s', (_, record, key) => {
  expect(leakVerdict(record, key, false)).toEqual({ left: expect.any(String) });
});

it('a report of a key whose replacement is under way asks for no other', () => {
  const marked = { ...reported, former: [{ id: idOf('a'), kid: 'a', at: START, compromised: true }] };
  expect(reported.rotation?.compromised).not.toBeNull();
  expect(leakVerdict(marked, ours('active'), false)).toEqual({ left: expect.stringContaining('being replaced') });
});

it('an application which signs with its own key is taken over where somebody says so', () => {
  expect(leakVerdict(found, foreign('f', null), true)).toEqual({ replace: idOf('f') });
});
