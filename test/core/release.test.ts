/** A client that is handed back to its owner: found, and left alone by every schedule. */
import { describe, expect, it } from 'vitest';
import { isScheduled, whyDue } from '../../src/core/due.ts';
import { enrolled, imported } from '../../src/core/enrolment.ts';
import { plan } from '../../src/core/plan.ts';
import type { ClientPolicy } from '../../src/core/policy.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { released } from '../../src/core/release.ts';
import { request } from '../../src/core/request.ts';
import {
  asked,
  DAY,
  enrolledRecord,
  foundRecord,
  heldRecord,
  idOf,
  inFlight,
  jwks,
  material,
  OPERATOR,
  POLICY,
  published,
  retirement,
  retiringRecord,
  rotating,
  START,
  withServer,
} from './support.ts';

const TAKE_OVER: ClientPolicy = { ...POLICY, adopt: 'take_over' };

it.each([
  ['held', heldRecord()],
  ['enrolled', enrolledRecord()],
])('a client that was %s is found, without keys of ours, and nothing is left to do', (from, record) => {
  const change = released(record, OPERATOR, '/tmp/key.pem');
  expect(change.record).toMatchObject({ enrolment: 'found', keys: [], released: true, rotation: null });
  expect(change.entries).toMatchObject([
    { type: 'client.released', actor: 'operator', data: { kid: 'a', from, file: '/tmp/key.pem' } },
  ]);
  // Its key folder is left as it is.
  expect(plan(change.record, POLICY, START)).toEqual({ do: 'done' });
});

it('no schedule takes it over, until somebody gives it to us again', () => {
  const { record } = released(enrolledRecord(), OPERATOR, null);
  expect(whyDue(record, TAKE_OVER, START + 90 * DAY)).toBeNull();
  expect(whyDue(foundRecord(), TAKE_OVER, START + 90 * DAY)).not.toBeNull();
  const { kid: _, ...key } = material('a');
  const again = imported(record, key, OPERATOR, START).record;
  expect([again.released, isScheduled(again, TAKE_OVER)]).toEqual([undefined, true]);
  expect(isScheduled(enrolled(again, OPERATOR).record, POLICY)).toBe(true);
});

it('a person who names it takes it over as any client that was found', () => {
  const { record } = released(enrolledRecord(), OPERATOR, null);
  expect(() => request(record, asked('r1'), POLICY, START)).toThrow(expect.objectContaining({ code: 'not_enrolled' }));
  expect(request(record, asked('r1', null, true), POLICY, START).record.rotation).not.toBeNull();
});

describe('a release is refused, with what to do', () => {
  it.each<[string, ClientRecord, string, RegExp]>([
    [
      'while a rotation runs',
      rotating('overlap', 'published'),
      'under_way',
      /rotation r1 is under way.*rekeyd abandon/,
    ],
    ['while an old key is on its way out', retiringRecord(retirement('overlap')), 'under_way', /on its way out/],
    [
      'while a PATCH may arrive',
      withServer(enrolledRecord(), { inFlight: inFlight(jwks(published('a')), START + 1) }),
      'under_way',
      /not known yet what the server shows/,
    ],
    ['while the store is in doubt', { ...enrolledRecord(), doubted: true }, 'under_way', /when a worker has looked/],
    ['of a client without a key of ours', foundRecord(), 'not_found', /nothing to hand over/],
    [
      'of a key that was reported',
      { ...enrolledRecord(), former: [{ id: idOf('a'), kid: 'a', at: START, compromised: true }] },
      'key_invalid',
      /rekeyd rotate \S+ --compromised/,
    ],
  ])('%s', (_, record, code, message) => {
    expect(() => released(record, OPERATOR, null)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
  });
});
