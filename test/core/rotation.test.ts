/** Whole rotations in a simulated world, from the request to the end of the old key. */
import { describe, expect, it } from 'vitest';
import type { ClientPolicy } from '../../src/core/policy.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { request } from '../../src/core/request.ts';
import { isPublishing, mayBePublished, runningSummary } from '../../src/core/rotation.ts';
import { GOOD_LUCK, type Luck } from './luck.ts';
import {
  address,
  asked,
  client,
  enrolledRecord,
  foundRecord,
  heldRecord,
  type PhaseName,
  POLICY,
  published,
  publishedPem,
  rotating,
  SERVED_URI,
  START,
  servedKey,
  shown,
  THEIR_URI,
  withServer,
} from './support.ts';
import { play, take } from './worker.ts';
import { type ServerMode, World } from './world.ts';

interface Told {
  readonly policy?: Partial<ClientPolicy>;
  readonly mode?: ServerMode;
  readonly luck?: Partial<Luck>;
  readonly compromised?: { readonly kid: string | null };
}

function story(record: ClientRecord, { policy, mode = 'kid', luck, compromised }: Told = {}): World {
  const all = { ...POLICY, ...policy };
  const world = new World(mode, record);
  world.tell('asked', (held) => request(held, asked('r1', compromised ?? null, true), all, START));
  play(world, all, { ...GOOD_LUCK, ...luck });
  return world;
}

const told = ({ audit }: World) =>
  audit
    .map(({ type, data }) => (data.purpose === undefined ? type : `${type} ${data.purpose}`))
    .filter((type) => !/requested|started/.test(type));

const kidsOf = ({ server }: World) => server.keys.map(({ kid }) => kid);

describe('a rotation from start to end', () => {
  it('by overlap', () => {
    const world = story(enrolledRecord());
    expect(told(world)).toEqual([
      'key.generated',
      'key.stored',
      'key.delivered',
      'key.publishing publish',
      'key.published publish',
      'key.proven',
      'key.delivered',
      'key.activated',
      'key.deactivated',
      'key.publishing withdraw',
      'key.published withdraw',
      'key.proven',
      'key.delivered',
      'key.destroyed',
      'rotation.completed',
    ]);
    expect(world.record).toMatchObject({ rotation: null, retirements: [], former: [{ kid: 'a', compromised: false }] });
    const marks = world.history[0]?.marks.map(({ what, kid }) => [what, kid]);
    expect(world.history[0]).toMatchObject({ state: 'finished', kid: 'k1', replaces: 'a' });
    expect(marks).toEqual([
      ['patched', null],
      ['accepted', 'k1'],
      ['refused', 'a'],
    ]);
  });

  it('by cutover', () => {
    const world = story(enrolledRecord(), { policy: { strategy: 'cutover' }, mode: 'first' });
    expect(told(world)).toEqual([
      'key.generated',
      'key.stored',
      'key.delivered',
      'key.publishing cut_over',
      'key.published cut_over',
      'key.proven',
      'key.delivered',
      'key.activated',
      'key.deactivated',
      'key.proven',
      'key.delivered',
      'key.destroyed',
      'rotation.completed',
    ]);
  });

  it('of a client that is taken over with foreign keys alone', () => {
    const world = story(foundRecord());
    expect(kidsOf(world)).toEqual(['k1', 'foreign-1']);
    expect(world.history[0]).toMatchObject({ state: 'finished', kid: 'k1', replaces: null });
    expect(world.record.enrolment).toBe('enrolled');
  });

  it('of a client whose key was imported, in the form that it had', () => {
    const keep = { alg: 'keep', format: 'keep' } as const;
    const world = story(heldRecord(client({ keys: [publishedPem('a')] })), { policy: keep });
    expect(world.history[0]).toMatchObject({ state: 'finished', strategy: 'cutover' });
    expect(world.server.keys).toEqual([publishedPem('k1').jwk]);
  });

  it('by overlap on a server that takes the first key only is rolled back', () => {
    const world = story(enrolledRecord(), { mode: 'first' });
    expect(world.history[0]).toMatchObject({ state: 'rolled_back' });
    expect(world.record).toMatchObject({ rotation: null, retirements: [] });
    expect(kidsOf(world)).toEqual(['a']);
    expect(told(world).filter((type) => /revert|destroyed|proven/.test(type))).toEqual([
      'key.publishing revert',
      'key.published revert',
      'key.proven',
      'key.destroyed',
    ]);
  });
});

describe('a cutover whose new key cannot be proven is rolled back in time', () => {
  it.each<Luck['proof']>(['unknown', 'throttled', 'refused', 'claims', 'cannot be opened'])('%s', (proof) => {
    const policy = { ...POLICY, strategy: 'cutover' as const };
    const world = new World('kid', enrolledRecord());
    world.tell('asked', (record) => request(record, asked('r1'), policy, START));
    let cutOverAt = 0;
    for (let turns = 0; turns < 50 && world.record.rotation !== null; turns += 1) {
      const action = take(world, policy, { ...GOOD_LUCK, proof });
      if (world.record.rotation?.phase.name === 'cut_over') cutOverAt ||= world.now;
      if (action.do === 'wait') world.pass(action.until - world.now);
    }
    expect(world.history[0]).toMatchObject({ state: 'rolled_back' });
    expect(kidsOf(world)).toEqual(['a']);
    expect(world.now - cutOverAt).toBeLessThanOrEqual(policy.proveWithinMs);
  });
});

describe('a cutover that arrived, and was not confirmed, is proven or taken back in time too', () => {
  const ours = withServer(enrolledRecord(client({ keys: [published('a')], jwksUri: SERVED_URI })), {
    format: 'jwks_uri',
    confirmedAt: START,
    served: [servedKey('a')],
  });
  it.each<[string, ClientRecord, Partial<ClientPolicy>, Partial<Luck>]>([
    [
      'the PATCH is applied, and every answer lost',
      enrolledRecord(),
      { attempts: 10 },
      { patch: 'applied, answer lost' },
    ],
    ['the set is served, and the PATCH throttled for ever', ours, { format: 'jwks_uri' }, { patch: 'throttled' }],
  ])('%s', (_, record, change, luck) => {
    const policy: ClientPolicy = { ...POLICY, strategy: 'cutover', ...change };
    const world = new World('kid', record);
    world.servedSet = [servedKey('a')];
    world.tell('asked', (held) => request(held, asked('r1'), policy, START));
    let cutOffAt = 0;
    const isOpen = () =>
      ['requested', 'stored', 'delivered', 'cut_over'].includes(world.record.rotation?.phase.name ?? '');
    for (let turns = 0; turns < 100 && isOpen(); turns += 1) {
      const action = take(world, policy, { ...GOOD_LUCK, ...luck });
      if (!world.acceptsKid('a')) cutOffAt ||= world.now;
      if (action.do === 'wait') world.pass(action.until - world.now);
    }
    expect(isOpen()).toBe(false);
    expect(world.now - cutOffAt).toBeLessThanOrEqual(policy.proveWithinMs);
  });
});

describe('a rollback gives back what stood before', () => {
  const refused = { policy: { strategy: 'cutover' as const }, luck: { proof: 'refused' as const } };
  it.each<[string, ClientRecord, Told['policy'], object]>([
    ['a set', enrolledRecord(client({ keys: [published('a'), published('x')] })), {}, { keys: ['a', 'x'], uri: null }],
    [
      'a set without an alg, whose default is named',
      foundRecord(client({ keys: [published('foreign-1', 'RS256')], alg: null })),
      { foreignKeys: 'retire' },
      { keys: ['foreign-1'], uri: null, alg: 'RS256' },
    ],
    [
      'an address of the client',
      withServer(enrolledRecord(client({ keys: [], jwksUri: THEIR_URI })), { format: 'jwks_uri' }),
      { format: 'jwks_uri' },
      { uri: THEIR_URI },
    ],
    [
      'the keys where there was no address, which the server cannot be made to forget',
      enrolledRecord(),
      { format: 'jwks_uri' },
      { keys: ['a'], uri: SERVED_URI, served: ['a'] },
    ],
  ])('%s', (_, record, policy, expected) => {
    const world = story(record, { ...refused, policy: { ...refused.policy, ...policy } });
    expect(world.history[0]).toMatchObject({ state: 'rolled_back' });
    const { alg, jwksUri } = world.server;
    const seen = { keys: kidsOf(world), uri: jwksUri, alg, served: world.servedSet.map(({ kid }) => kid) };
    expect(seen).toMatchObject(expected);
    const stays = jwksUri === SERVED_URI;
    expect(/goes on showing our jwks_uri/.test(world.history[0]?.error ?? '')).toBe(stays);
  });
});

describe('a key that was made for nothing', () => {
  it.each<[string, Partial<Luck>, boolean]>([
    ['and never sent is destroyed without a proof', { patch: 'refused' }, false],
    ['and never sent, since this client is forbidden', { patch: 'forbidden' }, false],
    ['and may have been published is first proven refused', { patch: 'lost' }, true],
    ['and was published is first proven refused', { proof: 'refused' }, true],
  ])('%s', (_, luck, isProven) => {
    const world = story(enrolledRecord(), { policy: { strategy: 'cutover' }, luck });
    play(world, { ...POLICY, strategy: 'cutover' });
    expect(world.record).toMatchObject({ rotation: null, retirements: [], former: [{ kid: 'k1' }] });
    expect(told(world).includes('key.proven')).toBe(isProven);
    expect(told(world)).toContain('key.destroyed');
  });
});

describe('after a compromise', () => {
  it('a server that refuses every PATCH is asked with three keys', () => {
    const world = story(enrolledRecord(), { compromised: { kid: null }, luck: { patch: 'refused' } });
    expect(told(world).filter((type) => type === 'key.generated')).toHaveLength(3);
    expect(world.history[0]).toMatchObject({ state: 'failed' });
    expect(world.record).toMatchObject({ rotation: null, retirements: [], keys: [{ kid: 'a', state: 'active' }] });
    // The leaked key is still in use, and the record says so.
    expect(world.record.failure).toContain('STILL SIGNS IN');
    expect(world.record.former.map(({ kid, compromised }) => [kid, compromised])).toEqual([
      ['a', true],
      ['k1', false],
      ['k2', false],
      ['k3', false],
    ]);
    expect(kidsOf(world)).toEqual(['a']);
  });

  it('a server that takes no new key halts the client after three, and signers hold what may be in force', () => {
    const world = story(enrolledRecord(), { compromised: { kid: null }, luck: { proof: 'refused' } });
    expect(told(world).filter((type) => type === 'key.generated')).toHaveLength(3);
    expect(world.record.halted).toMatch(/refuses the new key k3/);
    expect(kidsOf(world)).toEqual(['k3']);
    expect(world.sinks[0]).toMatchObject({ current: 'a', next: 'k3' });
  });

  it('does not put a key down as compromised that nobody reported', () => {
    const world = new World('kid', enrolledRecord());
    world.tell('asked', (record) => request(record, asked('r1'), POLICY, START));
    while (world.record.rotation?.phase.name !== 'published') take(world, POLICY);
    world.tell('reported', (record) => request(record, asked('c1', { kid: 'k1' }), POLICY, world.now));
    play(world, POLICY);
    expect(world.record.former.map(({ kid, compromised }) => [kid, compromised])).toEqual([
      ['k1', true],
      ['a', false],
    ]);
  });

  it('another key than the first may be the one that the server takes', () => {
    const policy = { ...POLICY };
    const world = new World('kid', enrolledRecord());
    world.tell('asked', (record) => request(record, asked('r1', { kid: 'a' }), policy, START));
    for (let turns = 0; turns < 100 && world.made.size < 3; turns += 1) {
      const action = take(world, policy, { ...GOOD_LUCK, proof: 'refused' });
      if (action.do === 'wait') world.pass(action.until - world.now);
    }
    play(world, policy);
    expect(world.history[0]).toMatchObject({ state: 'finished', kid: 'k2' });
    expect(world.record).toMatchObject({ retirements: [], keys: [{ kid: 'k2', state: 'active' }] });
    expect(world.record.former.map(({ kid, compromised }) => [kid, compromised])).toEqual(
      expect.arrayContaining([
        ['a', true],
        ['k1', false],
      ]),
    );
    expect(kidsOf(world)).toEqual(['k2']);
  });

  it('the old key is proven refused under each of its names', () => {
    const keys = [published('a'), published('a', 'ES256', 'alias')];
    const world = story(enrolledRecord(client({ keys })), { compromised: { kid: 'a' } });
    const names = world.audit.filter(({ data }) => data.expected === 'refused').map(({ data }) => data.name);
    expect(names).toEqual(['a', 'alias']);
    expect(kidsOf(world)).toEqual(['k1']);
  });
});

describe('a rotation under way', () => {
  it.each<[PhaseName, boolean]>([
    ['requested', false],
    ['stored', false],
    ['delivered', true],
    ['published', true],
    ['proven', true],
    ['reverting', false],
  ])('that is %s has its key in the document: %s', (phase, is) => {
    const { rotation } = rotating('overlap', phase);
    expect(rotation !== null && isPublishing(rotation)).toBe(is);
  });

  it('may be published once anything of it was sent', () => {
    const { rotation } = rotating('cutover', 'delivered');
    if (rotation === null) throw new Error('there should be a rotation');
    expect(mayBePublished(rotation)).toBe(false);
    expect(mayBePublished({ ...rotation, before: shown([]) })).toBe(true);
  });

  it('counts as failed while its client waits for a person', () => {
    const record = rotating('cutover', 'cut_over');
    if (record.rotation === null) throw new Error('there should be a rotation');
    expect(runningSummary(record, record.rotation)).toMatchObject({
      id: 'r1',
      state: 'running',
      kid: 'b',
      replaces: 'a',
      error: null,
    });
    expect(runningSummary({ ...record, halted: 'look' }, record.rotation)).toMatchObject({
      state: 'failed',
      error: 'look',
    });
  });
});

it.each([
  ['found', foundRecord()],
  ['held', heldRecord()],
] as const)('a take-over that is rolled back leaves the client %s', (enrolment, record) => {
  const world = story(record, { policy: { strategy: 'cutover' }, luck: { proof: 'refused' } });
  expect(world.history[0]).toMatchObject({ state: 'rolled_back' });
  expect(world.record.enrolment).toBe(enrolment);
});

it('a set that moves to our address and back leaves the server on keys that sign in', () => {
  const world = story(enrolledRecord(), { policy: { format: 'jwks_uri' } });
  expect(world.source).toBe('uri');
  expect(world.servedSet.map(({ kid }) => kid)).toEqual(['k1']);
  world.tell('asked', (record) => request(record, asked('r2'), POLICY, world.now));
  play(world, POLICY);
  expect(address(SERVED_URI)).toMatchObject({ uri: world.server.jwksUri });
  expect(world.acceptsKid('k2')).toBe(true);
});
