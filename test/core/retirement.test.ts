/** Old keys on their way out. */
import { describe, expect, it } from 'vitest';
import type { Action } from '../../src/core/action.ts';
import { heard } from '../../src/core/heard.ts';
import { plan } from '../../src/core/plan.ts';
import type { ClientPolicy } from '../../src/core/policy.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { isSame, isSuperseded, type Retirement, retire, ripen } from '../../src/core/retirement.ts';
import { failedStep } from '../../src/core/setback.ts';
import {
  CONTEXT,
  discard,
  enrolledRecord,
  HOUR,
  jwks,
  key,
  MINUTE,
  POLICY,
  published,
  publishedPem,
  retirement,
  retiringRecord,
  rotating,
  START,
  seeing,
  shown,
  signersHold,
  summary,
  tries,
} from './support.ts';

const READ_BACK: ClientPolicy = { ...POLICY, prove: 'read_back' };
const LATER = START + 10 * MINUTE;
/** No signer reports anything. */
const SILENCE = { reports: [], error: null };

interface Case {
  readonly record: ClientRecord;
  readonly policy?: ClientPolicy;
  readonly after?: number;
  readonly action: Action | { readonly do: Action['do'] };
}

const withdrawn = (change: Partial<Retirement> = {}) =>
  seeing(retiringRecord(retirement('withdrawn', change)), { keys: [published('b')] });

describe('on the way out of an old key', () => {
  const replaced = retirement('refused');
  const told = signersHold('b');
  it.each<[string, Case]>([
    [
      'it stays for its overlap',
      {
        record: retiringRecord(retirement('overlap')),
        action: { do: 'wait', until: LATER, why: 'the old key is in its overlap' },
      },
    ],
    [
      'it is withdrawn from the document, in its own name',
      {
        record: retiringRecord(retirement('withdrawing')),
        action: { do: 'patch', document: jwks(published('b')), purpose: 'withdraw', owner: retirement('withdrawing') },
      },
    ],
    [
      'after a cutover it stays with signers for a while',
      {
        record: withdrawn({ until: LATER }),
        after: 10 * MINUTE - 1,
        action: { do: 'wait', until: LATER, why: 'assertions of the old key may be on their way' },
      },
    ],
    [
      'it is then shown to be refused',
      {
        record: withdrawn({ until: LATER }),
        after: 10 * MINUTE,
        action: { do: 'prove_old', kid: 'a', name: 'a', old: retirement('withdrawn', { until: LATER }) },
      },
    ],
    [
      'under each name that it stood under',
      {
        record: withdrawn({ names: ['alias', 'a'] }),
        action: { do: 'prove_old', kid: 'a', name: 'alias', old: retirement('withdrawn', { names: ['alias', 'a'] }) },
      },
    ],
    [
      'or not, as the policy says',
      { record: withdrawn(), policy: READ_BACK, action: { do: 'take_refused', old: retirement('withdrawn') } },
    ],
    [
      'a foreign key cannot be tried, and is taken as refused',
      {
        record: withdrawn({ kid: null }),
        action: { do: 'deliver', delivery: told.delivered, owner: 'signers' },
      },
    ],
    [
      'once signers know',
      {
        record: { ...withdrawn({ kid: null }), signers: told },
        action: { do: 'take_refused', old: retirement('withdrawn', { kid: null }) },
      },
    ],
    [
      'signers give it up first',
      {
        record: retiringRecord(replaced, { signers: signersHold('b', null, 'a') }),
        action: { do: 'deliver', delivery: told.delivered, owner: 'signers' },
      },
    ],
    [
      'also when it is compromised, and they cannot be reached',
      {
        record: retiringRecord(replaced, {
          keys: [key('a', 'compromised'), key('b', 'active')],
          signers: { delivered: null, tries: tries({ notBefore: LATER }) },
        }),
        action: { do: 'wait', until: LATER, why: 'backing off' },
      },
    ],
    ['then it is destroyed', { record: retiringRecord(replaced), action: { do: 'destroy', old: replaced } }],
    [
      'a key that was never sent is destroyed at once',
      { record: retiringRecord(discard('a')), action: { do: 'destroy', old: discard('a') } },
    ],
    [
      'one that was sent, and never became active, has to be refused like any other',
      {
        record: retiringRecord(discard('a', 'withdrawn')),
        action: { do: 'prove_old', kid: 'a', name: 'a', old: discard('a', 'withdrawn') },
      },
    ],
    [
      'one that is ready does not wait for another',
      {
        record: retiringRecord(retirement('withdrawn', { until: LATER }), {
          retirements: [retirement('withdrawn', { until: LATER }), discard('c')],
          keys: [key('a', 'deactivated'), key('b', 'active'), key('c', 'pre-active')],
        }),
        action: { do: 'destroy', old: discard('c') },
      },
    ],
    [
      'nor for one whose proof is put off',
      {
        record: retiringRecord(retirement('withdrawn'), {
          retirements: [
            retirement('withdrawn', { tries: tries({ failed: 5, notBefore: START + HOUR }) }),
            retirement('withdrawn', { kid: 'c', rotation: summary('r2') }),
          ],
          keys: [key('a', 'deactivated'), key('b', 'active'), key('c', 'deactivated')],
          signers: signersHold('b', null, 'c'),
        }),
        action: { do: 'prove_old', kid: 'c' } as Case['action'],
      },
    ],
    [
      'of two that wait, the sooner one sets the time',
      {
        record: retiringRecord(retirement('overlap', { until: START + HOUR }), {
          retirements: [
            retirement('overlap', { until: START + HOUR }),
            retirement('overlap', { kid: 'c', until: START + MINUTE }),
          ],
          keys: [key('a', 'deactivated'), key('b', 'active'), key('c', 'deactivated')],
          signers: signersHold('b', null, 'c'),
        }),
        action: { do: 'wait', until: START + MINUTE, why: 'the old key is in its overlap' },
      },
    ],
  ])('%s', (_, { record, policy = POLICY, after = 0, action }) => {
    expect(plan(record, policy, START + after)).toMatchObject(action);
  });
});

describe('the names of an old key', () => {
  const how = { role: 'replaced', phase: 'withdrawn', until: START, rotation: summary('r0') } as const;

  it('are all that the server shows it under, its own first', () => {
    const keys = [
      published('a', 'ES256', 'alias'),
      published('a'),
      publishedPem('a'),
      published('a', 'ES256', 'alias'),
      published('x'),
    ];
    expect(retire(seeing(enrolledRecord(), { keys }), key('a', 'active'), how).names).toEqual(['a', 'alias']);
  });

  it('are also those from before a cutover, which took them all away', () => {
    const keys = [published('a'), published('a', 'ES256', 'alias')];
    const record = rotating('cutover', 'proven', {}, { before: shown([], { keys }) });
    expect(retire(seeing(record, { keys: [published('b')] }), key('a', 'active'), how).names).toEqual(['a', 'alias']);
  });

  it('of a foreign key are none: nothing can be proven about it', () => {
    expect(retire(enrolledRecord(), undefined, how)).toMatchObject({ kid: null, names: [] });
  });
});

describe('what only time moves', () => {
  it('begins to withdraw an old key when its overlap is over, and not before', () => {
    const record = retiringRecord(retirement('overlap'));
    expect(ripen(record, LATER - 1)).toBe(record);
    expect(ripen(heard(record, SILENCE, { policy: POLICY, now: LATER }).record, LATER).retirements).toMatchObject([
      { kid: 'a', phase: 'withdrawing' },
    ]);
  });

  it('also while a rotation is under way, which cannot put that off', () => {
    const record = rotating('overlap', 'published', {
      keys: [key('a', 'active'), key('b', 'pre-active'), key('c', 'deactivated')],
      retirements: [retirement('overlap', { kid: 'c' })],
      signers: signersHold('a', 'b', 'c'),
    });
    const now = LATER + HOUR;
    const silent = heard(record, SILENCE, { policy: POLICY, now }).record;
    expect(plan(ripen(seeing(silent, {}, now), now), READ_BACK, now)).toMatchObject({ do: 'take_unproven' });
    const failing = { ...silent, rotation: { ...silent.rotation, tries: tries({ notBefore: now + HOUR }) } };
    expect(plan(ripen(seeing(failing as ClientRecord, {}, now), now), POLICY, now)).toMatchObject({
      do: 'patch',
      purpose: 'withdraw',
    });
  });

  it.each([
    retiringRecord(retirement('withdrawn', { until: START })),
    retiringRecord(discard('a', 'withdrawing')),
    enrolledRecord(),
  ])('leaves the rest alone', (record) => {
    expect(ripen(record, START + HOUR)).toBe(record);
  });
});

describe('one retirement among several', () => {
  it('is known by its key and its rotation', () => {
    const foreign = (id: string) => retirement('overlap', { kid: null, rotation: summary(id) });
    expect(isSame(foreign('r1'), foreign('r2'))).toBe(false);
    expect(isSame(foreign('r1'), { ...foreign('r1'), phase: 'refused' })).toBe(true);
  });

  it('counts its own failures, and nobody else does', () => {
    const [one, two] = [retirement('withdrawn'), retirement('withdrawn', { kid: 'c' })];
    const record: ClientRecord = { ...rotating('overlap', 'published'), retirements: [one, two] };
    let next = record;
    for (let time = 0; time < 50; time += 1) next = failedStep(next, two, 'no luck', CONTEXT).record;
    expect(next).toMatchObject({
      rotation: record.rotation,
      retirements: [{ tries: { failed: 0 } }, { tries: { failed: 50, error: 'no luck' } }],
      server: record.server,
      signers: record.signers,
    });
  });

  it('that was thrown away for another key of its rotation waits for that one', () => {
    const { rotation } = rotating('cutover', 'stored');
    expect(isSuperseded(discard('c', 'withdrawing', 'r1'), rotation)).toBe(true);
    expect(isSuperseded(discard('c', 'withdrawing', 'r0'), rotation)).toBe(false);
    expect(isSuperseded(discard('c', 'withdrawing', 'r1'), null)).toBe(false);
    expect(isSuperseded(retirement('withdrawing', { rotation: summary('r1') }), rotation)).toBe(false);
  });
});
