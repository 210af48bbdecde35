/** Putting the previous key back: delivered, published and proven like any new one, and never a key that was reported. */
import { describe, expect, it } from 'vitest';
import { observed } from '../../src/core/enrolment.ts';
import { activeKey } from '../../src/core/keys.ts';
import { plan } from '../../src/core/plan.ts';
import type { ClientPolicy } from '../../src/core/policy.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { abandon, request } from '../../src/core/request.ts';
import { rollback, undone } from '../../src/core/rollback.ts';
import { GOOD_LUCK, type Luck } from './luck.ts';
import {
  asked,
  client,
  DAY,
  enrolledRecord,
  idOf,
  key,
  MINUTE,
  OPERATOR,
  POLICY,
  published,
  retirement,
  retiringRecord,
  rotating,
  START,
  seeing,
  stateOf,
  typesOf,
} from './support.ts';
import { play, take } from './worker.ts';
import { type ServerMode, World } from './world.ts';

const CUTOVER: ClientPolicy = { ...POLICY, strategy: 'cutover' };
const ASKED = { ...OPERATOR, id: 'back' };
const KEYS = [key('a', 'deactivated', { activatedAt: START - DAY }), key('b', 'active')];

/** `b` has replaced `a`, which the server takes beside it for a while. */
const overlapping = (): ClientRecord => retiringRecord(retirement('overlap'), { keys: KEYS });

/** `b` has replaced `a` on a server that takes one key. */
function cutOver(): ClientRecord {
  const old = retirement('withdrawn', { until: START + 10 * MINUTE });
  return seeing(retiringRecord(old, { keys: KEYS }), { keys: [published('b')] });
}

const SERVERS: readonly [string, ServerMode, () => ClientRecord, ClientPolicy][] = [
  ['an overlap', 'kid', overlapping, POLICY],
  ['a cutover', 'first', cutOver, CUTOVER],
];

function rollingBack(mode: ServerMode, record: ClientRecord, policy: ClientPolicy): World {
  const world = new World(mode, record);
  world.tell('rolled back', (held) => rollback(held, ASKED, policy, world.now));
  return world;
}

/** Works until the rotation is in that phase. */
function reach(world: World, policy: ClientPolicy, phase: string, luck: Luck = GOOD_LUCK): void {
  for (let turns = 0; world.record.rotation?.phase.name !== phase; turns += 1) {
    const action = take(world, policy, luck);
    if (action.do === 'wait') world.pass(action.until - world.now);
    if (turns > 50) throw new Error(`never ${phase}`);
  }
}

const ends = ({ history }: World) => Object.fromEntries(history.map(({ id, state }) => [id, state]));

describe.each(SERVERS)('a rollback of %s', (_, mode, replaced, policy) => {
  it('puts the previous key back, which is as old as it is, and takes the newer one away', () => {
    const world = rollingBack(mode, replaced(), policy);
    play(world, policy);
    expect(world.record).toMatchObject({
      rotation: null,
      retirements: [],
      failure: null,
      keys: [{ kid: 'a', state: 'active', activatedAt: START - DAY, proof: 'accepted' }],
    });
    expect([world.acceptsKid('a'), world.acceptsKid('b'), world.sealed.has('b')]).toEqual([true, false, false]);
    expect(ends(world)).toEqual({ back: 'finished', r0: 'rolled_back' });
    expect(world.history.find(({ id }) => id === 'back')).toMatchObject({ kid: 'a', replaces: 'b', rollback: true });
    const activated = world.audit.find(({ type }) => type === 'key.activated');
    expect(activated).toMatchObject({ rotation: 'back', data: { kid: 'a', from: 'deactivated', to: 'active' } });
    expect(world.audit.filter(({ type }) => type === 'key.generated')).toEqual([]);
  });

  it('hands the key to signers before it is published, and flips them once it is proven', () => {
    const world = rollingBack(mode, replaced(), policy);
    reach(world, policy, 'delivered');
    expect(world.sinks[0]).toEqual({ current: 'b', next: 'a', previous: null });
    reach(world, policy, 'proven');
    expect(world.sinks[0]).toEqual({ current: 'b', next: 'a', previous: null });
    take(world, policy);
    expect(world.sinks[0]).toEqual({ current: 'a', next: null, previous: 'b' });
    expect(world.record.retirements).toMatchObject([{ kid: 'b', role: 'replaced', rotation: { id: 'back' } }]);
  });

  it('goes back to the newer key when the server refuses the previous one, which then goes for good', () => {
    const world = rollingBack(mode, replaced(), policy);
    reach(world, policy, 'reverting', { ...GOOD_LUCK, proof: 'refused' });
    play(world, policy);
    expect(world.record.failure).toContain('refuses the new key a');
    expect(activeKey(world.record)?.kid).toBe('b');
    expect([world.acceptsKid('b'), world.acceptsKid('a'), world.sealed.has('a')]).toEqual([true, false, false]);
    expect(world.refused).toContain(idOf('a'));
    expect(ends(world)).toEqual({ back: 'rolled_back', r0: 'finished' });
  });

  it('that comes to nothing before anything is sent leaves the key on its way out as it was', () => {
    const record = replaced();
    const world = rollingBack(mode, record, policy);
    reach(world, policy, 'stored', GOOD_LUCK);
    for (let tries = 0; tries < policy.attempts; tries += 1) {
      const action = plan(world.record, policy, world.now);
      if (action.do === 'wait') world.pass(action.until - world.now);
      take(world, policy, { ...GOOD_LUCK, sinks: 0 });
    }
    expect(world.record.rotation).toBeNull();
    const [old] = record.retirements;
    expect(world.record.retirements).toMatchObject([{ kid: 'a', phase: old?.phase, until: old?.until, names: ['a'] }]);
    expect(ends(world)).toEqual({ back: 'failed' });
    expect(stateOf(world.record, 'a')).toBe('deactivated');
  });

  it('can be asked for again after it has failed', () => {
    const world = rollingBack(mode, replaced(), policy);
    reach(world, policy, 'reverting', { ...GOOD_LUCK, proof: 'refused' });
    for (let turns = 0; world.record.rotation !== null; turns += 1) {
      const action = take(world, policy);
      if (action.do === 'wait') world.pass(action.until - world.now);
      if (turns > 20) throw new Error('it goes on for ever');
    }
    world.tell('again', (held) => rollback(held, { ...OPERATOR, id: 'again' }, policy, world.now));
    play(world, policy);
    expect(activeKey(world.record)?.kid).toBe('a');
    expect(ends(world)).toEqual({ back: 'rolled_back', again: 'finished', r0: 'rolled_back' });
  });

  it('that is abandoned ends at the key that the server takes', () => {
    for (const phase of ['stored', 'delivered', 'proven']) {
      const world = rollingBack(mode, replaced(), policy);
      reach(world, policy, phase);
      const takesNew = !world.acceptsKid('b');
      world.tell('abandoned', (held) => abandon(held, OPERATOR));
      play(world, policy);
      const { rotation, retirements } = world.record;
      expect([rotation, retirements]).toEqual([null, []]);
      expect(activeKey(world.record)?.kid, phase).toBe(takesNew ? 'a' : 'b');
      expect(world.acceptsKid(takesNew ? 'a' : 'b'), phase).toBe(true);
    }
  });

  it.each(Array.from({ length: 14 }, (_, steps) => steps))(
    'gives way to a compromise of the key in use: a third key replaces both (after %i steps)',
    (steps) => {
      let [isReported, wasGone] = [false, false];
      const world = new World(mode, replaced(), () => {
        if (!isReported) return;
        const isAccepted = world.acceptsKid('b');
        if (wasGone && isAccepted) throw new Error('the reported key is published again');
        wasGone ||= !isAccepted;
      });
      world.tell('rolled back', (held) => rollback(held, ASKED, policy, world.now));
      for (let step = 0; step < steps; step += 1) {
        const action = take(world, policy);
        if (action.do === 'wait') world.pass(action.until - world.now);
      }
      isReported = true;
      world.tell('reported', (held) => request(held, asked('leak', { kid: null }), policy, world.now));
      play(world, policy);
      const active = activeKey(world.record);
      expect(active?.kid).toMatch(/^k\d/);
      expect(['a', 'b'].filter((kid) => world.acceptsKid(kid) || world.sealed.has(kid))).toEqual([]);
      expect(world.record).toMatchObject({ rotation: null, retirements: [], halted: null });
      for (const { rotation } of world.audit.filter(({ type }) => type === 'rotation.started')) {
        expect(world.history.map(({ id }) => id)).toContain(rotation);
      }
    },
  );
});

it('what a person takes back counts against the wave that it belonged to', () => {
  const wave = { policy: 'default', id: 'w1' };
  const old = retirement('overlap');
  const { record } = rollback(
    retiringRecord({ ...old, rotation: { ...old.rotation, wave } }, { keys: KEYS }),
    ASKED,
    POLICY,
    START,
  );
  if (record.rotation === null) throw new Error('it should be under way');
  expect(undone(record, record.rotation, START)).toMatchObject({ counted: { wave, outcome: 'failed' } });
});

it('a key that was still in its overlap need not spread again', () => {
  const world = rollingBack('kid', overlapping(), POLICY);
  reach(world, POLICY, 'published');
  expect(plan(world.record, POLICY, world.now)).toEqual({ do: 'prove_new', kid: 'a' });
});

it('a key of another alg comes back by a cutover: the server verifies one alg', () => {
  const keys = [key('a', 'deactivated', { alg: 'RS256' }), key('b', 'active')];
  const record = seeing(retiringRecord(retirement('withdrawn'), { keys }), { keys: [published('b')] });
  expect(rollback(record, ASKED, POLICY, START).record.rotation).toMatchObject({ strategy: 'cutover', alg: 'RS256' });
});

it('what stood on the server before is no drift while nothing was sent', () => {
  const calm = overlapping();
  const record = { ...calm, server: { ...calm.server, confirmedAt: START } };
  const { record: begun } = rollback(record, ASKED, POLICY, START);
  const seen = client({ keys: [published('a'), published('b')] });
  expect(typesOf(observed(begun, seen, POLICY, START))).toEqual([]);
  const edited = client({ keys: [published('b')] });
  expect(typesOf(observed(begun, edited, POLICY, START))).toEqual(['client.drifted']);
});

it('a request that meets a rollback is refused, and a halted one is taken up by it', () => {
  const { record } = rollback(overlapping(), ASKED, POLICY, START);
  expect(() => request(record, asked('r2'), POLICY, START)).toThrow(
    expect.objectContaining({ code: 'under_way', message: expect.stringContaining('is being put back') }),
  );
  const taken = request({ ...record, halted: 'look' }, asked('r2'), POLICY, START);
  expect(taken).toMatchObject({ rotation: 'back', record: { halted: null } });
});

describe('a rollback is refused, with what to do', () => {
  const begun = () => rollback(overlapping(), ASKED, POLICY, START).record;
  const done = () => {
    const world = rollingBack('kid', overlapping(), POLICY);
    reach(world, POLICY, 'proven');
    take(world, POLICY);
    return world.record;
  };
  const reported = { id: idOf('a'), kid: 'a', at: START, compromised: true };
  it.each<[string, () => ClientRecord, string, RegExp]>([
    [
      'during a compromise',
      () => rotating('cutover', 'cut_over', {}, { compromised: { kid: null } }),
      'under_way',
      /reported as compromised, so it is not put back/,
    ],
    ['during a rotation', () => rotating('overlap', 'published'), 'under_way', /`rekeyd abandon \S+` ends it/],
    ['twice at once', begun, 'under_way', /is being put back already \(rotation back\)/],
    ['twice', done, 'not_found', /was put back already \(rotation back\).*`rekeyd rotate/],
    ['after the old private half is gone', enrolledRecord, 'not_found', /is destroyed\. `rekeyd rotate/],
    [
      'to a compromised key',
      () => retiringRecord(retirement('withdrawn'), { keys: [key('a', 'compromised'), key('b', 'active')] }),
      'key_invalid',
      /was reported as compromised and is never put back/,
    ],
    [
      'to a key that was reported before it was replaced',
      () => retiringRecord(retirement('withdrawn'), { former: [reported] }),
      'key_invalid',
      /never put back/,
    ],
    [
      'to a key that was not ours',
      () => retiringRecord(retirement('overlap', { kid: null })),
      'not_found',
      /was not ours.*Publish it by hand/,
    ],
    ['while the store is in doubt', () => ({ ...overlapping(), doubted: true }), 'under_way', /store was restored/],
    ['of a client that is gone', () => seeing(overlapping(), { active: false }), 'not_eligible', /is not active/],
  ])('%s', (_, record, code, message) => {
    expect(() => rollback(record(), { ...OPERATOR, id: 'again' }, POLICY, START)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
  });
});
