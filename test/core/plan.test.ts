/** What is done next for a client: at rest, and after something failed. */
import { describe, expect, it } from 'vitest';
import type { Action } from '../../src/core/action.ts';
import { plan } from '../../src/core/plan.ts';
import type { ClientPolicy } from '../../src/core/policy.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { FRESH_MS, type ServerSide } from '../../src/core/server.ts';
import {
  enrolledRecord,
  inFlight,
  jwks,
  key,
  MINUTE,
  POLICY,
  published,
  publishedPem,
  retirement,
  rotating,
  SERVED_URI,
  START,
  seeing,
  servedKey,
  shown,
  signersHold,
  tries,
  withServer,
} from './support.ts';

const onlyB = jwks(published('b'));
const onlyA = jwks(published('a'));
const LATER = tries({ failed: 1, notBefore: START + 1, error: 'no' });
const NOT_DELIVERED = { ...signersHold(null), delivered: null };
const UNREACHABLE = { delivered: null, tries: tries({ notBefore: START + MINUTE }) };

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

const confirmed = (record: ClientRecord, change: Partial<ServerSide> = {}) =>
  withServer(record, { confirmedAt: START, ...change });

/** At rest, with that set where the server looks. */
const serving = (served: ServerSide['served'], change: Partial<ServerSide> = {}) =>
  seeing(confirmed(enrolledRecord(), { format: 'jwks_uri', served, ...change }), { keys: [], jwksUri: SERVED_URI });

describe('at rest', () => {
  const unanswered = confirmed(enrolledRecord(), { inFlight: inFlight(onlyA, START) });
  table([
    ['there is nothing to do', { record: enrolledRecord(), action: { do: 'done' } }],
    [
      'a halted client is left alone',
      { record: rotating('overlap', 'requested', { halted: 'look' }), action: { do: 'done' } },
    ],
    [
      'a lost delivery is made again, in the name of the signers',
      {
        record: { ...enrolledRecord(), signers: NOT_DELIVERED },
        action: { do: 'deliver', delivery: signersHold('a').delivered, owner: 'signers' },
      },
    ],
    [
      'a document that somebody changed is repaired',
      {
        record: seeing(confirmed(enrolledRecord()), { keys: [published('a')], alg: 'RS256' }),
        action: { do: 'patch', document: onlyA, purpose: 'repair', owner: 'server' },
      },
    ],
    [
      'a foreign key that somebody added is no change of ours',
      { record: shows(confirmed(enrolledRecord()), 'a', 'x'), action: { do: 'done' } },
    ],
    [
      'what the server never confirmed is not ours to repair',
      { record: shows(enrolledRecord(), 'x'), action: { do: 'done' } },
    ],
    ['a served set that stands is left alone', { record: serving([servedKey('a')]), action: { do: 'done' } }],
    [
      'a served set that is not the desired one is written again',
      {
        record: serving([servedKey('x')]),
        action: { do: 'serve', keys: [servedKey('a')], purpose: 'repair', owner: 'server' },
      },
    ],
    [
      'a repair that failed is put off',
      {
        record: serving(null, { tries: LATER }),
        action: { do: 'wait', until: START + 1, why: 'backing off' },
      },
    ],
    [
      'a PATCH without an answer is waited for',
      {
        record: unanswered,
        after: FRESH_MS - 1,
        action: { do: 'wait', until: START + FRESH_MS, why: 'an earlier PATCH may still arrive' },
      },
    ],
    [
      'and looked for once it cannot arrive any more',
      { record: unanswered, after: FRESH_MS, action: { do: 'look', owner: 'server' } },
    ],
  ]);
});

describe('what failed is tried again in its own time', () => {
  table([
    [
      'a failed step of a rotation is not tried before its time',
      {
        record: rotating('overlap', 'requested', {}, { tries: LATER }),
        action: { do: 'wait', until: START + 1, why: 'backing off' },
      },
    ],
    ['and is tried then', { record: rotating('overlap', 'requested'), after: 1, action: { do: 'generate' } }],
    [
      'the failures of an old key put off no rotation',
      {
        record: shows(
          rotating('cutover', 'cut_over', {
            keys: [key('a', 'active'), key('b', 'pre-active'), key('c', 'deactivated')],
            retirements: [
              retirement('withdrawn', { kid: 'c', tries: tries({ failed: 9, notBefore: START + MINUTE }) }),
            ],
            signers: signersHold('a', 'b', 'c'),
          }),
          'b',
        ),
        action: { do: 'prove_new', kid: 'b' },
      },
    ],
    [
      'the failures of a rotation put off no old key',
      {
        record: rotating(
          'overlap',
          'requested',
          {
            keys: [key('a', 'active'), key('c', 'deactivated')],
            retirements: [retirement('withdrawn', { kid: 'c' })],
            signers: signersHold('a', null, 'c'),
          },
          { tries: tries({ failed: 9, notBefore: START + MINUTE }) },
        ),
        action: { do: 'prove_old', kid: 'c' },
      },
    ],
    [
      'while signers cannot be reached nothing behind that is done',
      {
        record: rotating('overlap', 'delivered', {
          signers: UNREACHABLE,
        }),
        action: { do: 'wait', until: START + MINUTE, why: 'backing off' },
      },
    ],
    ...(['overlap', 'cutover'] as const).map((strategy): [string, Case] => [
      `unless the new key of an ${strategy} failed, and has to leave the server`.replace('an c', 'a c'),
      {
        record: shows(rotating(strategy, 'reverting', { signers: UNREACHABLE }), 'b'),
        action: { do: 'patch', document: onlyA, purpose: 'revert' },
      },
    ]),
    [
      'nor does a sink that hangs keep the old key of a cutover waiting',
      {
        record: shows(rotating('cutover', 'reverting', { signers: NOT_DELIVERED }), 'b'),
        action: { do: 'patch', document: onlyA, purpose: 'revert' },
      },
    ],
    [
      'or a cutover whose answer was lost, which is sent again',
      {
        record: shows(rotating('cutover', 'delivered', { signers: NOT_DELIVERED }, { before: shown(['a']) }), 'a'),
        action: { do: 'patch', document: onlyB, purpose: 'cut_over' },
      },
    ],
    [
      'and taken back when it is not confirmed in time',
      {
        record: rotating(
          'cutover',
          'delivered',
          { signers: UNREACHABLE },
          { before: shown(['a']), tries: tries({ failed: 1, error: 'no answer' }) },
        ),
        after: POLICY.proveWithinMs,
        action: { do: 'turn_back', why: 'not confirmed in time: no answer' },
      },
    ],
    [
      'or a compromise whose new key signers hold',
      {
        record: rotating('cutover', 'delivered', { signers: UNREACHABLE }, { compromised: { kid: null } }),
        action: { do: 'patch', document: onlyB, purpose: 'cut_over' },
      },
    ],
    [
      'or an older key that was reported as compromised',
      {
        record: {
          ...shows(enrolledRecord(), 'a', 'b'),
          keys: [key('a', 'compromised'), key('b', 'active')],
          retirements: [retirement('withdrawing')],
          signers: UNREACHABLE,
        },
        action: { do: 'patch', document: onlyB, purpose: 'withdraw' },
      },
    ],
  ]);
});

it('a plan depends on nothing but the record, the policy and the time', () => {
  const record = seeing(rotating('overlap', 'delivered'), {
    keys: [published('a'), published('x'), publishedPem('p')],
  });
  const copy: ClientRecord = JSON.parse(JSON.stringify(record));
  expect(JSON.stringify(plan(copy, POLICY, START))).toBe(JSON.stringify(plan(record, POLICY, START)));
});
