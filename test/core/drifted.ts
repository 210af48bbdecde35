import type { ObservedClient } from '../../src/core/document.ts';
import { observed } from '../../src/core/enrolment.ts';
import { ALGORITHMS } from '../../src/core/keys.ts';
import type { ClientPolicy } from '../../src/core/policy.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { client, enrolledRecord, MINUTE, OPERATOR, POLICY, published, START, withServer } from './support.ts';

export const PERSON = { ...OPERATOR, claimedBy: 'os:alice' };
export const LATER = START + MINUTE;

/** A server that was seen to take several keys. */
export const SEVERAL: ClientPolicy = {
  ...POLICY,
  facts: {
    ...POLICY.facts,
    findings: {
      at: START,
      algs: Object.fromEntries(ALGORITHMS.map((alg) => [alg, { result: 'accepted', evidence: 'seen' }])),
      picks: { result: 'by_kid', evidence: 'seen' },
      forms: Object.fromEntries(
        ['jwk_with_pem', 'jwk', 'pem', 'jwks_uri'].map((form) => [form, { result: 'accepted', evidence: 'seen' }]),
      ),
    } as unknown as NonNullable<ClientPolicy['facts']['findings']>, // no other member is looked at
  },
};

export const confirmed = (record: ClientRecord) => withServer(record, { confirmedAt: START });
export const ours = () => confirmed(enrolledRecord());
export const beside = () => confirmed(enrolledRecord(client({ keys: [published('a'), published('f')] })));

export function see(record: ClientRecord, change: Partial<ObservedClient> | null, policy = SEVERAL, now = LATER) {
  const seen = change === null ? null : { ...record.server.observed.client, active: true, ...change };
  return observed(record, seen, policy, now);
}

export const told = ({ entries }: ReturnType<typeof see>) => entries.map(({ type, data }) => [type, data.what]);
