/** How drift is noted. */
import { describe, expect, it } from 'vitest';
import type { ObservedClient } from '../../src/core/document.ts';
import { kindsOf } from '../../src/core/drift.ts';
import { argumentOf } from '../../src/core/naming-foreign.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { beside, LATER, ours, SEVERAL, see, told } from './drifted.ts';
import {
  foundRecord,
  heldRecord,
  idOf,
  inFlight,
  jwks,
  MINUTE,
  published,
  retirement,
  retiringRecord,
  rotating,
  shown,
  THEIR_URI,
  unreadable,
  withServer,
} from './support.ts';

describe('what a server shows that we did not publish', () => {
  it.each<[string, ClientRecord, Partial<ObservedClient> | null, readonly string[]]>([
    ['a foreign key that was added', ours(), { keys: [published('a'), published('x')] }, ['foreign_added']],
    ['one that nobody can read', ours(), { keys: [published('a'), unreadable('odd')] }, ['foreign_added']],
    [
      'a foreign key under another name',
      beside(),
      { keys: [published('a'), published('f', 'ES256', 'g')] },
      ['foreign_changed'],
    ],
    ['a foreign key that was removed', beside(), { keys: [published('a')] }, ['foreign_removed']],
    ['our key that was removed', beside(), { keys: [published('f')] }, ['document']],
    ['our key that was replaced', ours(), { keys: [published('x')] }, ['document', 'foreign_added']],
    ['another order', beside(), { keys: [published('f'), published('a')] }, ['document']],
    ['another alg', ours(), { alg: 'RS256' }, ['document']],
    ['no PEM beside the JWK', ours(), { keys: [{ ...published('a'), pemId: null }] }, ['document']],
    ['another way to authenticate', ours(), { authMethod: 'client_secret_basic' }, ['registration']],
    ['a client that is not listed', ours(), null, ['vanished']],
    ['a client that is not active', ours(), { active: false }, ['vanished']],
    ['an imported key that is gone', heldRecord(), { keys: [published('x')] }, ['document', 'foreign_added']],
    ['an imported key under another name', heldRecord(), { keys: [published('a', 'ES256', 'new')] }, ['document']],
    ['another alg of an imported key', heldRecord(), { alg: 'RS256' }, ['document']],
    ['an address beside an imported key', heldRecord(), { jwksUri: THEIR_URI }, ['document']],
  ])('%s is told once, and stays until it is over', (_, record, change, kinds) => {
    const first = see(record, change);
    expect(told(first)).toEqual([['client.drifted', kinds]]);
    expect(first.record.drift).toMatchObject({ since: LATER, from: record.server.observed.client });
    expect(kindsOf(first.record.drift)).toEqual(kinds);
    const again = see(first.record, change, SEVERAL, LATER + MINUTE);
    expect(told(again)).toEqual([]);
    expect(again.record.drift).toEqual(first.record.drift);
    const back = see(again.record, record.server.observed.client);
    expect(told(back)).toEqual([['client.drifted', kinds.includes('vanished') ? ['returned'] : ['ended']]]);
    expect(back.record.drift).toBeUndefined();
    expect(JSON.parse(JSON.stringify(first.record))).toEqual(first.record);
  });

  it('of a found client is that it vanished, and nothing else: its keys are for its owner to change', () => {
    const record = foundRecord();
    expect(told(see(record, { keys: [published('x')], alg: 'RS256' }))).toEqual([]);
    const gone = see(record, null);
    expect(told(gone)).toEqual([['client.drifted', ['vanished']]]);
    expect(gone.record.drift).toBeUndefined();
    expect(told(see(gone.record, null))).toEqual([]);
    expect(told(see(gone.record, {}))).toEqual([['client.drifted', ['returned']]]);
  });

  it('comes with each key anew, and is as old as the first', () => {
    const first = see(ours(), { keys: [published('a'), published('x')] }).record;
    const second = see(first, { keys: [published('a'), published('x'), published('y')] }, SEVERAL, LATER + 1);
    expect(second.entries[0]?.data.differences).toEqual(['the foreign key y was added']);
    expect(second.record.drift).toMatchObject({ since: LATER, what: [{}, {}] });
  });

  it.each<[string, ClientRecord, readonly string[]]>([
    ['a rotation has sent', rotating('cutover', 'cut_over', {}, { before: shown(['a', 'f']) }), ['b']],
    [
      'a PATCH that was never answered may have brought',
      withServer(beside(), { inFlight: inFlight(jwks(), LATER) }),
      ['a'],
    ],
    ['a retirement takes away', retiringRecord(retirement('withdrawing', { foreignKeys: 'retire' })), ['b']],
    ['a rollback brings back', rotating('cutover', 'reverting', {}, { before: shown(['a', 'f']) }), ['a', 'f']],
  ])('is not what %s', (_, record, kids) => {
    expect(told(see(record, { keys: kids.map((kid) => published(kid)) }))).toEqual([]);
  });

  it('is not what another policy asks for', () => {
    expect(told(see(ours(), {}, { ...SEVERAL, embedPem: false }))).toEqual([]);
  });
});

it('names no more of a large set than a person reads, and nothing that acts on a terminal or in a shell', () => {
  const many = Array.from({ length: 1_000 }, (_, at) =>
    published(`x${at}`, 'ES256', `\u001b[2J;rm -rf ~ ${at} ${'y'.repeat(9_999)}`),
  );
  const { record, entries } = see(ours(), { keys: [published('a'), ...many], authMethod: 'n'.repeat(99_999) });
  expect(record.drift?.what).toHaveLength(12);
  expect(JSON.stringify(entries).length).toBeLessThan(10_000);
  expect(record.drift?.what[10]?.text).toContain('990 more');
  expect(JSON.stringify(record.drift?.what)).not.toContain('u001b');
  expect(many.slice(0, 2).map(argumentOf)).toEqual([idOf('x0'), idOf('x1')]);
});
