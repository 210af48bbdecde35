/** What a person makes of drift. Worlds play the loop that publishes. */
import { describe, expect, it } from 'vitest';
import { foreignKeys } from '../../src/core/desired.ts';
import type { ObservedClient } from '../../src/core/document.ts';
import { kindsOf } from '../../src/core/drift.ts';
import { halt } from '../../src/core/ending.ts';
import { observed } from '../../src/core/enrolment.ts';
import { activeKey } from '../../src/core/keys.ts';
import { plan } from '../../src/core/plan.ts';
import type { ClientPolicy } from '../../src/core/policy.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { request } from '../../src/core/request.ts';
import { accept, repair } from '../../src/core/settling.ts';
import { beside, confirmed, LATER, ours, PERSON, SEVERAL, see, told } from './drifted.ts';
import {
  asked,
  client,
  contextAt,
  enrolledRecord,
  foundRecord,
  heldRecord,
  idOf,
  inFlight,
  jwks,
  key,
  POLICY,
  published,
  publishedPem,
  REF,
  retirement,
  rotating,
  START,
  THEIR_URI,
  unreadable,
  withServer,
} from './support.ts';
import { play } from './worker.ts';
import { World } from './world.ts';

describe('accepting', () => {
  const drifted = (record: ClientRecord, change: Partial<ObservedClient> | null, policy = SEVERAL) =>
    see(record, change, policy).record;
  const take = (record: ClientRecord, policy = SEVERAL) => accept(record, PERSON, { policy, now: LATER });

  it('a foreign key keeps it as such, also while a rotation is under way', () => {
    for (const record of [ours(), { ...rotating('overlap', 'delivered'), server: ours().server }]) {
      const { record: next, entries, done } = take(drifted(record, { keys: [published('a'), published('x')] }));
      expect([done, next.drift, next.enrolment]).toEqual(['known', undefined, 'enrolled']);
      expect(entries).toMatchObject([
        { type: 'drift.accepted', claimed_by: 'os:alice', data: { what: ['foreign_added'] } },
      ]);
      expect(foreignKeys(next)).toEqual([published('x')]);
      expect(told(see(next, {}))).toEqual([]);
      expect(told(see(next, { keys: [published('a')] }))).toEqual([['client.drifted', ['foreign_removed']]]);
    }
  });

  it.each<[string, Partial<ObservedClient>, ClientPolicy]>([
    ['its key was replaced', { keys: [published('x')] }, SEVERAL],
    ['its alg is another one', { alg: 'RS256' }, SEVERAL],
    ['a server that takes the first key finds another there', { keys: [published('x'), published('a')] }, POLICY],
    ['its PEM is of another key', { keys: [{ ...published('a'), pemId: idOf('x') }] }, SEVERAL],
    ['its owner publishes at an address', { jwksUri: THEIR_URI, keys: [] }, SEVERAL],
  ])('makes a client a found one where %s, and repair gives it back its keys', (_, change, policy) => {
    const record = ours();
    const seen = drifted(record, change, policy);
    const { record: found, done, entries } = take(seen, policy);
    expect(done).toBe('found');
    expect(found).toMatchObject({ enrolment: 'found', keys: [], released: true, server: { confirmedAt: null } });
    expect(entries).toMatchObject([
      { type: 'drift.accepted', data: { to: 'found', kids: ['a'] } },
      { type: 'client.found', claimed_by: 'os:alice', data: { kids: ['a'] } },
    ]);
    expect(plan(found, policy, LATER)).toEqual({ do: 'done' });
    const drop = foreignKeys(found).map(({ jwk }) => String(jwk.kid));
    const back = repair(
      found,
      { cause: PERSON, drop: 'keys' in change ? drop.filter((kid) => kid === 'x') : [] },
      { policy, now: LATER },
    );
    expect(back.record).toMatchObject({ enrolment: 'enrolled', keys: record.keys, signers: record.signers });
    expect(back.record.released).toBeUndefined();
    expect(plan(back.record, policy, LATER)).toMatchObject({ do: 'patch', purpose: 'repair' });
  });

  it('a foreign key makes no client found that has never been the first key there, and one that was halted goes on', () => {
    const record = heldRecord(client({ keys: [published('f'), published('a')] }));
    const seen = drifted(record, { keys: [published('f'), published('a'), published('x')] }, POLICY);
    const halted = halt(withServer(seen, { conflicts: 2 }), 'twice').record;
    expect(take(halted, POLICY)).toMatchObject({ done: 'known', record: { enrolment: 'held', halted: null } });
  });

  it('sets a standby key aside with the others, and repair makes it one again', () => {
    const standby = { kid: 's', madeAt: START, leaving: null } as unknown as NonNullable<ClientRecord['standby']>; // carried, and not looked at
    const record = { ...ours(), standby, keys: [...ours().keys, key('s', 'pre-active')] };
    const { record: found } = take(drifted(record, { keys: [published('x')] }));
    expect([found.standby, found.keys]).toEqual([undefined, []]);
    const back = repair(found, { cause: PERSON, drop: [] }, { policy: SEVERAL, now: LATER }).record;
    expect(back).toMatchObject({ standby, keys: record.keys });
  });

  it('a document that rekeyd would not publish leaves it there until the next rotation', () => {
    const { record: next, done } = take(drifted(beside(), { keys: [published('f'), published('a')] }));
    expect([done, next.enrolment, plan(next, SEVERAL, LATER)]).toEqual(['left', 'enrolled', { do: 'done' }]);
    const back = repair(next, { cause: PERSON, drop: [] }, { policy: SEVERAL, now: LATER });
    expect(plan(back.record, SEVERAL, LATER)).toMatchObject({ do: 'patch', purpose: 'repair' });
  });

  it('a client that vanished keeps its keys, and nothing is told of it until it is back', () => {
    const { record: next, done } = take(drifted(ours(), null));
    expect([done, next.drift, next.enrolment, activeKey(next)?.kid]).toEqual(['known', undefined, 'enrolled', 'a']);
    expect(told(see(next, null))).toEqual([]);
    expect(told(see(next, {}))).toEqual([['client.drifted', ['returned']]]);
  });

  it('what has not drifted changes nothing', () => {
    const record = ours();
    expect(take(record)).toEqual({ record, entries: [], done: null });
  });
});

describe('repairing', () => {
  const mend = (record: ClientRecord, drop: readonly string[] = [], policy = SEVERAL) =>
    repair(record, { cause: PERSON, drop }, { policy, now: LATER });
  const drifted = (record: ClientRecord, change: Partial<ObservedClient> | null, policy = SEVERAL) =>
    see(record, change, policy).record;

  it.each<[string, ClientRecord, Partial<ObservedClient>, readonly string[], readonly string[]]>([
    ['puts our key back beside theirs', ours(), { keys: [published('x')] }, [], ['a', 'x']],
    ['puts back an imported key that rekeyd never published', heldRecord(), { keys: [published('x')] }, [], ['a', 'x']],
    [
      'takes away the foreign key that is named',
      beside(),
      { keys: [published('a'), published('f'), published('x')] },
      ['x'],
      ['a', 'f'],
    ],
    [
      'takes it away by its id',
      beside(),
      { keys: [published('a'), published('f'), published('x')] },
      [idOf('x')],
      ['a', 'f'],
    ],
  ])('%s', (_, record, change, drop, left) => {
    const world = new World('kid', drifted(record, change));
    world.server.keys = (change.keys ?? []).map(({ jwk }) => jwk);
    world.tell('repair', (held) => mend(held, drop));
    expect(world.audit.at(-1)).toMatchObject({
      type: 'drift.repairing',
      claimed_by: 'os:alice',
      data: { dropped: drop.length === 0 ? [] : ['x'] },
    });
    play(world, SEVERAL);
    expect(world.server.keys.map(({ kid }) => kid)).toEqual(left);
    world.tell('looked', (held) => observed(held, world.show(), SEVERAL, world.now));
    expect(kindsOf(world.record.drift)).toEqual(drop.length === 0 ? ['foreign_added'] : []);
    if (drop.length === 0) return;
    world.tell('undo', (held) => accept(held, PERSON, { policy: SEVERAL, now: world.now }));
    play(world, SEVERAL);
    expect(world.server.keys.map(({ kid }) => kid)).toEqual([...left, 'x']);
    world.tell('looked', (held) => observed(held, world.show(), SEVERAL, world.now));
    expect([world.record.restores, world.record.drift]).toEqual([undefined, undefined]);
  });

  it('takes what came with the drift away where the policy retires foreign keys', () => {
    const policy = { ...SEVERAL, foreignKeys: 'retire' as const };
    const { record } = mend(
      drifted(beside(), { keys: [published('a'), published('f'), published('x')] }, policy),
      [],
      policy,
    );
    expect(foreignKeys(record)).toEqual([published('f')]);
    expect(plan(record, policy, LATER)).toMatchObject({ do: 'patch', purpose: 'repair' });
  });

  it('goes on with a client that was halted because another program writes too', () => {
    const halted = halt(withServer(drifted(ours(), { keys: [published('x')] }), { conflicts: 2 }), 'twice').record;
    expect(mend(halted).record).toMatchObject({ halted: null, server: { conflicts: 0 } });
  });

  const added = { keys: [published('a'), published('x')] };
  const replaced = { keys: [published('x')] };
  const compromised = { id: idOf('a'), kid: 'a', at: START, compromised: true };
  it.each<[string, ClientRecord, readonly string[], string, RegExp, ClientPolicy?]>([
    [
      'nothing of ours is missing',
      drifted(ours(), added),
      [],
      'not_eligible',
      /the foreign key x was added.*--drop-foreign=x/,
    ],
    [
      'a foreign key that was removed is not ours',
      drifted(beside(), { keys: [published('a')] }),
      [],
      'not_eligible',
      /not ours to put back/,
    ],
    [
      'it is about how a client authenticates',
      drifted(ours(), { authMethod: 'none' }),
      [],
      'not_eligible',
      /authenticates is not for rekeyd/,
    ],
    [
      'a server that takes the first key would not take theirs',
      drifted(ours(), replaced, POLICY),
      [],
      'not_eligible',
      /an application may sign with it.*--drop-foreign=x/,
      POLICY,
    ],
    [
      'a PEM holds one key',
      drifted(withServer(ours(), { format: 'pem' }), { keys: [publishedPem('x')] }),
      [],
      'not_eligible',
      /an application may sign with it/,
    ],
    [
      'the key to drop is not there',
      drifted(ours(), added),
      ['y'],
      'not_found',
      /shows no foreign key y \(it shows: x\)/,
    ],
    [
      'nobody can read the key to drop',
      drifted(ours(), { keys: [published('a'), unreadable('odd')] }),
      ['odd'],
      'not_found',
      /by hand/,
    ],
    ['the client vanished', drifted(ours(), null), [], 'not_eligible', /Its keys are kept/],
    ['a found client has no key of ours', foundRecord(), [], 'not_enrolled', /no document of ours/],
    [
      'the key was reported',
      { ...drifted(ours(), replaced), former: [compromised] },
      [],
      'key_invalid',
      /reported as compromised/,
    ],
    [
      'a rotation is under way',
      drifted({ ...rotating('overlap', 'delivered'), server: ours().server }, replaced),
      [],
      'under_way',
      /rotation r1 is under way \(delivered\).*nothing was repaired/,
    ],
    [
      'the client is halted for another reason',
      halt(drifted(ours(), replaced), 'its store is away').record,
      [],
      'under_way',
      /not because of drift: its store is away/,
    ],
    ['the store was restored', { ...drifted(ours(), replaced), doubted: true }, [], 'under_way', /restored/],
  ])('is refused where %s', (_, record, drop, code, message, policy = SEVERAL) => {
    expect(() => mend(record, drop, policy)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
  });

  it.each<[string, ClientRecord, RegExp]>([
    [
      'a rotation is under way',
      drifted({ ...rotating('overlap', 'delivered'), server: ours().server }, replaced),
      /rotation r1 is under way.*nothing was accepted/,
    ],
    [
      'a PATCH may still arrive',
      withServer(drifted(ours(), replaced), { inFlight: inFlight(jwks(), LATER) }),
      /may still arrive/,
    ],
    [
      'an old key is on its way out',
      { ...drifted(ours(), replaced), retirements: [retirement('overlap', { kid: null })] },
      /on its way out/,
    ],
    [
      'the client is halted for another reason',
      halt(drifted(ours(), replaced), 'look').record,
      /not because of drift: look/,
    ],
  ])('accepting is refused where %s', (_, record, message) => {
    const context = { policy: SEVERAL, now: LATER };
    expect(() => accept(record, PERSON, context)).toThrow(
      expect.objectContaining({ code: 'under_way', message: expect.stringMatching(message) }),
    );
  });

  it('of a single PEM cannot be undone by us: the key that it dropped is named in full', () => {
    const format = { format: 'pem' as const };
    const seen = drifted(withServer(confirmed(enrolledRecord(client({ keys: [publishedPem('a')] }))), format), {
      keys: [publishedPem('x')],
    });
    const { record } = mend(seen, [idOf('x')]);
    const settled = see(record, { keys: [publishedPem('a')] }).record;
    expect(() => accept(settled, PERSON, { policy: SEVERAL, now: LATER })).toThrow(
      /Publish it by hand: .*BEGIN PUBLIC KEY/,
    );
  });

  it('is a thing of the past once a rotation has brought another key in', () => {
    const world = new World('kid', mend(drifted(ours(), { keys: [published('a'), published('x')] }), ['x']).record);
    world.tell('asked', (record) => request(record, asked('r1', null, true), SEVERAL, world.now));
    play(world, SEVERAL);
    expect(world.record.settled).toBeUndefined();
    expect(world.record.keys).toMatchObject(
      [key('k1', 'active', { createdAt: expect.any(Number) })].map(({ kid }) => ({ kid })),
    );
  });

  it(`names the client in each refusal`, () => {
    expect(() => mend(foundRecord())).toThrow(expect.objectContaining({ message: expect.stringContaining(REF) }));
    expect(() => accept(halt(ours(), 'x').record, PERSON, contextAt(LATER))).toThrow(REF);
  });
});
