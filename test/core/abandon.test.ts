/** A person ends a rotation that cannot go on: at whichever key the server takes. */
import { describe, expect, it } from 'vitest';
import { chosen } from '../../src/core/choosing.ts';
import { turnBack } from '../../src/core/ending.ts';
import { usesReportedKey } from '../../src/core/keys.ts';
import { plan } from '../../src/core/plan.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { abandon, request } from '../../src/core/request.ts';
import { GOOD_LUCK, type Luck } from './luck.ts';
import {
  asked,
  client,
  contextAt,
  discard,
  enrolledRecord,
  foundRecord,
  inFlight,
  jwks,
  key,
  MINUTE,
  OPERATOR,
  type PhaseName,
  POLICY,
  published,
  rotating,
  rotation,
  START,
  seeing,
  shown,
  signersHold,
  takenOver,
  tries,
  typesOf,
  withServer,
} from './support.ts';
import { play, take } from './worker.ts';
import { World } from './world.ts';

const WHY = 'abandoned: drill';
const end = (record: ClientRecord) => abandon(record, OPERATOR).record;

describe('abandoning a rotation', () => {
  it('is an error where none is under way', () => {
    expect(() => abandon(enrolledRecord(), OPERATOR)).toThrow(expect.objectContaining({ code: 'not_found' }));
  });

  it.each<PhaseName>(['requested', 'delivered', 'cut_over', 'proven'])(
    'is refused after a compromise (%s)',
    (phase) => {
      const leaked = rotating('cutover', phase, {}, { compromised: { kid: 'a' } });
      expect(() => abandon(leaked, OPERATOR)).toThrow(
        expect.objectContaining({
          code: 'under_way',
          message: expect.stringMatching(/goes on until that key is gone/),
        }),
      );
    },
  );

  it('is told, with the phase that it was in', () => {
    expect(abandon(rotating('overlap', 'published'), { ...OPERATOR, actor: 'jane' }).entries).toMatchObject([
      { type: 'rotation.abandoned', rotation: 'r1', actor: 'jane', data: { phase: 'published' } },
    ]);
  });

  it('takes a halted client up, and waits for nothing that failed before', () => {
    const worn = { tries: tries({ failed: 9, notBefore: START + MINUTE, error: 'x' }) };
    const halted = rotating('cutover', 'reverting', { halted: 'look' }, worn);
    expect(end(halted)).toMatchObject({ halted: null, rotation: { abandoned: OPERATOR, tries: tries({}) } });
    expect(plan(end(halted), POLICY, START)).toMatchObject({ do: 'choose' });
  });

  it.each<PhaseName>(['requested', 'stored', 'delivered'])('fails it where nothing was sent (%s)', (phase) => {
    expect(plan(end(rotating('cutover', phase)), POLICY, START)).toEqual({ do: 'fail', why: WHY });
  });

  it.each<PhaseName>(['delivered', 'cut_over', 'proven', 'reverting'])(
    'asks which key the server takes once something was sent (%s)',
    (phase) => {
      const record = end(rotating('cutover', phase, {}, { before: shown(['a']) }));
      expect(plan(record, POLICY, START)).toEqual({ do: 'choose', rotation: record.rotation });
    },
  );

  it('waits until no PATCH can arrive any more: the answer could change', () => {
    const record = end(
      withServer(rotating('cutover', 'delivered', {}, { before: shown(['a']) }), {
        inFlight: inFlight(jwks(published('b')), START + 9_000),
      }),
    );
    const wait = { do: 'wait', until: START + 9_000, why: 'an earlier PATCH may still arrive' };
    expect(plan(record, POLICY, START + 8_999)).toEqual(wait);
    expect(plan(record, POLICY, START + 9_000)).toMatchObject({ do: 'choose' });
  });

  it('finds out what signers hold where a delivery may have been under way', () => {
    expect(end(rotating('cutover', 'stored')).signers.delivered).toBeNull();
    expect(end(rotating('cutover', 'delivered')).signers.delivered).not.toBeNull();
  });
});

describe('the key that the server takes', () => {
  const choose = (record: ClientRecord, takes: 'old' | 'new' | 'neither') => {
    const ended = end(record);
    if (ended.rotation === null) throw new Error('there should be a rotation');
    return chosen(ended, ended.rotation, takes, contextAt(START + 1));
  };

  it.each<PhaseName>(['delivered', 'cut_over', 'reverting'])('the new one becomes active (%s)', (phase) => {
    const change = choose(rotating('cutover', phase, {}, { before: shown(['a']) }), 'new');
    expect(change.record).toMatchObject({
      rotation: null,
      keys: [
        { kid: 'a', state: 'deactivated' },
        { kid: 'b', state: 'active', publishedAt: START + 1 },
      ],
      // Nothing has shown yet what else the server holds, or signers do.
      retirements: [{ kid: 'a', phase: 'withdrawing' }],
      signers: { delivered: null },
      server: { confirmedAt: START + 1 },
    });
    expect(typesOf(change)).toEqual(['key.activated', 'key.deactivated']);
  });

  it('the new one of an overlap leaves the old one its time', () => {
    const { record } = choose(rotating('overlap', 'published'), 'new');
    expect(record.retirements).toMatchObject([{ kid: 'a', phase: 'overlap', until: START + 1 + POLICY.overlapMs }]);
  });

  it('the old one stays, and the new one is withdrawn and has to be refused', () => {
    const change = choose(rotating('overlap', 'published'), 'old');
    expect(change.record).toMatchObject({
      rotation: null,
      keys: [{ kid: 'a', state: 'active' }, { kid: 'b' }],
      retirements: [{ kid: 'b', role: 'discarded', phase: 'withdrawing' }],
    });
    expect(change.ended).toMatchObject([{ id: 'r1', state: 'rolled_back', error: WHY, endedAt: START + 1 }]);
    expect(typesOf(change)).toEqual(['rotation.rolled_back']);
  });

  it.each<PhaseName>(['delivered', 'cut_over', 'proven', 'reverting'])(
    'neither is a rollback, which alone knows what stood before (%s)',
    (phase) => {
      const record = rotating('cutover', phase, {}, { before: shown(['a']) });
      const change = choose(record, 'neither');
      expect(change.record.rotation).toMatchObject({
        phase: { name: 'reverting', kid: 'b', why: WHY },
        abandoned: null,
        before: shown(['a']),
      });
      expect(change.record.signers).toEqual(record.signers);
      expect(change.entries).toEqual([]);
    },
  );

  it('is not asked for again once the rotation turned back by itself', () => {
    const record = end(rotating('cutover', 'cut_over'));
    if (record.rotation === null) throw new Error('there should be a rotation');
    const back = turnBack(record, record.rotation, 'b', 'not proven in time').record;
    expect(plan(seeing(back, { keys: [published('b')] }), POLICY, START)).toMatchObject({
      do: 'patch',
      purpose: 'revert',
    });
  });

  it('is the old one after a compromise that has no new key left: what may be published is withdrawn', () => {
    const record = rotating(
      'cutover',
      'requested',
      {
        keys: [key('a', 'active'), key('c', 'pre-active')],
        retirements: [discard('c', 'withdrawing')],
        halted: 'gave up',
      },
      { compromised: { kid: 'a' }, before: shown(['a']) },
    );
    const { record: next } = choose({ ...record, signers: signersHold('a', null, 'c') }, 'old');
    expect(next).toMatchObject({ rotation: null, retirements: [{ kid: 'c', phase: 'withdrawing' }] });
    const dropped = { ...next, signers: signersHold('a') };
    expect(plan(dropped, POLICY, START)).toMatchObject({ do: 'settle', purpose: 'withdraw' });
  });
});

describe('a compromise that rekeyd gave up, and a person ended', () => {
  const ended = (phase: PhaseName, takes: 'old' | 'new', kid: string | null = null) => {
    const halted = rotating('cutover', phase, { halted: 'gave up' }, { compromised: { kid }, before: shown(['a']) });
    const { record } = abandon(halted, OPERATOR);
    if (record.rotation === null) throw new Error('there should be a rotation');
    return chosen(record, record.rotation, takes, contextAt(START + 1)).record;
  };

  it.each([null, 'a'])('leaves a record that knows of the reported key in use (%s)', (kid) => {
    const record = ended('delivered', 'old', kid);
    expect(usesReportedKey(record)).toBe(true);
    expect(record).toMatchObject({
      keys: [{ kid: 'a', state: 'active' }, { kid: 'b' }],
      failure: 'abandoned: drill. The key in use was reported as compromised and STILL SIGNS IN',
    });
  });

  it.each<['old' | 'new', string | null]>([
    ['old', 'b'],
    ['new', null],
  ])('says nothing of the sort where the key in use is another one (%s, %s)', (takes, kid) => {
    const record = ended('delivered', takes, kid);
    expect(usesReportedKey(record)).toBe(false);
    expect(record.failure ?? '').not.toContain('reported');
  });

  it('is remembered by the next rotation: the reported key has no overlap, and counts as compromised', () => {
    const { record } = request(ended('delivered', 'old'), asked('r2'), { ...POLICY, strategy: 'cutover' }, START + 2);
    const world = new World('kid', { ...record, signers: signersHold('a') });
    while (world.record.rotation !== null) take(world, { ...POLICY, strategy: 'cutover' });
    expect(world.record.keys).toContainEqual(expect.objectContaining({ kid: 'a', state: 'compromised' }));
    expect(usesReportedKey(world.record)).toBe(false);
  });

  it('may be ended while a rollback is under way, which only a person can have begun', () => {
    expect(() => ended('reverting', 'old')).not.toThrow();
    const back = rotating('cutover', 'reverting', {}, { compromised: { kid: null }, before: shown(['a']) });
    expect(() => abandon(back, OPERATOR)).not.toThrow();
  });
});

describe('an abandoned rotation comes to rest where its application can sign in', () => {
  const story = (record: ClientRecord, luck: Partial<Luck>, until: PhaseName) => {
    const policy = { ...POLICY, strategy: 'cutover' as const };
    const world = new World('kid', { ...record, rotation: rotation('cutover', 'requested') });
    while (world.record.rotation?.phase.name !== until) take(world, policy);
    for (let turns = 0; turns < 2; turns += 1) take(world, policy, { ...GOOD_LUCK, ...luck });
    world.tell('abandoned', (held) => abandon(held, OPERATOR));
    return { world, policy };
  };

  it.each<[string, Partial<Luck>, PhaseName, string]>([
    ['the PATCH was never applied', { patch: 'lost' }, 'delivered', 'a'],
    ['it was, and never answered', { patch: 'applied, answer lost' }, 'delivered', 'k1'],
    ['it is still under way', { patch: 'late', random: 0.9 }, 'delivered', 'k1'],
    ['the new key was cut over and not proven', { proof: 'unknown' }, 'cut_over', 'k1'],
  ])('%s', (_, luck, phase, kid) => {
    const { world, policy } = story(enrolledRecord(), luck, phase);
    play(world, policy);
    expect(world.record).toMatchObject({ rotation: null, retirements: [], keys: [{ kid, state: 'active' }] });
    expect(world.effective().map((jwk) => jwk.kid)).toEqual([kid]);
    expect(world.sinks).toEqual([signersHold(kid).delivered, signersHold(kid).delivered]);
  });

  it.each([
    ['a key of ours', enrolledRecord(), 'a'],
    ['a foreign key, of which only the rotation knows', foundRecord(), 'foreign-1'],
  ])('the new key does not work: %s is put back', (_, record, kid) => {
    const { world, policy } = story(record, { proof: 'unknown' }, 'cut_over');
    const broken = published('broken').jwk;
    world.server.keys = [{ ...broken, kid: 'k1' }];
    take(world, policy);
    play(world, policy);
    expect(world.history[0]).toMatchObject({ state: 'rolled_back', error: WHY });
    expect(world.effective().map((jwk) => jwk.kid)).toContain(kid);
    expect(world.record).toMatchObject({ rotation: null, retirements: [] });
  });

  it('also when a person has no patience while the old key is put back', () => {
    const world = new World('kid', takenOver(client(), { ...POLICY, foreignKeys: 'retire', strategy: 'cutover' }));
    const policy = { ...POLICY, foreignKeys: 'retire' as const, strategy: 'cutover' as const };
    while (world.record.rotation?.phase.name !== 'cut_over') take(world, policy);
    take(world, policy, { ...GOOD_LUCK, proof: 'refused' });
    expect(world.record.rotation?.phase.name).toBe('reverting');
    world.server.keys = [];
    world.tell('abandoned', (held) => abandon(held, OPERATOR));
    play(world, policy);
    expect(world.effective().map((jwk) => jwk.kid)).toEqual(['foreign-1']);
  });
});

it('a rotation that nobody ended is not ended', () => {
  expect(plan(rotating('cutover', 'proven'), POLICY, START).do).not.toBe('choose');
});
