/** What `rekeyd doctor` says to do about clients that are not enrolled. */
import { expect, test } from 'vitest';
import { checkEnrolment } from '../../src/commands/doctor/enrolment.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { request } from '../../src/core/request.ts';
import { asked, enrolledRecord, foundRecord, heldRecord, POLICY, START } from '../core/support.ts';

const replaced = request(foundRecord(), asked('r1', null, true), POLICY, START).record;

function offered(): ClientRecord {
  const { rotation } = replaced;
  if (rotation === null) throw new Error('there is no rotation');
  const phase = { name: 'offered', kid: 'k', at: START } as const;
  return { ...replaced, rotation: { ...rotation, strategy: 'overlap', adopting: true, phase } };
}

test.each<[string, readonly ClientRecord[], string, RegExp | null]>([
  [
    'found',
    [foundRecord()],
    '1 known, 1 found and 0 held',
    /`rekeyd keys import`.* Enroll held ones .*`rekeyd enroll`/,
  ],
  ['held', [heldRecord()], '1 known, 0 found and 1 held', /^(?!.*import).* Enroll held ones .*`rekeyd enroll`/],
  [
    'offered our key',
    [offered()],
    '1 known, 1 found and 0 held; 1 of the found are offered our key',
    /^(?!.*keys import).* Enroll those that are offered our key .*`rekeyd enroll`/,
  ],
  [
    'of all kinds',
    [foundRecord(), heldRecord(), offered(), replaced, enrolledRecord()],
    '5 known, 3 found and 1 held; 1 of the found are offered our key',
    /keys import.*Enroll held ones.*Enroll those that are offered/,
  ],
  ['replaced by a rotation, which enrolls them,', [replaced], '1 known, 1 found and 0 held', null],
  ['enrolled', [enrolledRecord()], '1 known, 0 found and 0 held', null],
])('clients that are %s get the advice for them', (_, records, detail, fix) => {
  const check = checkEnrolment(records);
  expect(check).toMatchObject({ name: 'clients', ok: true, detail });
  if (fix === null) expect(check.fix).toBeNull();
  else expect(check.fix).toMatch(fix);
});
