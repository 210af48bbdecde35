import { describe, expect, it } from 'vitest';
import { FRESH_MS, plan, ripen, type Step } from '../../src/core/plan.ts';
import type { ClientPolicy } from '../../src/core/policy.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import {
  adoptedRecord,
  client,
  HOUR,
  key,
  MINUTE,
  managedRecord,
  material,
  POLICY,
  published,
  retirement,
  retiringRecord,
  rotating,
  rotation,
  SERVED_URI,
  START,
  servedKey,
} from './support.ts';

const READ_BACK: ClientPolicy = { ...POLICY, prove: 'read_back' };
const RETIRE: ClientPolicy = { ...POLICY, foreignKeys: 'retire' };
const ALG = { token_endpoint_auth_signing_alg: 'ES256' };
const both = { jwks: { keys: [published('a'), published('b')] }, ...ALG };
const onlyB = { jwks: { keys: [published('b')] }, ...ALG };
const onlyA = { jwks: { keys: [published('a')] }, ...ALG };
const foreign = [published('foreign-1'), published('foreign-2')];
const overlap = (phase: string, change = {}) => retiringRecord(retirement('overlap', phase, change));
const cutover = (phase: string, change = {}) => retiringRecord(retirement('cutover', phase, change));

function shows(...kids: readonly string[]): Pick<ClientRecord, 'observed'> {
  return { observed: { client: client({ keys: kids.map((kid) => published(kid)) }), at: START } };
}

interface Case {
  readonly record: ClientRecord;
  readonly policy?: ClientPolicy;
  /** ms after the start of the story. */
  readonly after?: number;
  readonly step: Step | { readonly do: Step['do'] };
}

function table(cases: readonly [string, Case][]): void {
  it.each(cases)('%s', (_, { record, policy = POLICY, after = 0, step }) => {
    expect(plan(record, policy, START + after)).toMatchObject(step);
  });
}

/** At rest, with that set where the server looks. */
function serving(served: ClientRecord['served']): ClientRecord {
  return {
    ...managedRecord(),
    format: 'jwks_uri',
    published: { jwks_uri: SERVED_URI, ...ALG },
    observed: { client: client({ keys: [], jwksUri: SERVED_URI }), at: START },
    served,
  };
}

describe('at rest', () => {
  table([
    ['there is nothing to do', { record: managedRecord(), step: { do: 'done' } }],
    [
      'a halted client is left alone',
      { record: rotating('overlap', 'requested', { halted: 'look' }), step: { do: 'done' } },
    ],
    [
      'a failed step is not tried before its time, nor is any other',
      {
        record: rotating('overlap', 'requested', { notBefore: START + 1 }),
        step: { do: 'wait', until: START + 1, why: 'backing off' },
      },
    ],
    ['and is tried then', { record: rotating('overlap', 'requested', { notBefore: START }), step: { do: 'generate' } }],
    [
      'a lost delivery is made again',
      {
        record: { ...managedRecord(), delivered: null },
        step: { do: 'deliver', delivery: { current: 'a', next: null, previous: null } },
      },
    ],
    [
      'a document that somebody changed is repaired',
      {
        record: { ...managedRecord(), ...shows('a', 'x'), published: onlyA, foreign: [] },
        step: { do: 'patch', document: onlyA, purpose: 'repair' },
      },
    ],
    [
      'what we never published is not ours to repair',
      { record: { ...managedRecord(), ...shows('x') }, step: { do: 'done' } },
    ],
    [
      'a served set that is not the desired one is written again',
      {
        record: serving([servedKey('x')]),
        step: { do: 'serve', keys: [servedKey('a')], purpose: 'repair' },
      },
    ],
    [
      'and so is one of which an earlier version noted the kids',
      {
        record: serving(JSON.parse('["a"]')),
        step: { do: 'serve', keys: [servedKey('a')], purpose: 'repair' },
      },
    ],
    [
      'a PATCH without an answer is waited for',
      {
        record: { ...managedRecord(), inFlight: { document: onlyA, deadline: START, again: false } },
        after: FRESH_MS - 1,
        step: { do: 'wait', until: START + FRESH_MS, why: 'an earlier PATCH may still arrive' },
      },
    ],
    [
      'and looked for once it cannot arrive any more',
      {
        record: { ...managedRecord(), inFlight: { document: onlyA, deadline: START, again: false } },
        after: FRESH_MS,
        step: { do: 'observe' },
      },
    ],
  ]);
});

describe('before a key is made', () => {
  const unknown = { delivered: null };
  table([
    [
      'signers are brought up to date, so that a rotation that cannot reach them leaves no key behind',
      {
        record: rotating('overlap', 'requested', unknown),
        step: { do: 'deliver', delivery: { current: 'a', next: null, previous: null } },
      },
    ],
    [
      'but not after a compromise: the key to be replaced may be what cannot be handed over',
      { record: rotating('cutover', 'requested', unknown, { compromised: { kid: null } }), step: { do: 'generate' } },
    ],
  ]);

  it.each<[string, ClientRecord, ClientPolicy, RegExp | null]>([
    [
      'an overlap cannot change the alg',
      rotating('overlap', 'requested', {}, { alg: 'RS256' }),
      POLICY,
      /from ES256 to RS256: the server verifies one alg per client.* Set strategy: auto/,
    ],
    [
      'nor when the keys stand in a served set, and the server shows none',
      rotating(
        'overlap',
        'requested',
        { observed: { client: client({ keys: [], jwksUri: SERVED_URI }), at: START } },
        { alg: 'RS256' },
      ),
      POLICY,
      /from ES256 to RS256/,
    ],
    ['a cutover can', rotating('cutover', 'requested', {}, { alg: 'RS256' }), POLICY, null],
    [
      'an overlap cannot change the alg of keys of others, as far as theirs can be told',
      {
        ...adoptedRecord(client({ alg: null, keys: [{ kty: 'OKP', crv: 'Ed25519', x: 'x' }] })),
        rotation: rotation('overlap', 'requested'),
      },
      POLICY,
      /from EdDSA to ES256/,
    ],
    [
      'a client without any key has no alg to keep',
      { ...adoptedRecord(client({ keys: [] })), rotation: rotation('overlap', 'requested', { alg: 'RS256' }) },
      POLICY,
      null,
    ],
    [
      'a single PEM has no room for two keys of others',
      rotating('cutover', 'requested', { foreign }, { format: 'pem' }),
      POLICY,
      /format pem holds one key, and 2 foreign keys are published\. Set foreign_keys: retire/,
    ],
    ['unless they are to go', rotating('cutover', 'requested', { foreign }, { format: 'pem' }), RETIRE, null],
    [
      'one key of others is replaced',
      rotating('cutover', 'requested', { foreign: foreign.slice(1) }, { format: 'pem' }),
      POLICY,
      null,
    ],
    [
      'a set needs a place to be served from',
      rotating('overlap', 'requested', {}, { format: 'jwks_uri' }),
      { ...POLICY, jwksUri: null },
      /needs a place to serve the set from\. Set publish\.path and publish\.base_url/,
    ],
    ['which the config may name', rotating('overlap', 'requested', {}, { format: 'jwks_uri' }), POLICY, null],
  ])('%s', (_, record, policy, why) => {
    const step = plan(record, policy, START);
    expect(step).toMatchObject(why === null ? { do: 'generate' } : { do: 'fail', why: expect.stringMatching(why) });
  });
});

describe('on the way to a new key', () => {
  const elsewhere = { document: onlyA, deadline: START + 9_000, again: false };
  const hidden = { keys: [key('a', 'active'), key('b', 'pre-active'), key('c', 'deactivated')] };
  table([
    [
      'signers get the stored key as next',
      {
        record: rotating('overlap', 'stored'),
        step: { do: 'deliver', delivery: { current: 'a', next: 'b', previous: null } },
      },
    ],
    [
      'nothing is published before signers are known to hold it',
      { record: rotating('overlap', 'delivered', { delivered: null }), step: { do: 'deliver' } },
    ],
    [
      'the document is read before it is replaced',
      { record: rotating('overlap', 'delivered'), after: FRESH_MS + 1, step: { do: 'observe' } },
    ],
    [
      'an overlap adds the new key',
      {
        record: rotating('overlap', 'delivered'),
        after: FRESH_MS,
        step: { do: 'patch', document: both, purpose: 'publish' },
      },
    ],
    [
      'a cutover puts it in the place of the old one',
      { record: rotating('cutover', 'delivered'), step: { do: 'patch', document: onlyB, purpose: 'cut_over' } },
    ],
    [
      'a cutover waits for an older key in its overlap',
      {
        record: rotating('cutover', 'delivered', {
          ...hidden,
          retiring: [{ ...retirement('overlap', 'waiting'), kid: 'c' }],
          delivered: { current: 'a', next: 'b', previous: 'c' },
        } as Partial<ClientRecord>),
        step: { do: 'wait', until: START + 10 * MINUTE, why: 'an older key is still in its overlap' },
      },
    ],
    [
      'unless a key is compromised',
      {
        record: rotating(
          'cutover',
          'delivered',
          {
            ...hidden,
            retiring: [{ ...retirement('overlap', 'withdrawing'), kid: 'c' }],
            delivered: { current: 'a', next: 'b', previous: 'c' },
          } as Partial<ClientRecord>,
          { compromised: { kid: null } },
        ),
        step: { do: 'patch', document: onlyB, purpose: 'cut_over' },
      },
    ],
    [
      'another PATCH that may still arrive is waited for',
      {
        record: rotating('overlap', 'delivered', { inFlight: elsewhere }),
        after: 8_999,
        step: { do: 'wait', until: START + 9_000, why: 'an earlier PATCH may still arrive' },
      },
    ],
    [
      'and no longer than that',
      {
        record: rotating('overlap', 'delivered', {
          inFlight: elsewhere,
          observed: { client: client({ keys: [published('a')] }), at: START + 9_000 },
        }),
        after: 9_000,
        step: { do: 'patch', document: both, purpose: 'publish' },
      },
    ],
    [
      'the same PATCH is sent again at once',
      {
        record: rotating('overlap', 'delivered', {
          inFlight: { document: both, deadline: START + 9_000, again: false },
        }),
        step: { do: 'patch', document: both, purpose: 'publish' },
      },
    ],
    [
      'what the server holds already is not sent',
      { record: rotating('overlap', 'delivered', shows('a', 'b')), step: { do: 'settle' } },
    ],
    [
      'unless it also shows a jwks_uri, which may be what it goes by',
      {
        record: rotating('overlap', 'delivered', {
          observed: {
            client: client({ keys: [published('a'), published('b')], jwksUri: 'https://x.example.com' }),
            at: START,
          },
        }),
        step: { do: 'patch', document: both, purpose: 'publish' },
      },
    ],
    [
      'a set is served before the server is sent there',
      {
        record: rotating('overlap', 'delivered', {}, { format: 'jwks_uri' }),
        step: { do: 'serve', keys: [servedKey('a'), servedKey('b')], purpose: 'publish' },
      },
    ],
    [
      'and then the server is',
      {
        record: rotating('overlap', 'delivered', { served: [servedKey('a'), servedKey('b')] }, { format: 'jwks_uri' }),
        step: { do: 'patch', document: { jwks_uri: SERVED_URI, ...ALG }, purpose: 'publish' },
      },
    ],
    [
      'a new key that overlaps is left to spread',
      {
        record: rotating('overlap', 'published', shows('a', 'b')),
        after: MINUTE - 1,
        step: { do: 'wait', until: START + MINUTE, why: 'the new key propagates' },
      },
    ],
    [
      'and then proven',
      {
        record: rotating('overlap', 'published', shows('a', 'b')),
        after: MINUTE,
        step: { do: 'prove', kid: 'b', expect: 'accepted' },
      },
    ],
    [
      'after a cutover at once',
      { record: rotating('cutover', 'cut_over', shows('b')), step: { do: 'prove', kid: 'b', expect: 'accepted' } },
    ],
    [
      'or taken as it was read back',
      {
        record: rotating('cutover', 'cut_over', shows('b')),
        policy: READ_BACK,
        step: { do: 'take_unproven', kid: 'b', expect: 'accepted' },
      },
    ],
    [
      'signers flip to a proven key',
      {
        record: rotating('overlap', 'proven', shows('a', 'b')),
        step: { do: 'deliver', delivery: { current: 'b', next: null, previous: 'a' } },
      },
    ],
    [
      'the way back is sent',
      {
        record: rotating('cutover', 'reverting', shows('b')),
        step: { do: 'patch', document: onlyA, purpose: 'revert' },
      },
    ],
    [
      'there is no way back to no key at all',
      {
        record: {
          ...adoptedRecord(client({ keys: [] })),
          keys: [key('b', 'pre-active')],
          delivered: { current: null, next: 'b', previous: null },
          rotation: rotation('cutover', 'reverting', { before: client({ keys: [] }) }),
        },
        step: { do: 'settle' },
      },
    ],
    [
      'a key that was thrown away for another stays until that one stands in its place',
      {
        record: rotating('cutover', 'cut_over', {
          keys: [key('a', 'active'), key('b', 'pre-active'), key('c', 'pre-active')],
          retiring: [{ kind: 'discard', kid: 'c', rotation: 'r1' }],
          delivered: { current: 'a', next: 'b', previous: 'c' },
          notBefore: 0,
        }),
        step: { do: 'prove', kid: 'b', expect: 'accepted' },
      },
    ],
  ]);
});

describe('on the way out of an old key', () => {
  const withdrawn = { ...overlap('withdrawn'), ...shows('b') };
  const discard = { kind: 'discard', kid: 'a', rotation: 'r0' } as const;
  table([
    [
      'it stays for its overlap',
      {
        record: overlap('waiting'),
        step: { do: 'wait', until: START + 10 * MINUTE, why: 'the old key is in its overlap' },
      },
    ],
    [
      'it is withdrawn from the document',
      { record: overlap('withdrawing'), step: { do: 'patch', document: onlyB, purpose: 'withdraw' } },
    ],
    ['it is shown to be refused', { record: withdrawn, step: { do: 'prove', kid: 'a', expect: 'refused' } }],
    [
      'or not, as the policy says',
      { record: withdrawn, policy: READ_BACK, step: { do: 'take_unproven', kid: 'a', expect: 'refused' } },
    ],
    ['a key of others cannot be tried', { record: overlap('withdrawn', { kid: null }), step: { do: 'deliver' } }],
    [
      'and is taken for refused',
      {
        record: { ...overlap('withdrawn', { kid: null }), delivered: { current: 'b', next: null, previous: null } },
        step: { do: 'take_unproven', kid: null, expect: 'refused' },
      },
    ],
    [
      'after a cutover it stays with signers for a while',
      { record: cutover('waiting'), after: 10 * MINUTE - 1, step: { do: 'wait' } },
    ],
    [
      'and is then shown to be refused',
      { record: cutover('waiting'), after: 10 * MINUTE, step: { do: 'prove', kid: 'a', expect: 'refused' } },
    ],
    [
      'signers let go of it first',
      {
        record: { ...cutover('refused'), delivered: { current: 'b', next: null, previous: 'a' } },
        step: { do: 'deliver', delivery: { current: 'b', next: null, previous: null } },
      },
    ],
    [
      'then it is destroyed',
      { record: cutover('refused'), step: { do: 'destroy', retirement: retirement('cutover', 'refused') } },
    ],
    [
      'a key that never was active is destroyed at once',
      { record: retiringRecord(discard), step: { do: 'destroy', retirement: discard } },
    ],
    [
      'one that is ready does not wait for another',
      {
        record: {
          ...retiringRecord(discard),
          retiring: [retirement('cutover', 'waiting'), discard],
          delivered: { current: 'b', next: null, previous: 'a' },
        },
        step: { do: 'destroy', retirement: discard },
      },
    ],
    [
      'of two that wait, the sooner one sets the time',
      {
        record: {
          ...cutover('waiting'),
          retiring: [
            retirement('cutover', 'waiting', { until: START + HOUR }),
            retirement('cutover', 'waiting', { until: START + MINUTE }),
          ],
        },
        step: { do: 'wait', until: START + MINUTE, why: 'the old key is in its overlap' },
      },
    ],
  ]);
});

describe('what only time moves', () => {
  it('begins to withdraw an old key when its overlap is over, and not before', () => {
    const record = overlap('waiting');
    expect(ripen(record, START + 10 * MINUTE - 1)).toBe(record);
    expect(ripen(record, START + 10 * MINUTE).retiring).toEqual([retirement('overlap', 'withdrawing')]);
  });

  it.each([cutover('waiting'), overlap('withdrawn'), managedRecord()])('leaves the rest alone', (record) => {
    expect(ripen(record, START + HOUR)).toBe(record);
  });
});

it('a plan depends on nothing but the record, the policy and the time', () => {
  const record = rotating('overlap', 'delivered', {
    foreign: [published('foreign-1'), { kty: 'PEM', public_key_pem: material('p').pem }],
  });
  const copy: ClientRecord = JSON.parse(JSON.stringify(record));
  expect(JSON.stringify(plan(copy, POLICY, START))).toBe(JSON.stringify(plan(record, POLICY, START)));
});
