import { describe, expect, it } from 'vitest';
import { adopt, imported, observed } from '../../src/core/adopt.ts';
import { request } from '../../src/core/begin.ts';
import { desiredDocument } from '../../src/core/desired.ts';
import { FRESH_MS, plan } from '../../src/core/plan.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import {
  adoptedRecord,
  asked,
  client,
  managedRecord,
  material,
  OPERATOR,
  POLICY,
  published,
  publishedPem,
  REF,
  rotating,
  START,
  typesOf,
} from './support.ts';

const ALG = { token_endpoint_auth_signing_alg: 'ES256' };

describe('taking a client in', () => {
  it('keeps all of its keys as keys of others', () => {
    const change = adopt(REF, client(), OPERATOR, START);
    expect(change.record).toMatchObject({ keys: [], foreign: [published('foreign-1')], published: null, format: null });
    expect(change.entries).toMatchObject([
      { type: 'client.adopted', actor: 'operator', data: { alg: 'ES256', keys: 1 } },
    ]);
  });

  it('tells keys of others from ours when it looks again', () => {
    const seen = client({ keys: [published('a'), published('x'), publishedPem('a')] });
    const change = observed(managedRecord(), seen, POLICY, START + 1);
    expect(change.record).toMatchObject({ foreign: [published('x')], observed: { client: seen, at: START + 1 } });
    expect(change.entries).toEqual([]);
  });

  it('reports a drift once', () => {
    const record: ClientRecord = { ...managedRecord(), published: desiredDocument(managedRecord(), POLICY) };
    const first = observed(record, client({ keys: [] }), POLICY, START);
    expect(typesOf(first)).toEqual(['client.drifted']);
    expect(typesOf(observed(first.record, client({ keys: [] }), POLICY, START))).toEqual([]);
  });

  it('does not take a missing client for one without keys', () => {
    const { record } = observed(managedRecord(), null, POLICY, START);
    expect(record.observed.client).toMatchObject({ active: false, keys: [published('a')] });
  });

  it.each(['requested', 'stored', 'delivered'] as const)(
    'leads the way back of a rotation that is %s to what stands now',
    (phase) => {
      const seen = client({ keys: [published('a')], alg: 'ES384' });
      const early = rotating('cutover', phase, {}, { before: client({ keys: [published('a'), published('gone')] }) });
      expect(observed(early, seen, POLICY, START + 1).record.rotation?.before).toEqual(seen);
    },
  );

  it.each<[string, ClientRecord]>([
    [
      'something was sent',
      rotating('cutover', 'delivered', { inFlight: { document: { ...ALG }, deadline: START, again: false } }),
    ],
    ['an answer differed', rotating('cutover', 'delivered', { conflicts: 1 })],
    ['the new key is published', rotating('overlap', 'published')],
    ['it goes back', rotating('overlap', 'reverting')],
    ['a key may have leaked', rotating('cutover', 'delivered', {}, { compromised: { kid: null } })],
  ])('leaves the way back alone once %s', (_, record) => {
    const seen = client({ keys: [published('b')], alg: 'ES384' });
    const first = observed(record, seen, POLICY, START + 2 * FRESH_MS).record;
    const again = observed(first, seen, POLICY, START + 3 * FRESH_MS).record;
    expect(first.rotation?.before).toEqual(record.rotation?.before);
    expect(again.rotation?.before).toEqual(record.rotation?.before);
  });

  it('knows what came of a lost PATCH from a list that was read after its deadline', () => {
    const record: ClientRecord = {
      ...managedRecord(),
      inFlight: { document: { ...ALG }, deadline: START, again: false },
    };
    expect(observed(record, client(), POLICY, START + FRESH_MS - 1).record.inFlight).not.toBeNull();
    expect(observed(record, client(), POLICY, START + FRESH_MS).record.inFlight).toBeNull();
  });
});

describe('importing the key that a client signs with', () => {
  const { kid: _, ...own } = material('own');
  const take = (record: ClientRecord) => imported(record, own, POLICY, OPERATOR, START);

  it.each([
    ['the kid it is published under', [{ ...published('own'), kid: 'kept' }, published('x')], 'kept', 'jwks'],
    ['its thumbprint when it is published without one', [material('own').jwk], 'own', 'jwks'],
    ['its thumbprint when it is published as a PEM', [publishedPem('own')], 'own', 'pem'],
  ] as const)('names it by %s', (_, keys, kid, format) => {
    const { record, entries } = take(adoptedRecord(client({ keys })));
    expect(record.keys).toMatchObject([{ kid, thumbprint: 'own', state: 'active' }]);
    expect(record).toMatchObject({ format, foreign: keys.slice(1), published: null });
    expect(entries).toMatchObject([{ type: 'key.imported', data: { kid, thumbprint: 'own' } }]);
    expect(plan(record, POLICY, START)).toMatchObject({ do: 'deliver', delivery: { current: kid } });
  });

  it('believes a client whose keys stand elsewhere', () => {
    const { record } = take(adoptedRecord(client({ keys: [], jwksUri: 'https://customer.example.com/jwks' })));
    expect(record).toMatchObject({ format: 'jwks_uri', keys: [{ kid: 'own' }] });
  });

  it.each([
    ['nobody signs in with', adoptedRecord()],
    ['would replace a managed one', managedRecord()],
    [
      'comes in the middle of a rotation',
      request(adoptedRecord(client({ keys: [published('own')] })), asked('r1'), POLICY, START).record,
    ],
  ])('refuses a key that %s', (_, record) => {
    expect(() => take(record)).toThrow(expect.objectContaining({ code: 'key_invalid' }));
  });
});
