/** What is done next on the way to a new key. */
import { describe, expect, it } from 'vitest';
import type { Action } from '../../src/core/action.ts';
import { plan } from '../../src/core/plan.ts';
import type { ClientPolicy } from '../../src/core/policy.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { FRESH_MS } from '../../src/core/server.ts';
import {
  address,
  client,
  discard,
  foundRecord,
  HOUR,
  inFlight,
  jwks,
  key,
  MINUTE,
  POLICY,
  published,
  retirement,
  rotating,
  rotation,
  SERVED_URI,
  START,
  seeing,
  servedKey,
  shown,
  signersHold,
  THEIR_URI,
  tries,
  withRotation,
  withServer,
} from './support.ts';

const READ_BACK: ClientPolicy = { ...POLICY, prove: 'read_back' };
const both = jwks(published('a'), published('b'));
const onlyB = jwks(published('b'));
const onlyA = jwks(published('a'));
const NOT_DELIVERED = { ...signersHold(null), delivered: null };

const shows = (record: ClientRecord, ...kids: readonly string[]) =>
  seeing(record, { keys: kids.map((kid) => published(kid)) });

interface Case {
  readonly record: ClientRecord;
  readonly policy?: ClientPolicy;
  /** ms after the start of the story. */
  readonly after?: number;
  readonly action: Action | { readonly do: Action['do'] };
}

function table(cases: readonly [string, Case][]): void {
  it.each(cases)('%s', (_, { record, policy = POLICY, after = 0, action }) => {
    expect(plan(record, policy, START + after)).toMatchObject(action);
  });
}

describe('on the way to a new key', () => {
  const elsewhere = inFlight(onlyA, START + 9_000);
  const older = (phase: 'overlap' | 'withdrawing', strategyChange = {}) =>
    rotating(
      'cutover',
      'delivered',
      {
        keys: [key('a', 'active'), key('b', 'pre-active'), key('c', 'deactivated')],
        retirements: [retirement(phase, { kid: 'c' })],
        signers: signersHold('a', 'b', 'c'),
      },
      strategyChange,
    );
  table([
    [
      'signers get the stored key as next',
      {
        record: rotating('overlap', 'stored'),
        action: { do: 'deliver', delivery: signersHold('a', 'b').delivered, owner: 'rotation' },
      },
    ],
    [
      'nothing is published before signers are known to hold it',
      { record: rotating('overlap', 'delivered', { signers: NOT_DELIVERED }), action: { do: 'deliver' } },
    ],
    [
      'the document is looked at before it is replaced',
      {
        record: rotating('overlap', 'delivered'),
        after: FRESH_MS + 1,
        action: { do: 'look', owner: 'rotation' },
      },
    ],
    [
      'also where it was seen before the clock was set back, however long ago that is',
      {
        record: seeing(rotating('overlap', 'delivered'), {}, START + HOUR),
        action: { do: 'look', owner: 'rotation' },
      },
    ],
    [
      'an overlap adds the new key',
      {
        record: rotating('overlap', 'delivered'),
        after: FRESH_MS,
        action: { do: 'patch', document: both, purpose: 'publish', owner: 'rotation' },
      },
    ],
    [
      'a cutover puts it in the place of the old one',
      {
        record: rotating('cutover', 'delivered'),
        action: { do: 'patch', document: onlyB, purpose: 'cut_over', owner: 'rotation' },
      },
    ],
    [
      'a cutover waits for an older key in its overlap',
      {
        record: older('overlap'),
        action: { do: 'wait', until: START + 10 * MINUTE, why: 'an older key is still in its overlap' },
      },
    ],
    [
      'unless a key is compromised',
      {
        record: older('withdrawing', { compromised: { kid: null } }),
        action: { do: 'patch', document: onlyB, purpose: 'cut_over' },
      },
    ],
    [
      'another PATCH that may still arrive is waited for',
      {
        record: withServer(rotating('overlap', 'delivered'), { inFlight: elsewhere }),
        after: 8_999,
        action: { do: 'wait', until: START + 9_000, why: 'an earlier PATCH may still arrive' },
      },
    ],
    [
      'and no longer than that',
      {
        record: seeing(withServer(rotating('overlap', 'delivered'), { inFlight: elsewhere }), {}, START + 9_000),
        after: 9_000,
        action: { do: 'patch', document: both, purpose: 'publish' },
      },
    ],
    [
      'the same PATCH is sent again at once',
      {
        record: withServer(rotating('overlap', 'delivered'), { inFlight: inFlight(both, START + 9_000) }),
        action: { do: 'patch', document: both, purpose: 'publish' },
      },
    ],
    [
      'what the server holds already is not sent',
      {
        record: shows(rotating('overlap', 'delivered'), 'a', 'b'),
        action: { do: 'settle', purpose: 'publish', owner: 'rotation' },
      },
    ],
    [
      'unless it also shows a jwks_uri, which may be what it goes by',
      {
        record: seeing(rotating('overlap', 'delivered'), {
          keys: [published('a'), published('b')],
          jwksUri: THEIR_URI,
        }),
        action: { do: 'patch', document: both, purpose: 'publish' },
      },
    ],
    [
      'a set is served before the server is sent there',
      {
        record: rotating('overlap', 'delivered', {}, { format: 'jwks_uri' }),
        action: { do: 'serve', keys: [servedKey('a'), servedKey('b')], purpose: 'publish', owner: 'rotation' },
      },
    ],
    [
      'and then the server is',
      {
        record: withServer(rotating('overlap', 'delivered', {}, { format: 'jwks_uri' }), {
          served: [servedKey('a'), servedKey('b')],
        }),
        action: { do: 'patch', document: address(SERVED_URI), purpose: 'publish' },
      },
    ],
    [
      'a new key that overlaps is left to propagate',
      {
        record: shows(rotating('overlap', 'published'), 'a', 'b'),
        after: MINUTE - 1,
        action: { do: 'wait', until: START + MINUTE, why: 'the new key propagates' },
      },
    ],
    [
      'and then proven',
      {
        record: shows(rotating('overlap', 'published'), 'a', 'b'),
        after: MINUTE,
        action: { do: 'prove_new', kid: 'b' },
      },
    ],
    [
      'after a cutover at once',
      { record: shows(rotating('cutover', 'cut_over'), 'b'), action: { do: 'prove_new', kid: 'b' } },
    ],
    [
      'or taken as it was read back',
      {
        record: shows(rotating('cutover', 'cut_over'), 'b'),
        policy: READ_BACK,
        action: { do: 'take_unproven', kid: 'b' },
      },
    ],
    [
      'signers flip to a proven key',
      {
        record: shows(rotating('overlap', 'proven'), 'a', 'b'),
        action: { do: 'deliver', delivery: signersHold('b', null, 'a').delivered, owner: 'rotation' },
      },
    ],
    [
      'a rollback is sent',
      {
        record: shows(rotating('cutover', 'reverting'), 'b'),
        action: { do: 'patch', document: onlyA, purpose: 'revert', owner: 'rotation' },
      },
    ],
    [
      'a rollback to no key at all has nothing to send',
      {
        record: {
          ...foundRecord(client({ keys: [] })),
          keys: [key('b', 'pre-active')],
          signers: signersHold(null, 'b'),
          rotation: rotation('cutover', 'reverting', { before: shown([]) }),
        },
        action: { do: 'settle', purpose: 'revert' },
      },
    ],
    [
      'a key that was thrown away for another stays until that one stands in its place',
      {
        record: rotating('cutover', 'cut_over', {
          keys: [key('a', 'active'), key('b', 'pre-active'), key('c', 'pre-active')],
          retirements: [discard('c', 'withdrawing')],
          signers: signersHold('a', 'b', 'c'),
        }),
        action: { do: 'prove_new', kid: 'b' },
      },
    ],
  ]);
});

/** After a cutover nobody can sign in with the old key, so the proof has a time. */
describe('a cutover that is not proven', () => {
  const failing = tries({ failed: 2, notBefore: START + 50 * MINUTE, error: 'no answer' });
  const cutOver = shows(rotating('cutover', 'cut_over', {}, { tries: failing }), 'b');
  const late = POLICY.proveWithinMs;
  /** An older key was just seen refused, so signers should give it up, and cannot be told. */
  const unreachable: ClientRecord = {
    ...cutOver,
    keys: [...cutOver.keys, key('c', 'deactivated')],
    retirements: [retirement('refused', { kid: 'c' })],
    signers: { ...signersHold('a', 'b', 'c'), tries: tries({ failed: 4, notBefore: START + 50 * MINUTE }) },
  };
  const takeBack = { do: 'turn_back', why: 'not proven in time: no answer' } as const;
  table([
    [
      'waits no longer than that, whatever it waits for',
      { record: cutOver, action: { do: 'wait', until: START + late, why: 'backing off' } },
    ],
    ['is taken back then', { record: cutOver, after: late, action: takeBack }],
    [
      'and not before',
      { record: cutOver, after: late - 1, action: { do: 'wait', until: START + late, why: 'backing off' } },
    ],
    [
      'is tried once all the same when nobody was there to try it',
      { record: shows(rotating('cutover', 'cut_over'), 'b'), after: 9 * late, action: { do: 'prove_new', kid: 'b' } },
    ],
    [
      'is never taken back after a compromise',
      {
        record: withRotation(cutOver, { compromised: { kid: 'a' } }),
        after: late,
        action: { do: 'wait', until: START + 50 * MINUTE, why: 'backing off' },
      },
    ],
    [
      'is not an overlap, where the old key still signs in',
      {
        record: shows(rotating('overlap', 'published', {}, { tries: failing }), 'a', 'b'),
        after: late,
        action: { do: 'wait', until: START + 50 * MINUTE, why: 'backing off' },
      },
    ],
    [
      'does not wait longer for signers that cannot be reached',
      { record: unreachable, action: { do: 'wait', until: START + late, why: 'backing off' } },
    ],
    ['and is taken back without them', { record: unreachable, after: late, action: takeBack }],
    [
      'is tried before they are',
      { record: withRotation(unreachable, { tries: tries({}) }), action: { do: 'prove_new', kid: 'b' } },
    ],
  ]);
});
