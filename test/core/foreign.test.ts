/** Keys of others: which of them still count, also where the server cannot be made to forget them, as beside a `jwks_uri`. */
import { describe, expect, it } from 'vitest';
import { observed } from '../../src/core/adopt.ts';
import { request } from '../../src/core/begin.ts';
import type { PublicJwk } from '../../src/core/document.ts';
import type { ClientPolicy } from '../../src/core/policy.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { adoptedRecord, asked, client, managedRecord, POLICY, published, START } from './support.ts';
import { GOOD_LUCK, play, take } from './worker.ts';
import { World } from './world.ts';

describe('a key of somebody else that the server goes on showing beside a jwks_uri', () => {
  const KEEP = { ...POLICY, format: 'jwks_uri' as const };
  const RETIRE = { ...KEEP, foreignKeys: 'retire' as const };
  const beside = () => managedRecord(KEEP, client({ keys: [published('a'), published('foreign-1')] }));
  const kidsOf = (keys: readonly PublicJwk[]) => keys.map(({ kid }) => kid);

  function begin(record: ClientRecord) {
    const served: unknown[][] = [];
    const world: World = new World('kid', record, (_, what) => {
      if (what.startsWith('served')) served.push(kidsOf(world.servedSet));
    });
    for (const { thumbprint } of record.keys) world.sealed.add(thumbprint);
    const ask = (id: string, policy: ClientPolicy, compromised: { readonly kid: string | null } | null = null) => {
      const held = world.claim();
      world.commit(held, request(held.record, asked(id, compromised), policy, world.now), 'asked');
    };
    /** Answers what was served on the way, the last of it for good. */
    const rotate = (
      id: string,
      policy: ClientPolicy = KEEP,
      compromised: { readonly kid: string | null } | null = null,
    ) => {
      served.length = 0;
      ask(id, policy, compromised);
      play(world, policy);
      expect(world.record.history[0]).toMatchObject({ id, state: 'finished' });
      expect(kidsOf(world.server.keys)).toContain('foreign-1');
      return [...served];
    };
    return { world, served, ask, rotate };
  }

  it('is served as long as nobody lets it go', () => {
    const { rotate } = begin(beside());
    expect(rotate('r1')).toEqual([
      ['a', 'k1', 'foreign-1'],
      ['k1', 'foreign-1'],
    ]);
    expect(rotate('r2').at(-1)).toEqual(['k2', 'foreign-1']);
  });

  it.each<[string, ClientRecord, string | null]>([
    ['it is named', beside(), 'foreign-1'],
    ['it is the one in use', adoptedRecord(), null],
  ])('is never served again after a compromise where %s', (_, record, kid) => {
    const { world, rotate } = begin(record);
    expect(rotate('r1', KEEP, { kid })).toEqual([['k1']]);
    expect(rotate('r2')).toEqual([['k1', 'k2'], ['k2']]);
    // As when the folder was lost.
    const held = world.claim();
    world.commit(held, { record: { ...held.record, served: null }, entries: [] }, 'forgotten');
    world.servedSet = [];
    play(world, KEEP);
    expect(kidsOf(world.servedSet)).toEqual(['k2']);
  });

  it.each([['overlap', adoptedRecord()] as const, ['overlap', beside()] as const, ['cutover', beside()] as const])(
    'is never served again once it was let go by %s',
    (strategy, record) => {
      const { rotate } = begin(record);
      expect(rotate('r1', { ...RETIRE, strategy }).at(-1)).toEqual(['k1']);
      expect(rotate('r2', RETIRE)).toEqual([['k1', 'k2'], ['k2']]);
      // The policy of today does not bring back what an earlier one let go.
      expect(rotate('r3')).toEqual([['k2', 'k3'], ['k3']]);
    },
  );

  it('comes back when the cutover that was to let it go is turned back', () => {
    const policy = { ...RETIRE, strategy: 'cutover' as const };
    const { world, ask, rotate } = begin(adoptedRecord());
    ask('r1', policy);
    play(world, policy, { ...GOOD_LUCK, proof: 'refused' });
    expect(world.record.history[0]).toMatchObject({ id: 'r1', state: 'rolled_back' });
    expect(kidsOf(world.servedSet)).toEqual(['foreign-1']);
    expect(rotate('r2').at(-1)).toEqual(['k2', 'foreign-1']);
  });

  it('does not come back with the old key of a rotation that took it off the server', () => {
    const { world, served, ask, rotate } = begin(beside());
    rotate('r1', KEEP, { kid: 'foreign-1' });
    const policy = { ...POLICY, strategy: 'cutover' as const };
    ask('r2', policy);
    play(world, policy, { ...GOOD_LUCK, proof: 'refused' });
    expect(world.record.history[0]).toMatchObject({ id: 'r2', state: 'rolled_back' });
    expect(kidsOf(world.server.keys)).toEqual(['k2']);
    expect(served).toEqual([['k1'], ['k2'], ['k1']]);
  });

  it('is a key of others again when somebody takes it away and brings it back', () => {
    const { world, rotate } = begin(beside());
    rotate('r1', KEEP, { kid: 'foreign-1' });
    const look = () => {
      const held = world.claim();
      world.commit(held, observed(held.record, world.show(), KEEP, world.now), 'looked');
    };
    const { keys } = world.server;
    world.server.keys = [];
    look();
    world.server.keys = keys;
    look();
    expect(rotate('r2').at(-1)).toEqual(['k2', 'foreign-1']);
  });

  it('stays gone when an answer that nobody can believe does not show it', () => {
    const { world, served, ask, rotate } = begin(beside());
    rotate('r1', KEEP, { kid: 'foreign-1' });
    ask('r2', KEEP);
    for (let step = take(world, KEEP); step.do !== 'patch' || step.purpose !== 'withdraw'; ) {
      if (step.do === 'wait') world.pass(step.until - world.now);
      const isOver = world.record.rotation === null;
      step = take(world, KEEP, { ...GOOD_LUCK, patch: isOver ? 'tampered' : 'ok' });
    }
    expect(world.record.observed.client.keys).toEqual([]);
    play(world, KEEP);
    expect(served).toEqual([['k1'], ['k1', 'k2'], ['k2']]);
  });
});

describe('a key of somebody else that is reported in the middle of a cutover', () => {
  const policy = { ...POLICY, strategy: 'auto' as const };

  it.each([
    ['cut_over', 'foreign-1'],
    ['cut_over', null],
    ['proven', 'foreign-1'],
    ['proven', null],
  ] as const)('which is %s, goes (named as %s)', (phase, kid) => {
    const world = new World('kid', request(adoptedRecord(), asked('r1'), policy, START).record, () => {});
    while (world.record.rotation?.phase.name !== phase) take(world, policy);
    expect(world.effective().map((key) => key.kid)).toContain('foreign-1');
    const held = world.claim();
    world.commit(held, request(held.record, asked('r2', { kid }), policy, world.now), 'asked');
    play(world, policy);
    const [active, ...others] = world.effective().map((key) => String(key.kid));
    expect(others).toEqual([]);
    expect(world.acceptsKid(active ?? '')).toBe(true);
    expect(world.record).toMatchObject({ foreign: [], rotation: null, retiring: [] });
  });

  it('goes under its other names too', () => {
    const keys = [published('foreign-1'), { ...published('foreign-1'), kid: 'alias' }, published('foreign-2')];
    const { record } = request(adoptedRecord(client({ keys })), asked('r1', { kid: 'alias' }), policy, START);
    expect(record.foreign).toEqual([published('foreign-2')]);
  });

  it('is known when it is reported again', () => {
    const record = adoptedRecord();
    const first = request(record, asked('r1', { kid: 'foreign-1' }), policy, START);
    expect(request(first.record, asked('r2', { kid: 'foreign-1' }), policy, START).rotation).toBe('r1');
  });

  it('comes back rather than a key that is about to be destroyed, when its compromise failed and nothing else is left', () => {
    const world = new World(
      'kid',
      request(adoptedRecord(), asked('r1', { kid: null }), policy, START).record,
      () => {},
    );
    play(world, policy, { ...GOOD_LUCK, patch: 'refused' });
    const held = world.claim();
    world.commit(held, request(held.record, asked('r2'), policy, world.now), 'asked');
    play(world, policy, { ...GOOD_LUCK, proof: 'refused' });
    expect(world.effective().map((key) => key.kid)).toEqual(['foreign-1']);
  });
});
