/** A plan shows where a rotation waits for signers, and comes to its end. */
import { expect, test } from 'vitest';
import { heard } from '../../src/core/heard.ts';
import type { ClientPolicy } from '../../src/core/policy.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { request } from '../../src/core/request.ts';
import { standbyMade } from '../../src/core/standby.ts';
import { type PreviewStep, preview } from '../../src/forecast/preview.ts';
import { asked, enrolledRecord, material, POLICY, retirement, retiringRecord, START } from '../core/support.ts';

const steps = (record: ClientRecord, policy: ClientPolicy): readonly PreviewStep['step'][] =>
  preview(record, policy, START, (alg) => material('b', alg)).map(({ step }) => step);

function requested(policy: ClientPolicy): ClientRecord {
  return request(enrolledRecord(), asked('r1'), policy, START).record;
}

test.each([0, 2])('a cutover that needs %i signers', (requireReady) => {
  const policy: ClientPolicy = { ...POLICY, strategy: 'cutover', requireReady };
  const waits = requireReady === 0 ? [] : ['await_signers'];
  expect(steps(requested(policy), policy)).toEqual([
    ...[
      'generate',
      'deliver',
      ...waits,
      'patch',
      'prove',
      'deliver',
      'activate',
      'wait',
      'prove',
      'deliver',
      'destroy',
    ],
  ]);
});

test('a compromise uses the standby key, or gives it up, and the plan ends with the old key', () => {
  const policy: ClientPolicy = { ...POLICY, standby: true };
  const kept = standbyMade(enrolledRecord(), material('s'), { now: START }).record;
  const signers = { ...kept.signers, delivered: { current: 'a', next: 's', previous: null } };
  const planned = (keepStandby: boolean) =>
    steps(request({ ...kept, signers }, { ...asked('r1', { kid: null }), keepStandby }, policy, START).record, policy);
  const ending = ['patch', 'prove', 'deliver', 'activate', 'prove', 'deliver', 'destroy'];
  expect(planned(true)).toEqual(['take_standby', ...ending]);
  expect(planned(false)).toEqual(['leave_standby', 'generate', 'deliver', ...ending, 'destroy']);
});

test('an overlap needs none, and one that a signer holds up now is shown as it would go on', () => {
  const policy: ClientPolicy = { ...POLICY, requireReady: 2 };
  expect(steps(requested(policy), policy)).not.toContain('await_signers');
  const late = retiringRecord(retirement('overlap', { until: START }));
  const report = { name: 'web-1', kids: ['a'], signing: 'a', at: START };
  const held = heard(late, { reports: [report], error: null }, { policy, now: START }).record;
  expect(steps(held, policy)).toEqual(['wait', 'patch', 'prove', 'deliver', 'destroy']);
});
