/** Foreign keys through whole rotations: which of them still count, also where the server cannot be made to forget them, as beside a `jwks_uri`. */
import { describe, expect, it } from 'vitest';
import { foreignKeys } from '../../src/core/desired.ts';
import type { PublicJwk } from '../../src/core/document.ts';
import { observed } from '../../src/core/enrolment.ts';
import type { ClientPolicy } from '../../src/core/policy.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { request } from '../../src/core/request.ts';
import { GOOD_LUCK } from './luck.ts';
import {
  asked,
  client,
  enrolledRecord,
  foundRecord,
  MINUTE,
  POLICY,
  published,
  takenOver,
  unreadable,
  withServer,
} from './support.ts';
import { play, take } from './worker.ts';
import { World } from './world.ts';

const kidsOf = (keys: readonly PublicJwk[]) => keys.map(({ kid }) => kid);

function ask(world: World, id: string, policy: ClientPolicy, kid?: string | null): void {
  const compromised = kid === undefined ? null : { kid };
  world.tell('asked', (record) => request(record, asked(id, compromised, true), policy, world.now));
}

describe('a foreign key that the server goes on showing beside a jwks_uri', () => {
  const KEEP = { ...POLICY, format: 'jwks_uri' as const };
  const RETIRE = { ...KEEP, foreignKeys: 'retire' as const };
  const beside = () => enrolledRecord(client({ keys: [published('a'), published('foreign-1')] }));

  function begin(record: ClientRecord) {
    const served: unknown[][] = [];
    const world: World = new World('kid', record, (_, what) => {
      if (what.startsWith('served')) served.push(kidsOf(world.servedSet));
    });
    /** Answers what was served on the way, the last of it for good. */
    const rotate = (id: string, policy: ClientPolicy = KEEP, kid?: string | null) => {
      served.length = 0;
      ask(world, id, policy, kid);
      play(world, policy);
      expect(world.history[0]).toMatchObject({ id, state: 'finished' });
      expect(kidsOf(world.server.keys)).toContain('foreign-1');
      return [...served];
    };
    return { world, served, rotate };
  }

  it.each([
    ['are kept', KEEP],
    ['are retired', RETIRE],
  ])('is not dropped by going there, also where foreign keys %s: that is refused before a key is made', (_, policy) => {
    const { world } = begin(beside());
    ask(world, 'r1', policy);
    play(world, policy);
    expect(world.history[0]).toMatchObject({ state: 'failed', error: expect.stringMatching(/foreign keys/) });
    expect(world.record).toMatchObject({ rotation: null, retirements: [], keys: [{ kid: 'a' }] });
    expect(world.sent.size).toBe(0);
  });

  it('is not dropped where a look shows it only after the key was made', () => {
    const { world, served } = begin(enrolledRecord(client({ keys: [published('a')] })));
    ask(world, 'r1', KEEP);
    while (world.record.rotation?.phase.name !== 'delivered') take(world, KEEP);
    world.server.keys = [...world.server.keys, published('foreign-1').jwk];
    world.pass(MINUTE);
    play(world, KEEP);
    expect(world.history[0]).toMatchObject({ state: 'failed', error: expect.stringMatching(/foreign keys/) });
    expect(world.record).toMatchObject({ rotation: null, retirements: [], keys: [{ kid: 'a' }] });
    expect(served).toEqual([]);
    expect(kidsOf(world.effective())).toEqual(['a', 'foreign-1']);
  });

  it('is retired by a rotation in the form that it has, and then the client goes there', () => {
    const { world, served } = begin(beside());
    ask(world, 'r1', { ...POLICY, foreignKeys: 'retire' });
    play(world, { ...POLICY, foreignKeys: 'retire' });
    expect(kidsOf(world.server.keys)).toEqual(['k1']);
    ask(world, 'r2', KEEP);
    play(world, KEEP);
    expect(served).toEqual([['k1', 'k2'], ['k2']]);
  });

  it.each<[string, ClientRecord, string | null]>([
    ['it is named', beside(), 'foreign-1'],
    ['it is the one in use', foundRecord(), null],
  ])('is never served again after a compromise where %s', (_, record, kid) => {
    const { world, rotate } = begin(record);
    expect(rotate('r1', KEEP, kid)).toEqual([['k1']]);
    expect(rotate('r2')).toEqual([['k1', 'k2'], ['k2']]);
    // As when the folder was lost.
    world.tell('forgotten', (held) => ({ record: withServer(held, { served: null }), entries: [] }));
    world.servedSet = [];
    play(world, KEEP);
    expect(kidsOf(world.servedSet)).toEqual(['k2']);
  });

  it('does not come back with the old key of a rotation that took it off the server', () => {
    const { world, served, rotate } = begin(beside());
    rotate('r1', KEEP, 'foreign-1');
    const policy = { ...POLICY, strategy: 'cutover' as const };
    ask(world, 'r2', policy);
    play(world, policy, { ...GOOD_LUCK, proof: 'refused' });
    expect(world.history[0]).toMatchObject({ id: 'r2', state: 'rolled_back' });
    expect(kidsOf(world.server.keys)).toEqual(['k2']);
    expect(served).toEqual([['k1'], ['k2'], ['k1']]);
  });

  it('stays out for good once it was compromised, also when somebody takes it away and brings it back', () => {
    const { world, rotate } = begin(beside());
    rotate('r1', KEEP, 'foreign-1');
    const look = () => world.tell('looked', (record) => observed(record, world.show(), KEEP, world.now));
    const { keys } = world.server;
    world.server.keys = [];
    look();
    world.server.keys = keys;
    look();
    expect(rotate('r2').at(-1)).toEqual(['k2']);
  });

  it('stays gone when an answer that nobody can believe does not show it', () => {
    const { world, served, rotate } = begin(beside());
    rotate('r1', KEEP, 'foreign-1');
    ask(world, 'r2', KEEP);
    for (let action = take(world, KEEP); action.do !== 'patch' || action.purpose !== 'withdraw'; ) {
      if (action.do === 'wait') world.pass(action.until - world.now);
      const isOver = world.record.rotation === null;
      action = take(world, KEEP, { ...GOOD_LUCK, patch: isOver ? 'tampered' : 'ok' });
    }
    expect(world.record.server.observed.client.keys).toEqual([]);
    play(world, KEEP);
    expect(served).toEqual([['k1'], ['k1', 'k2'], ['k2']]);
  });
});

describe('a foreign key that is reported in the middle of a cutover', () => {
  const policy = { ...POLICY, strategy: 'auto' as const };

  it.each([
    ['cut_over', 'foreign-1'],
    ['cut_over', null],
    ['proven', 'foreign-1'],
    ['proven', null],
  ] as const)('which is %s, goes (named as %s)', (phase, kid) => {
    const world = new World('kid', takenOver(client(), policy));
    while (world.record.rotation?.phase.name !== phase) take(world, policy);
    expect(kidsOf(world.effective())).toContain('foreign-1');
    ask(world, 'r2', policy, kid);
    play(world, policy);
    const [active, ...others] = kidsOf(world.effective());
    expect(others).toEqual([]);
    expect(world.acceptsKid(`${active}`)).toBe(true);
    expect(foreignKeys(world.record)).toEqual([]);
    expect(world.record).toMatchObject({ rotation: null, retirements: [] });
  });

  it('comes back rather than a key that is about to be destroyed, when its compromise failed and nothing else is left', () => {
    const world = new World('kid', foundRecord());
    ask(world, 'r1', policy, null);
    play(world, policy, { ...GOOD_LUCK, patch: 'refused' });
    ask(world, 'r2', policy);
    play(world, policy, { ...GOOD_LUCK, proof: 'refused' });
    expect(kidsOf(world.effective())).toEqual(['foreign-1']);
  });
});

describe('a compromised key that somebody publishes again', () => {
  const back = (kid: string, name: string) => {
    const world = new World('kid', enrolledRecord(client({ keys: [published('a'), published('foreign-1')] })));
    ask(world, 'r1', POLICY, kid);
    play(world, POLICY);
    world.server.keys = [...world.server.keys, published(kid, 'ES256', name).jwk];
    world.tell('looked', (record) => observed(record, world.show(), POLICY, world.now));
    return world;
  };

  it.each([
    ['ours, under its name', 'a', 'a', ['k1', 'foreign-1']],
    ['ours, under another name', 'a', 'new-name', ['k1', 'foreign-1']],
    ['a foreign one, under its name', 'foreign-1', 'foreign-1', ['k1']],
    ['a foreign one, under another name', 'foreign-1', 'new-name', ['k1']],
  ])('is taken off again: %s', (_, kid, name, left) => {
    const world = back(kid, name);
    expect(world.audit.at(-1)?.type).toBe('client.drifted');
    play(world, POLICY);
    expect(kidsOf(world.server.keys)).toEqual(left);
  });

  it('does not come back with a rotation either', () => {
    const world = back('foreign-1', 'new-name');
    ask(world, 'r2', POLICY);
    play(world, POLICY);
    expect(kidsOf(world.server.keys)).toEqual(['k2']);
  });
});

it('a foreign entry that nobody can read stays through a rotation, verbatim', () => {
  const world = new World('kid', enrolledRecord(client({ keys: [published('a'), unreadable('odd')] })));
  ask(world, 'r1', POLICY);
  play(world, POLICY);
  expect(world.server.keys).toContainEqual(unreadable('odd').jwk);
});
