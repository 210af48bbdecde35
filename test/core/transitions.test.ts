import { describe, expect, it } from 'vitest';
import { request } from '../../src/core/begin.ts';
import type { Change } from '../../src/core/change.ts';
import { desiredDocument } from '../../src/core/desired.ts';
import { bearRefusal, destroyed, tryAgain } from '../../src/core/ending.ts';
import { plan } from '../../src/core/plan.ts';
import {
  announced,
  delivered,
  notDelivered,
  type PatchOutcome,
  patched,
  servingAnnounced,
  settled,
} from '../../src/core/progress.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import {
  adoptedRecord,
  asked,
  CONTEXT,
  client,
  contextAt,
  key,
  MINUTE,
  managedRecord,
  POLICY,
  published,
  retirement,
  retiringRecord,
  rotating,
  SERVED_URI,
  START,
  servedKey,
  stateOf,
  typesOf,
} from './support.ts';
import { play } from './worker.ts';
import { World } from './world.ts';

describe('a rotation from start to end', () => {
  const story = (record: ClientRecord, policy = POLICY, mode: World['mode'] = 'kid') => {
    const world = new World(mode, request(record, asked('r1'), policy, START).record, () => {});
    for (const { thumbprint } of record.keys) world.sealed.add(thumbprint);
    play(world, policy);
    return world;
  };
  const told = (world: World) =>
    world.audit.map(({ type, data }) => (data.purpose === undefined ? type : `${type} ${data.purpose}`));

  it('by overlap', () => {
    const world = story(managedRecord());
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
    expect(world.record).toMatchObject({ rotation: null, retiring: [], history: [{ state: 'finished' }] });
  });

  it('by cutover', () => {
    const world = story(managedRecord(), { ...POLICY, strategy: 'cutover' }, 'first');
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

  it('of a client that had only keys of others', () => {
    const world = story(adoptedRecord());
    expect(world.server.keys.map(({ kid }) => kid)).toEqual(['k1', 'foreign-1']);
    expect(world.record).toMatchObject({ history: [{ state: 'finished', kid: 'k1', replaces: null }] });
  });

  it('by overlap on a server that takes the first key only is rolled back', () => {
    const world = story(managedRecord(), POLICY, 'first');
    expect(world.record).toMatchObject({ history: [{ state: 'rolled_back' }], rotation: null, retiring: [] });
    expect(world.server.keys.map(({ kid }) => kid)).toEqual(['a']);
    expect(told(world).filter((type) => type.endsWith('revert'))).toEqual([
      'key.publishing revert',
      'key.published revert',
    ]);
  });
});

const ALG = { token_endpoint_auth_signing_alg: 'ES256' };
const onlyB = { jwks: { keys: [published('b')] }, ...ALG };

/** The record as it is when the answer to a PATCH comes in. */
function sent(record: ClientRecord): ClientRecord {
  const document = desiredDocument(record, POLICY) ?? { ...ALG };
  return announced(record, document, 'cut_over', START + 10_000).record;
}

function answer(record: ClientRecord, outcome: PatchOutcome, at = START): Change {
  return patched(record, record.inFlight?.document ?? { ...ALG }, outcome, 12.3, contextAt(at));
}

const UNKNOWN: PatchOutcome = { class: 'unknown', status: 502, message: 'upstream' };
const REFUSED: PatchOutcome = { class: 'refused', status: 400, message: 'no' };
const NOT_FOUND: PatchOutcome = { class: 'refused', status: 404, message: 'gone' };
const CREDENTIAL: PatchOutcome = { class: 'credential', status: 401, message: 'who?' };
const THROTTLED: PatchOutcome = { class: 'throttled', status: 429, message: 'slow', retryAfterMs: 60_000 };
const done = (...kids: readonly string[]): PatchOutcome => ({
  class: 'done',
  status: 200,
  client: client({ keys: kids.map((kid) => published(kid)) }),
});

describe('the answer to a PATCH', () => {
  const record = sent(rotating('cutover', 'delivered'));

  it('done: the new key stands', () => {
    const change = answer(record, done('b'));
    expect(change.record).toMatchObject({
      rotation: { phase: { name: 'cut_over', kid: 'b' } },
      inFlight: null,
      published: onlyB,
    });
    expect(change.entries).toMatchObject([
      { type: 'key.published', data: { purpose: 'cut_over', kids: ['b'], status: 200, duration_ms: 12 } },
    ]);
  });

  it('done, but with another document: read again, and the second time a person has to look', () => {
    const first = answer(record, done('x'));
    expect(first.record).toMatchObject({ conflicts: 1, halted: null, rotation: { phase: { name: 'delivered' } } });
    expect(plan(first.record, POLICY, START)).toEqual({ do: 'observe' });
    const second = answer(sent(first.record), done('x'));
    expect(second.record.halted).toMatch(/differs from what was sent/);
    expect(typesOf(second)).toEqual(['client.halted', 'rotation.failed']);
    const resumed = request({ ...second.record, inFlight: null }, asked('r2'), POLICY, START).record;
    expect(plan(resumed, POLICY, START)).toEqual({ do: 'observe' });
  });

  it('refused: the rotation fails, and its key is thrown away', () => {
    const change = answer(record, REFUSED);
    expect(change.record).toMatchObject({
      rotation: null,
      retiring: [{ kind: 'discard', kid: 'b' }],
      history: [{ state: 'failed', error: 'the server refused the PATCH (400): no' }],
    });
    expect(typesOf(change)).toEqual(['rotation.failed']);
  });

  it.each<[string, ClientRecord]>([
    ['an earlier one may have arrived', sent(answer(record, UNKNOWN).record)],
    ['an earlier one was sent by a worker that died', sent(record)],
    ['an earlier one was answered with another document', sent(answer(record, done('x')).record)],
    [
      'the new key is seen to be published',
      sent(rotating('cutover', 'delivered', { observed: { client: client({ keys: [published('b')] }), at: START } })),
    ],
    ['the new key is in the set that we serve', sent(rotating('cutover', 'delivered', {}, { format: 'jwks_uri' }))],
  ])('refused, while %s: the way back is taken', (_, earlier) => {
    const change = answer(earlier, REFUSED);
    expect(change.record).toMatchObject({ rotation: { phase: { name: 'reverting', kid: 'b' } }, retiring: [] });
  });

  it('refused on the way back: a person has to look', () => {
    const change = answer(sent(rotating('cutover', 'reverting')), REFUSED);
    expect(change.record).toMatchObject({ halted: 'the server refused the PATCH (400): no', rotation: { id: 'r1' } });
  });

  it('refused while an old key is withdrawn: tried again later', () => {
    const change = answer(sent(retiringRecord(retirement('overlap', 'withdrawing'))), REFUSED);
    expect(change.record).toMatchObject({ halted: null, attempts: 1, retiring: [{ phase: 'withdrawing' }] });
  });

  it('not found: a person has to look', () => {
    const change = answer(sent(retiringRecord(retirement('overlap', 'withdrawing'))), NOT_FOUND);
    expect(change.record.halted).toMatch(/404/);
  });

  it('credential and throttled cost no attempt', () => {
    expect(answer(record, CREDENTIAL).record).toMatchObject({
      attempts: 0,
      inFlight: null,
      notBefore: 0,
      lastError: 'who?',
    });
    expect(answer(record, THROTTLED).record).toMatchObject({ attempts: 0, inFlight: null, notBefore: START + 60_000 });
  });

  it('unknown: the same bytes again, after a while', () => {
    const { record: next } = answer(record, UNKNOWN);
    expect(next).toMatchObject({ attempts: 1, inFlight: record.inFlight, notBefore: START + 500 });
    expect(plan(next, POLICY, START + 500)).toEqual({ do: 'patch', document: onlyB, purpose: 'cut_over' });
  });

  it.each<[string, PatchOutcome]>([
    ['done', done('b')],
    ['throttled', THROTTLED],
    ['credential', CREDENTIAL],
  ])('%s: one with the same bytes that was sent before may still arrive', (_, outcome) => {
    const again = sent(answer(record, UNKNOWN).record);
    expect(answer(again, outcome).record.inFlight).toEqual(again.inFlight);
  });
});

it('a set that is about to be written is not known until it is', () => {
  const record: ClientRecord = { ...managedRecord(), served: [servedKey('a')] };
  const { record: next, entries } = servingAnnounced(record, 'publish');
  expect(next.served).toBeNull();
  expect(entries).toMatchObject([{ type: 'key.publishing', data: { kids: ['a'], served: true } }]);
});

describe('handing keys to signers', () => {
  it('the proven key becomes the active one when they hold it', () => {
    const record = rotating('cutover', 'proven');
    const change = delivered(record, { current: 'b', next: null, previous: 'a' }, contextAt(START + MINUTE));
    expect(change.record).toMatchObject({
      rotation: null,
      format: 'jwks',
      keys: [
        { kid: 'a', state: 'deactivated' },
        { kid: 'b', state: 'active', activatedAt: START + MINUTE },
      ],
      retiring: [{ kind: 'cutover', kid: 'a', rotation: 'r1', phase: 'waiting', until: START + 11 * MINUTE }],
      history: [{ state: 'active', kid: 'b', activeAt: START + MINUTE }],
    });
    expect(typesOf(change)).toEqual(['key.delivered', 'key.activated', 'key.deactivated']);
  });

  it('after a compromise nothing is waited for', () => {
    const record = rotating('cutover', 'proven', {}, { compromised: { kid: null } });
    const change = delivered(record, { current: 'b', next: null, previous: 'a' }, CONTEXT);
    expect(change.record).toMatchObject({ keys: [{ state: 'compromised' }, {}], retiring: [{ until: START }] });
    expect(typesOf(change)).toContain('key.compromised');
  });

  it('a first key that cuts over has nothing to leave behind', () => {
    const record = rotating('cutover', 'proven', { keys: [key('b', 'pre-active')] });
    const change = delivered(record, { current: 'b', next: null, previous: null }, CONTEXT);
    expect(change.record).toMatchObject({ retiring: [], history: [{ state: 'finished' }] });
    expect(typesOf(change)).toContain('rotation.completed');
  });

  it('a key that they go without is told, and not tried again and again', () => {
    const record = rotating('cutover', 'stored', {}, { compromised: { kid: null } });
    const delivery = { current: 'a', next: 'b', previous: null };
    const change = delivered(record, delivery, CONTEXT, [{ kid: 'a', why: 'gone' }]);
    expect(change.record).toMatchObject({ delivered: delivery, rotation: { phase: { name: 'delivered' } } });
    expect(change.entries).toMatchObject([
      { type: 'key.delivered', data: { current: null, next: 'b', left_out: ['a'], error: 'gone' } },
    ]);
  });

  it('what some sinks hold after a failure is not known', () => {
    const { record } = notDelivered(rotating('overlap', 'stored'), 'disk full', CONTEXT);
    expect(record).toMatchObject({ delivered: null, attempts: 1, lastError: 'disk full' });
  });
});

describe('a step that fails again and again', () => {
  const exhausted = { attempts: POLICY.attempts - 1 };
  const lost = { ...exhausted, inFlight: { document: onlyB, deadline: START, again: false } };

  it.each<[string, ClientRecord, object]>([
    [
      'before a key is made fails',
      rotating('cutover', 'requested', exhausted),
      { rotation: null, history: [{ state: 'failed' }], retiring: [] },
    ],
    [
      'before it is published throws the key away',
      rotating('cutover', 'stored', exhausted),
      { rotation: null, retiring: [{ kind: 'discard', kid: 'b' }] },
    ],
    [
      'before a PATCH was sent throws it away as well',
      rotating('cutover', 'delivered', exhausted),
      { rotation: null, retiring: [{ kind: 'discard' }] },
    ],
    [
      'after a PATCH was sent turns back',
      rotating('cutover', 'delivered', lost),
      { rotation: { phase: { name: 'reverting' } }, attempts: 0 },
    ],
    [
      'once it is published turns back',
      rotating('overlap', 'published', exhausted),
      { rotation: { phase: { name: 'reverting' } } },
    ],
    [
      'once it is proven is tried on',
      rotating('overlap', 'proven', exhausted),
      { rotation: { phase: { name: 'proven' } }, attempts: POLICY.attempts },
    ],
    [
      'on the way back is tried on',
      rotating('overlap', 'reverting', exhausted),
      { rotation: { phase: { name: 'reverting' } }, attempts: POLICY.attempts },
    ],
    ['without a rotation is tried on', { ...managedRecord(), attempts: 50 }, { attempts: 51, halted: null }],
  ])('%s', (_, record, next) => {
    expect(tryAgain(record, CONTEXT, 'no luck').record).toMatchObject(next);
  });

  it.each(['requested', 'stored', 'delivered', 'cut_over', 'proven'] as const)(
    'after a compromise is tried on while it is %s, and says so once its attempts are used up',
    (phase) => {
      const inFlight = phase === 'delivered' ? lost.inFlight : null;
      let next = rotating('cutover', phase, { inFlight }, { compromised: { kid: 'a' } });
      for (let time = 1; time <= 20; time += 1) {
        const change = tryAgain(next, CONTEXT, 'no luck');
        expect(change.entries).toEqual([]);
        next = change.record;
        const isUsedUp = time >= POLICY.attempts;
        expect(next).toMatchObject({
          attempts: time,
          halted: null,
          rotation: { phase: { name: phase } },
          retiring: [],
        });
        expect(next.lastError).toMatch(isUsedUp ? /attempts are used up.*no luck$/ : /^no luck$/);
      }
      expect(next.notBefore - START).toBe(POLICY.backoff.maxMs / 2);
    },
  );

  it('after a compromise is given up where the server said no as often', () => {
    const compromised = { compromised: { kid: 'a' } };
    const told = { rotation: null, history: [{ state: 'failed' }] };
    const refuse = (record: ClientRecord) => bearRefusal(record, CONTEXT, 'no such app').record;
    expect(refuse(rotating('cutover', 'delivered', exhausted, compromised))).toMatchObject(told);
    const outlasted = rotating('cutover', 'delivered', { attempts: 50 }, compromised);
    expect(refuse(outlasted)).toMatchObject({ attempts: 1, rotation: { phase: { name: 'delivered' } } });
  });

  it('waits longer each time, up to the most', () => {
    const waits = [0, 1, 2, 3, 10].map((attempts) => {
      const record: ClientRecord = { ...managedRecord(), attempts };
      return tryAgain(record, CONTEXT, 'no luck').record.notBefore - START;
    });
    expect(waits).toEqual([500, 1_000, 2_000, 4_000, 30_000]);
  });
});

describe('the end of a key', () => {
  it('is the end of the rotation that replaced it', () => {
    const old = retirement('cutover', 'refused');
    const change = destroyed(retiringRecord(old), old, CONTEXT);
    expect(stateOf(change.record, 'a')).toBe('destroyed');
    expect(typesOf(change)).toEqual(['key.destroyed', 'rotation.completed']);
    expect(change.entries[0]).toMatchObject({
      rotation: 'r0',
      data: { kid: 'a', from: 'deactivated', to: 'destroyed' },
    });
  });

  it('that never was active ends nothing', () => {
    const old = { kind: 'discard', kid: 'a', rotation: 'r0' } as const;
    const change = destroyed(retiringRecord(old), old, CONTEXT);
    expect(change.record).toMatchObject({ retiring: [], keys: [{ state: 'destroyed', destroyedAt: START }, {}] });
    expect(typesOf(change)).toEqual(['key.destroyed']);
  });

  it('of others, which was not ours to destroy, ends the rotation all the same', () => {
    const old = retirement('overlap', 'refused', { kid: null });
    const change = destroyed(retiringRecord(old), old, CONTEXT);
    expect(stateOf(change.record, 'a')).toBe('deactivated');
    expect(typesOf(change)).toEqual(['rotation.completed']);
  });

  it('is remembered for ten keys', () => {
    const graves = Array.from({ length: 12 }, (_, index) => key(`old-${index}`, 'destroyed'));
    const old = retirement('cutover', 'refused');
    const record = retiringRecord(old);
    const { keys } = destroyed({ ...record, keys: [...graves, ...record.keys] }, old, CONTEXT).record;
    expect(keys.map(({ kid }) => kid)).toEqual([...graves.slice(3).map(({ kid }) => kid), 'a', 'b']);
  });

  it('is remembered for as long as the server shows it', () => {
    // A set beside a `jwks_uri` stays as it was when the client moved there.
    const shown = client({ keys: [published('old-0')], jwksUri: SERVED_URI });
    const graves = Array.from({ length: 12 }, (_, index) => key(`old-${index}`, 'destroyed'));
    const old = retirement('cutover', 'refused');
    const record = retiringRecord(old, { observed: { client: shown, at: START } });
    const { keys } = destroyed({ ...record, keys: [...graves, ...record.keys] }, old, CONTEXT).record;
    expect(keys.map(({ kid }) => kid)).toContain('old-0');
    expect(keys.map(({ kid }) => kid)).not.toContain('old-1');
  });
});

describe('the document stands', () => {
  it('an old key is withdrawn with it', () => {
    const { record } = settled(retiringRecord(retirement('overlap', 'withdrawing')), CONTEXT);
    expect(record).toMatchObject({ retiring: [{ phase: 'withdrawn' }], published: onlyB });
  });

  it('on the way back the rotation is over, and its key is thrown away', () => {
    const change = settled(rotating('cutover', 'reverting', { served: [servedKey('b')] }), CONTEXT);
    expect(change.record).toMatchObject({
      rotation: null,
      retiring: [{ kind: 'discard', kid: 'b' }],
      history: [{ state: 'rolled_back', error: 'the proof failed', endedAt: START }],
    });
    expect(typesOf(change)).toEqual(['key.published', 'rotation.rolled_back']);
  });

  it('also when it is a set that we serve', () => {
    const record = rotating(
      'overlap',
      'delivered',
      { served: [servedKey('a'), servedKey('b')] },
      { format: 'jwks_uri' },
    );
    expect(settled(record, CONTEXT).record).toMatchObject({
      published: { jwks_uri: SERVED_URI },
      rotation: { phase: { name: 'published' } },
    });
  });
});
