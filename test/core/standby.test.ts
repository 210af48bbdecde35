/** A key that is kept ready: made in idle time, handed to signers, taken by the next rotation, and given up where it may be exposed. */
import { describe, expect, it } from 'vitest';
import { plan } from '../../src/core/plan.ts';
import type { ClientPolicy } from '../../src/core/policy.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { request } from '../../src/core/request.ts';
import { standbyUntil } from '../../src/core/standby.ts';
import { dueTime } from '../../src/rotation/commit.ts';
import { GOOD_LUCK } from './luck.ts';
import { asked, DAY, enrolledRecord, foundRecord, heldRecord, POLICY, rotating, START } from './support.ts';
import { play, take } from './worker.ts';
import { World } from './world.ts';

const KEEPING: ClientPolicy = { ...POLICY, standby: true, strategy: 'cutover' };

/** Until nothing is left to do. */
function ready(policy: ClientPolicy = KEEPING): World {
  const world = new World('kid', enrolledRecord());
  play(world, policy);
  return world;
}

/** The standby key is made, and nobody noted that it is delivered. */
function justMade(): World {
  const world = new World('kid', enrolledRecord());
  expect(take(world, KEEPING).do).toBe('make_standby');
  return world;
}

const patches = ({ trace }: World) => trace.filter((line) => line.includes('PATCH:')).length;
const made = ({ audit }: World) => audit.filter(({ type }) => type === 'key.generated').length;
const compromised = (world: World, kid: string | null, keepStandby: boolean, policy = KEEPING) =>
  world.tell('reported', (record) => request(record, { ...asked('r1', { kid }), keepStandby }, policy, world.now));

describe('a standby key', () => {
  it('is made, sealed and handed to signers as their next one, and published nowhere', () => {
    const world = ready();
    const { kid } = world.record.standby ?? {};
    expect(world.record).toMatchObject({ rotation: null, standby: { leaving: null } });
    expect(world.sinks).toEqual([1, 2].map(() => ({ current: 'a', next: kid, previous: null })));
    expect(world.sealed.size).toBe(2);
    expect(patches(world)).toBe(0);
  });

  it.each<[string, ClientRecord, Partial<ClientPolicy>]>([
    ['whose policy wants none', enrolledRecord(), { standby: false }],
    ['that is held', heldRecord(), {}],
    ['that is found', foundRecord(), {}],
    ['that waits for a person', { ...enrolledRecord(), halted: 'look' }, {}],
    ['with a rotation under way', rotating('cutover', 'cut_over'), {}],
  ])('is not made for a client %s', (_, record, policy) => {
    expect(plan(record, { ...KEEPING, ...policy }, START).do).not.toBe('make_standby');
  });

  it('is tried again later where none can be made, and holds up nothing', () => {
    const world = new World('kid', enrolledRecord());
    expect(take(world, KEEPING, { ...GOOD_LUCK, make: 'fails' }).do).toBe('make_standby');
    const waiting = world.record;
    expect(waiting.standby).toMatchObject({ kid: null, tries: { failed: 1, error: 'no KEK can be had' } });
    expect(plan(waiting, KEEPING, START).do).toBe('wait');
    expect(request(waiting, asked('r1'), KEEPING, START).rotation).toBe('r1');
  });

  it('is what the next rotation brings in, without making another', () => {
    const world = ready();
    const kid = world.record.standby?.kid;
    world.tell('asked', (record) => request(record, asked('r1'), { ...KEEPING, standby: false }, world.now));
    play(world, { ...KEEPING, standby: false });
    expect(world.record.keys).toMatchObject([{ kid, state: 'active' }]);
    expect([made(world), world.record.standby]).toEqual([1, undefined]);
  });

  it('is followed by another one', () => {
    const world = ready();
    const before = world.record.standby?.kid;
    world.tell('asked', (record) => request(record, asked('r1'), KEEPING, world.now));
    play(world, KEEPING);
    expect(world.record.standby?.kid).not.toBe(before);
    expect(world.sinks[0]).toEqual({ current: before, next: world.record.standby?.kid, previous: null });
  });

  it.each<[string, Partial<ClientPolicy>]>([
    ['is wanted no more', { standby: false }],
    ['would sign another alg', { alg: 'RS256' }],
  ])('goes when it %s', (_, change) => {
    const world = ready();
    const kid = world.record.standby?.kid;
    play(world, { ...KEEPING, ...change });
    expect(world.record.keys.map((key) => key.kid)).not.toContain(kid);
    expect(world.sealed.has(`${kid}`)).toBe(false);
    expect(world.audit.filter(({ type, data }) => type === 'key.destroyed' && data.kid === kid)).toHaveLength(1);
  });

  it('is replaced at the age at which a key is rotated, and upkeep is told when', () => {
    const world = ready({ ...KEEPING, rotateEveryMs: 30 * DAY });
    const { record } = world;
    const until = standbyUntil(record, KEEPING);
    expect(until).toBe((record.keys[1]?.createdAt ?? 0) + 30 * DAY);
    expect(dueTime(record, { ...KEEPING, rotateEveryMs: 30 * DAY })).toBeLessThanOrEqual(until ?? 0);
    world.pass(30 * DAY);
    play(world, KEEPING);
    expect(world.record.standby?.kid).not.toBe(record.standby?.kid);
    expect(made(world)).toBe(2);
  });
});

describe('a compromise', () => {
  it('takes one PATCH and makes no key, where the standby key is known not to be exposed', () => {
    const world = ready();
    const kid = world.record.standby?.kid;
    compromised(world, null, true);
    expect(plan(world.record, KEEPING, world.now)).toMatchObject({ do: 'take_standby', kid });
    play(world, { ...KEEPING, standby: false });
    expect(world.record.keys).toMatchObject([{ kid, state: 'active' }]);
    expect([patches(world), made(world)]).toEqual([1, 1]);
  });

  it.each<[string, () => World]>([
    ['that signers hold beside the exposed one', ready],
    ['that a worker may have handed out before it died', justMade],
  ])('gives up a standby key %s', (_, worldOf) => {
    const world = worldOf();
    const kid = world.record.standby?.kid;
    compromised(world, null, false);
    play(world, { ...KEEPING, standby: false });
    expect(world.record.keys).toHaveLength(1);
    expect(world.record.keys[0]?.kid).not.toBe(kid);
    expect(world.sealed.has(`${kid}`)).toBe(false);
    expect([patches(world), made(world)]).toEqual([1, 2]);
  });

  it('of the standby key itself throws it away, and replaces the one in use too', () => {
    const world = ready();
    const kid = world.record.standby?.kid ?? '';
    compromised(world, kid, true);
    play(world, { ...KEEPING, standby: false });
    expect(world.record.former).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ kid, compromised: true }),
        expect.objectContaining({ kid: 'a' }),
      ]),
    );
    expect(world.audit.filter(({ type, data }) => type === 'key.compromised' && data.kid === kid)).toHaveLength(1);
  });
});
