/** What those who sign should hold. */
import { describe, expect, it } from 'vitest';
import type { ClientRecord } from '../../src/core/record.ts';
import type { Retirement } from '../../src/core/retirement.ts';
import { desiredDelivery, dispensable, sameDelivery } from '../../src/core/signers.ts';
import { discard, foundRecord, type PhaseName, retirement, retiringRecord, rotating } from './support.ts';

const LEAKED = { compromised: { kid: null } };

describe('what signers hold', () => {
  it.each<[PhaseName, object]>([
    ['requested', { current: 'a', next: null, previous: null }],
    ['stored', { current: 'a', next: 'b', previous: null }],
    ['published', { current: 'a', next: 'b', previous: null }],
    ['proven', { current: 'b', next: null, previous: 'a' }],
    ['reverting', { current: 'a', next: 'b', previous: null }],
  ])('in the phase %s', (phase, delivery) => {
    expect(desiredDelivery(rotating('overlap', phase))).toEqual(delivery);
  });

  it('is nothing where no key is ours', () => {
    expect(desiredDelivery(foundRecord())).toEqual({ current: null, next: null, previous: null });
  });

  it.each<[string, Retirement, string | null]>([
    ['in its overlap', retirement('overlap'), 'a'],
    ['to be withdrawn', retirement('withdrawing'), 'a'],
    ['withdrawn', retirement('withdrawn'), 'a'],
    ['refused', retirement('refused'), null],
    ['a foreign one', retirement('overlap', { kid: null }), null],
    ['thrown away unsent', discard('a', 'refused', 'r0'), null],
    ['thrown away and yet to be refused', discard('a', 'withdrawn', 'r0'), null],
  ])('while an old key is on its way out: %s', (_, old, previous) => {
    expect(desiredDelivery(retiringRecord(old))).toEqual({ current: 'b', next: null, previous });
  });

  it('while the server may still take a key that was thrown away for another of the same rotation', () => {
    const retirements: readonly Retirement[] = [discard('c', 'withdrawing', 'r1')];
    const held = { current: 'a', next: 'b', previous: 'c' };
    expect(desiredDelivery(rotating('cutover', 'cut_over', { retirements }))).toEqual(held);
    expect(desiredDelivery(rotating('cutover', 'proven', { retirements }))).toEqual({
      current: 'b',
      next: null,
      previous: 'a',
    });
  });
});

describe('a key that cannot be opened', () => {
  it.each<[string, ClientRecord, readonly string[]]>([
    ['no key in use for a rotation', rotating('cutover', 'stored'), []],
    ['an old key', rotating('cutover', 'proven'), ['a']],
    ['the key in use for a compromise', rotating('cutover', 'stored', {}, LEAKED), ['a']],
    ['no key in use while no other is there to replace it', rotating('cutover', 'requested', {}, LEAKED), []],
    ['and never the new one', rotating('cutover', 'proven', {}, LEAKED), ['a']],
    ['no key in use once a compromise is over', retiringRecord(retirement('withdrawn')), ['a']],
  ])('signers do without %s', (_, record, kids) => {
    expect(dispensable(record, desiredDelivery(record))).toEqual(kids);
  });
});

it('a delivery that is not known is no delivery', () => {
  const delivery = { current: 'a', next: null, previous: null };
  expect(sameDelivery(delivery, { ...delivery })).toBe(true);
  expect(sameDelivery(null, { current: null, next: null, previous: null })).toBe(false);
  expect(sameDelivery(delivery, { ...delivery, previous: 'b' })).toBe(false);
});
