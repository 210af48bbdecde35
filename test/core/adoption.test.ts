/** `adopt: overlap`: a key of ours is offered beside a foreign one, and is taken, or withdrawn. The foreign key signs in all the while. */
import { describe, expect, it } from 'vitest';
import { enroll, mayBeOffered, offerObstacle, signsWith } from '../../src/core/adoption.ts';
import { desiredDocument } from '../../src/core/desired.ts';
import type { PublicJwk, PublishedKey } from '../../src/core/document.ts';
import { whyDue } from '../../src/core/due.ts';
import { imported, observed } from '../../src/core/enrolment.ts';
import { heard } from '../../src/core/heard.ts';
import { activeKey } from '../../src/core/keys.ts';
import { plan } from '../../src/core/plan.ts';
import type { ClientPolicy } from '../../src/core/policy.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { abandon, request } from '../../src/core/request.ts';
import { clientState, lastError } from '../../src/core/state.ts';
import type { Transition } from '../../src/core/transition.ts';
import { commitOf } from '../../src/rotation/commit.ts';
import { BY_KID, knowing, WACHT } from './servers.ts';
import {
  asked,
  client,
  DAY,
  enrolledRecord,
  foundRecord,
  HOUR,
  heldRecord,
  idOf,
  kidsOf,
  material,
  OPERATOR,
  POLICY,
  published,
  publishedPem,
  START,
  THEIR_URI,
  typesOf,
} from './support.ts';
import { play, take } from './worker.ts';
import { type ServerMode, World } from './world.ts';

const OFFER: ClientPolicy = { ...POLICY, adopt: 'overlap', alg: 'keep', format: 'keep' };
const SCHEDULE = { ...asked('r1'), actor: 'schedule:default' };
const SIGNER = { actor: 'signer:host-1', reason: 'it reports that it signs with our key', request: null };
const CALM = { paused: false, throttled: false, suspended: false };

function nameless(kid: string): PublishedKey {
  const { kid: _, ...jwk } = published(kid).jwk;
  // The type of a JWK leaves its members open; this one keeps all but its name.
  return { ...published(kid), jwk: jwk as PublicJwk };
}

/** What must hold at every moment until the application takes our key: theirs is published, first, and signs in. */
function watchTheirs(world: World): void {
  if (world.record.enrolment === 'enrolled') return;
  const [first] = world.effective();
  if (first?.kid !== 'foreign-1') throw new Error(`foreign-1 does not come first: ${world.trace.at(-1)}`);
  if (!world.accepts({ id: idOf('foreign-1'), alg: 'ES256' }, 'foreign-1')) throw new Error('foreign-1 is refused');
}

function begin(mode: ServerMode = 'kid', policy = OFFER): World {
  const world = new World(mode, foundRecord(), watchTheirs);
  world.tell('swept', (record) => request(record, SCHEDULE, policy, world.now));
  return world;
}

/** Until the key is offered. */
function offered(policy = OFFER): World {
  const world = begin('kid', policy);
  for (let turns = 0; world.record.rotation?.phase.name !== 'offered'; turns += 1) {
    const action = take(world, policy);
    if (action.do === 'wait') world.pass(action.until - world.now);
    if (turns > 50) throw new Error('it is never offered');
  }
  return world;
}

const said = (world: World, kid: string) => ({
  reports: [{ name: 'host-1', kids: [kid], signing: kid, at: world.now }],
  error: null,
});

const shownKids = (world: World) => world.server.keys.map(({ kid }) => kid);
const at = (world: World, policy = OFFER) => ({ policy, now: world.now });
const told = (world: World) => world.audit.map(({ type }) => type);

describe('a key of ours is offered', () => {
  it.each<[string, ClientRecord, Partial<ClientPolicy>, RegExp | null]>([
    ['to a found client whose server takes several keys', foundRecord(), {}, null],
    ['by a policy that names its alg and format', foundRecord(), { alg: 'ES256', format: 'jwks' }, null],
    ['to none unless the policy says so', foundRecord(), { adopt: 'import' }, /does not say adopt: overlap/],
    ['to none whose key we have', heldRecord(), {}, /has a key of it already/],
    ['to none that is enrolled', enrolledRecord(), {}, /has a key of it already/],
    [
      'to none whose server may take one key only',
      foundRecord(),
      { strategy: 'auto' },
      /not known to take several keys/,
    ],
    [
      'to none whose server takes one key only',
      foundRecord(),
      { strategy: 'cutover' },
      /not known to take several keys/,
    ],
    ['to one where a probe saw several accepted', foundRecord(), { strategy: 'auto', facts: knowing(BY_KID) }, null],
    ['to none where a probe saw one', foundRecord(), { facts: knowing(WACHT) }, /takes one key at a time/],
    ['to none with a PEM', foundRecord(client({ keys: [publishedPem('foreign-1')] })), {}, /fits only into a JWK Set/],
    ['to none with an address', foundRecord(client({ keys: [], jwksUri: THEIR_URI })), {}, /fits only into a JWK Set/],
    ['to none that shows both', foundRecord(client({ jwksUri: THEIR_URI })), {}, /fits only into a JWK Set/],
    ['to none without a key', foundRecord(client({ keys: [] })), {}, /fits only into a JWK Set/],
    ['to none that is to become a PEM', foundRecord(), { format: 'pem' }, /fits only into a JWK Set/],
    [
      'to none whose own key has no kid',
      foundRecord(client({ keys: [nameless('foreign-1')] })),
      {},
      /shows a key without a kid/,
    ],
    [
      'to one whose own key has no kid, where a probe saw that the server tries all keys',
      foundRecord(client({ keys: [nameless('foreign-1')] })),
      { facts: knowing({ ...BY_KID, picks: 'any' }) },
      null,
    ],
    ['to none with another alg', foundRecord(), { alg: 'RS256' }, /a server verifies one alg per client/],
  ])('%s', (_, record, policy, why) => {
    const given = { ...OFFER, ...policy };
    if (why === null) expect(offerObstacle(record, given)).toBeNull();
    else expect(offerObstacle(record, given)).toMatch(why);
    expect(mayBeOffered(record, given)).toBe(why === null);
    if (record.enrolment === 'found') expect(whyDue(record, given, START) !== null).toBe(why === null);
  });

  it('beside theirs, which stays first, and is in the key folder once it is proven', () => {
    const world = offered();
    expect(shownKids(world)).toEqual(['foreign-1', 'k1']);
    expect(world.server.keys[0]).toEqual(published('foreign-1').jwk);
    expect(world.acceptsKid('k1')).toBe(true);
    expect(world.sinks).toEqual([
      { current: 'k1', next: null, previous: null },
      { current: 'k1', next: null, previous: null },
    ]);
    expect(world.record).toMatchObject({
      enrolment: 'found',
      failure: null,
      keys: [{ kid: 'k1', state: 'pre-active' }],
    });
    expect(told(world)).toContain('client.offered');
    expect(clientState(world.record, OFFER, world.now, CALM)).toBe('found');
    expect(plan(world.record, OFFER, world.now)).toMatchObject({ do: 'wait', until: world.now + 30 * DAY });
  });

  it('and waits in the due index, not among what is unfinished', () => {
    const world = offered();
    const commit = commitOf({ record: world.record, entries: [] }, OFFER, { from: null, durable: false });
    expect(commit).toMatchObject({ open: false, dueAt: world.now + 30 * DAY });
    expect(whyDue(world.record, OFFER, world.now + 90 * DAY)).toBeNull();
  });
});

describe('the application takes it', () => {
  it.each<[string, (world: World) => Transition, string]>([
    [
      'when a signer reports that it signs with it',
      (world) => signsWith(world.record, 'k1', SIGNER, at(world)),
      'signer:host-1',
    ],
    [
      'when one of its signers reports it',
      (world) => heard(world.record, said(world, 'k1'), at(world)),
      'signer:host-1',
    ],
    ['when a person says so', (world) => enroll(world.record, OPERATOR, at(world)), 'operator'],
    [
      'when a person takes the client over',
      (world) => request(world.record, asked('r2', null, true), OFFER, world.now),
      'operator',
    ],
  ])('%s', (_, change, actor) => {
    const world = offered();
    world.tell('taken', () => change(world));
    expect(world.record).toMatchObject({
      enrolment: 'enrolled',
      rotation: null,
      keys: [{ kid: 'k1', state: 'active' }],
    });
    expect(world.audit.findLast(({ type }) => type === 'client.enrolled')).toMatchObject({ actor, rotation: 'r1' });
    play(world, OFFER);
    expect(world.history[0]).toMatchObject({ id: 'r1', state: 'finished' });
    expect([...shownKids(world)].sort(), 'foreign_keys: keep').toEqual(['foreign-1', 'k1']);
    expect(whyDue(world.record, OFFER, world.now + 40 * DAY)).toMatchObject({ reason: 'too_old' });
  });

  it('then theirs leaves as after any rotation, where the policy says so', () => {
    const policy = { ...OFFER, foreignKeys: 'retire' as const };
    const world = new World('kid', foundRecord());
    world.tell('swept', (record) => request(record, SCHEDULE, policy, world.now));
    for (let turns = 0; world.record.rotation?.phase.name !== 'offered' && turns < 50; turns += 1) {
      const action = take(world, policy);
      if (action.do === 'wait') world.pass(action.until - world.now);
    }
    expect(shownKids(world), 'not before').toEqual(['foreign-1', 'k1']);
    world.tell('taken', (record) => signsWith(record, 'k1', SIGNER, at(world, policy)));
    play(world, policy);
    expect(shownKids(world)).toEqual(['k1']);
  });

  it('and not when a report names another key, or comes before the key is offered', () => {
    const early = begin();
    const later = offered();
    for (const [world, kid] of [
      [early, 'k1'],
      [later, 'k2'],
      [later, 'foreign-1'],
    ] as const) {
      const { record } = world;
      expect(signsWith(record, kid, SIGNER, at(world))).toEqual({ record, entries: [] });
      expect(signsWith(record, kid, SIGNER, at(world)).record).toBe(record);
      expect(heard(record, said(world, kid), at(world))).toMatchObject({ entries: [], record: { enrolment: 'found' } });
    }
    expect(() => enroll(early.record, OPERATOR, at(early))).toThrow(
      expect.objectContaining({
        code: 'not_enrolled',
        message: expect.stringMatching(/not offered .* yet \(requested\)/),
      }),
    );
  });

  it('a held client is enrolled by a report of its key, too', () => {
    const record = heldRecord();
    const context = { policy: POLICY, now: START };
    expect(signsWith(record, 'a', SIGNER, context).record.enrolment).toBe('enrolled');
    expect(signsWith(record, 'b', SIGNER, context).record).toBe(record);
    const enrolled = enrolledRecord();
    expect(signsWith(enrolled, 'a', SIGNER, context).record).toBe(enrolled);
  });
});

describe('it is withdrawn', () => {
  /** Off the server, refused, destroyed; the client as before; and it says why. */
  function expectWithdrawn(world: World, why: RegExp): void {
    expect(shownKids(world)).not.toContain('k1');
    expect(world.refused).toContain(idOf('k1'));
    expect(world.sealed.size).toBe(0);
    expect(world.sinks[0]).toEqual({ current: null, next: null, previous: null });
    const { record } = world;
    expect(record).toMatchObject({ enrolment: 'found', rotation: null, retirements: [], keys: [], failure: null });
    expect(record.declined?.why).toMatch(why);
    expect(world.history[0]).toMatchObject({ id: 'r1', state: 'rolled_back' });
    expect(told(world)).toEqual(expect.arrayContaining(['rotation.rolled_back', 'client.found', 'key.destroyed']));
    expect(clientState(record, OFFER, world.now, CALM)).toBe('found');
    expect(lastError(record)).toMatch(why);
  }

  it('when the application was not seen to sign with it in time', () => {
    const world = offered();
    world.pass(30 * DAY);
    play(world, OFFER);
    expectWithdrawn(world, /not seen to sign with it within 30 d/);
    expect(shownKids(world)).toEqual(['foreign-1']);
  });

  it.each<[string, (world: World) => void, Partial<ClientPolicy>, RegExp]>([
    [
      'when a person abandons it',
      (world) => world.tell('', (record) => abandon(record, OPERATOR)),
      {},
      /abandoned: drill/,
    ],
    ['when the policy says import', () => {}, { adopt: 'import' }, /does not say adopt: overlap any more/],
    [
      'when it may have leaked',
      (world) => world.tell('', (record) => request(record, asked('r2', { kid: 'k1' }), OFFER, world.now)),
      {},
      /k1, which was offered, was reported as compromised/,
    ],
  ])('%s', (_, change, policy, why) => {
    const world = offered();
    change(world);
    play(world, { ...OFFER, ...policy });
    expectWithdrawn(world, why);
    expect(shownKids(world)).toEqual(['foreign-1']);
  });

  it('by a server that takes one key at a time, as soon as that shows, and theirs stays first', () => {
    const world = begin('first');
    play(world, OFFER);
    expectWithdrawn(world, /the server refuses the new key k1/);
    expect(shownKids(world)).toEqual(['foreign-1']);
  });

  /** The owner of a client changes it, and upkeep notices. */
  function edit(world: World, change: Partial<World['server']>): void {
    world.pass(HOUR);
    Object.assign(world.server, change);
    world.tell('looked', (record) => observed(record, world.show(), OFFER, world.now));
  }

  it('when its owner registers another alg, and that stays', () => {
    const world = new World('kid', offered().record);
    edit(world, { alg: 'ES384', keys: [published('theirs', 'ES384').jwk, published('k1').jwk] });
    play(world, OFFER);
    expect(world.server).toMatchObject({ alg: 'ES384' });
    expect(shownKids(world)).toEqual(['theirs']);
    expect(world.record.declined?.why).toMatch(/registered with alg ES384 now/);
  });

  it('when its owner publishes a key without a kid, which a server that picks by kid would not find beside ours', () => {
    const world = new World('kid', offered().record);
    edit(world, { keys: [nameless('theirs').jwk, published('k1').jwk] });
    play(world, OFFER);
    expect(world.server.keys).toEqual([nameless('theirs').jwk]);
    expect(world.record.declined?.why).toMatch(/shows a key without a kid/);
  });

  it('without a PATCH when its owner has moved to an address', () => {
    const world = new World('kid', offered().record);
    edit(world, { jwksUri: THEIR_URI, keys: [] });
    const sent = world.trace.length;
    play(world, OFFER);
    expect(world.trace.slice(sent).filter((line) => line.includes('PATCH'))).toEqual([]);
    expect(world.server).toMatchObject({ jwksUri: THEIR_URI, keys: [] });
    expect(world.record).toMatchObject({ rotation: null, keys: [], enrolment: 'found' });
    expect(world.record.declined?.why).toMatch(/at an address of its own now/);
  });

  it('and is put back meanwhile when its owner published a set without it', () => {
    const world = new World('kid', offered().record);
    edit(world, { keys: [published('foreign-1').jwk, published('theirs').jwk] });
    expect(commitOf({ record: world.record, entries: [] }, OFFER, { from: null, durable: false }).open).toBe(true);
    while (take(world, OFFER).do !== 'wait');
    expect(shownKids(world)).toEqual(['foreign-1', 'theirs', 'k1']);
    expect(world.record.rotation?.phase.name).toBe('offered');
    edit(world, { keys: [published('k1').jwk, published('theirs').jwk] });
    expect(plan(world.record, OFFER, world.now).do, 'their order is theirs').toBe('wait');
  });
});

describe('after it was withdrawn', () => {
  function withdrawn(): World {
    const world = offered();
    world.pass(30 * DAY);
    play(world, OFFER);
    return world;
  }

  it('a schedule does not offer it again, also after a restart with the same config', () => {
    const { record, now } = withdrawn();
    const again: ClientPolicy = JSON.parse(JSON.stringify(OFFER));
    expect(mayBeOffered(record, again)).toBe(false);
    expect(whyDue(record, again, now + 90 * DAY)).toBeNull();
    expect(commitOf({ record, entries: [] }, again, { from: null, durable: false }).dueAt).toBeNull();
  });

  it.each<[string, Partial<ClientPolicy>]>([
    ['a longer time', { adoptTimeoutMs: 60 * DAY }],
    ['its alg', { alg: 'ES256' }],
  ])('until the policy names %s', (_, policy) => {
    const { record, now } = withdrawn();
    expect(whyDue(record, { ...OFFER, ...policy }, now)).toMatchObject({ reason: 'never_rotated' });
  });

  it('or a person asks', () => {
    const world = withdrawn();
    world.tell('asked', (record) => request(record, asked('r2'), OFFER, world.now));
    expect(world.record).not.toHaveProperty('declined');
    expect(world.record.rotation).toMatchObject({ id: 'r2', adopting: true });
    expect(typesOf(request(withdrawn().record, asked('r2'), OFFER, START))).toContain('rotation.started');
  });
});

describe('while a key is offered', () => {
  it('a request without --take-over joins the offer, and one for a client that cannot have one is told why', () => {
    const world = offered();
    const { record, rotation } = request(world.record, asked('r2'), OFFER, world.now);
    expect([record, rotation]).toEqual([world.record, 'r1']);
    const policy = { ...OFFER, strategy: 'cutover' as const };
    expect(() => request(foundRecord(), asked('r1'), policy, START)).toThrow(
      /no key of ours can be offered beside it, because its server/,
    );
  });

  it('a leaked foreign key is replaced at once', () => {
    const world = new World('kid', offered().record);
    world.tell('leaked', (record) => request(record, asked('r2', { kid: null }), OFFER, world.now));
    play(world, OFFER);
    expect(shownKids(world)).toEqual(['k1']);
    expect(world.record).toMatchObject({ enrolment: 'enrolled', rotation: null });
    expect(activeKey(world.record)?.kid).toBe('k1');
  });

  it('taking a client over before the key is proven lets it take over when it is', () => {
    const world = begin();
    world.tell('taken over', (record) => request(record, asked('r2', null, true), OFFER, world.now));
    play(world, OFFER);
    expect(world.record).toMatchObject({ enrolment: 'enrolled', rotation: null, keys: [{ kid: 'k1' }] });
  });

  it('nothing is imported, and the message says what to do', () => {
    const { record } = offered();
    const { kid: _, ...own } = material('foreign-1');
    expect(() => imported(record, own, OPERATOR, START)).toThrow(/rekeyd abandon .* and import again/);
  });

  it('the document that it asks for has their keys first, as they are', () => {
    expect(kidsOf(desiredDocument(offered().record, OFFER))).toEqual(['foreign-1', 'k1']);
  });
});
