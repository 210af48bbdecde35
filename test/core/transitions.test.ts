import { describe, expect, it } from 'vitest';
import { adopt, imported, observed } from '../../src/core/adopt.ts';
import { request } from '../../src/core/begin.ts';
import type { Change } from '../../src/core/change.ts';
import { desiredDocument } from '../../src/core/desired.ts';
import { bearRefusal, destroyed, fail, tryAgain } from '../../src/core/ending.ts';
import { FRESH_MS, plan } from '../../src/core/plan.ts';
import {
  announced,
  delivered,
  notDelivered,
  type PatchOutcome,
  patched,
  servingAnnounced,
  settled,
} from '../../src/core/progress.ts';
import type { Verdict } from '../../src/core/proof.ts';
import { proved, takenUnproven, unprovable } from '../../src/core/proving.ts';
import type { ClientRecord, Rotation } from '../../src/core/record.ts';
import {
  adoptedRecord,
  asked,
  client,
  contextAt,
  key,
  MINUTE,
  managedRecord,
  material,
  OPERATOR,
  POLICY,
  published,
  publishedPem,
  REF,
  retirement,
  retiringRecord,
  rotating,
  SERVED_URI,
  START,
  servedKey,
} from './support.ts';
import { play } from './worker.ts';
import { World } from './world.ts';

const CONTEXT = contextAt(START);
const typesOf = ({ entries }: Change) => entries.map(({ type }) => type);
const stateOf = (record: ClientRecord, kid: string) => record.keys.findLast((found) => found.kid === kid)?.state;

describe('taking a client in', () => {
  it('keeps all of its keys as keys of others', () => {
    const change = adopt(REF, client(), OPERATOR, START);
    expect(change.record).toMatchObject({ keys: [], foreign: [published('foreign-1')], published: null, format: null });
    expect(change.entries).toMatchObject([
      { type: 'client.adopted', actor: 'operator', data: { alg: 'ES256', keys: 1 } },
    ]);
  });

  it('tells keys of others from ours when it looks again', () => {
    const seen = client({ keys: [published('a'), published('x'), publishedPem('a')] });
    const change = observed(managedRecord(), seen, POLICY, START + 1);
    expect(change.record).toMatchObject({ foreign: [published('x')], observed: { client: seen, at: START + 1 } });
    expect(change.entries).toEqual([]);
  });

  it('reports a drift once', () => {
    const record: ClientRecord = { ...managedRecord(), published: desiredDocument(managedRecord(), POLICY) };
    const first = observed(record, client({ keys: [] }), POLICY, START);
    expect(typesOf(first)).toEqual(['client.drifted']);
    expect(typesOf(observed(first.record, client({ keys: [] }), POLICY, START))).toEqual([]);
  });

  it('does not take a missing client for one without keys', () => {
    const { record } = observed(managedRecord(), null, POLICY, START);
    expect(record.observed.client).toMatchObject({ active: false, keys: [published('a')] });
  });

  it.each(['requested', 'stored', 'delivered'] as const)(
    'leads the way back of a rotation that is %s to what stands now',
    (phase) => {
      const seen = client({ keys: [published('a')], alg: 'ES384' });
      const early = rotating('cutover', phase, {}, { before: client({ keys: [published('a'), published('gone')] }) });
      expect(observed(early, seen, POLICY, START + 1).record.rotation?.before).toEqual(seen);
    },
  );

  it.each<[string, ClientRecord]>([
    [
      'something was sent',
      rotating('cutover', 'delivered', { inFlight: { document: { ...ALG }, deadline: START, again: false } }),
    ],
    ['an answer differed', rotating('cutover', 'delivered', { conflicts: 1 })],
    ['the new key is published', rotating('overlap', 'published')],
    ['it goes back', rotating('overlap', 'reverting')],
    ['a key may have leaked', rotating('cutover', 'delivered', {}, { compromised: { kid: null } })],
  ])('leaves the way back alone once %s', (_, record) => {
    const seen = client({ keys: [published('b')], alg: 'ES384' });
    const first = observed(record, seen, POLICY, START + 2 * FRESH_MS).record;
    const again = observed(first, seen, POLICY, START + 3 * FRESH_MS).record;
    expect(first.rotation?.before).toEqual(record.rotation?.before);
    expect(again.rotation?.before).toEqual(record.rotation?.before);
  });

  it('knows what came of a lost PATCH from a list that was read after its deadline', () => {
    const record: ClientRecord = {
      ...managedRecord(),
      inFlight: { document: { ...ALG }, deadline: START, again: false },
    };
    expect(observed(record, client(), POLICY, START + FRESH_MS - 1).record.inFlight).not.toBeNull();
    expect(observed(record, client(), POLICY, START + FRESH_MS).record.inFlight).toBeNull();
  });
});

describe('importing the key that a client signs with', () => {
  const { kid: _, ...own } = material('own');
  const take = (record: ClientRecord) => imported(record, own, POLICY, OPERATOR, START);

  it.each([
    ['the kid it is published under', [{ ...published('own'), kid: 'kept' }, published('x')], 'kept', 'jwks'],
    ['its thumbprint when it is published without one', [material('own').jwk], 'own', 'jwks'],
    ['its thumbprint when it is published as a PEM', [publishedPem('own')], 'own', 'pem'],
  ] as const)('names it by %s', (_, keys, kid, format) => {
    const { record, entries } = take(adoptedRecord(client({ keys })));
    expect(record.keys).toMatchObject([{ kid, thumbprint: 'own', state: 'active' }]);
    expect(record).toMatchObject({ format, foreign: keys.slice(1), published: null });
    expect(entries).toMatchObject([{ type: 'key.imported', data: { kid, thumbprint: 'own' } }]);
    expect(plan(record, POLICY, START)).toMatchObject({ do: 'deliver', delivery: { current: kid } });
  });

  it('believes a client whose keys stand elsewhere', () => {
    const { record } = take(adoptedRecord(client({ keys: [], jwksUri: 'https://customer.example.com/jwks' })));
    expect(record).toMatchObject({ format: 'jwks_uri', keys: [{ kid: 'own' }] });
  });

  it.each([
    ['nobody signs in with', adoptedRecord()],
    ['would replace a managed one', managedRecord()],
    [
      'comes in the middle of a rotation',
      request(adoptedRecord(client({ keys: [published('own')] })), asked('r1'), POLICY, START).record,
    ],
  ])('refuses a key that %s', (_, record) => {
    expect(() => take(record)).toThrow(expect.objectContaining({ code: 'key_invalid' }));
  });
});

describe('asking for a rotation', () => {
  it('a hundred times is one rotation', () => {
    let record = managedRecord();
    const ids = new Set<string>();
    for (let time = 0; time < 100; time += 1) {
      const started = request(record, asked(`r${time}`), POLICY, START);
      expect(typesOf(started)).toEqual(['rotation.requested', ...(time === 0 ? ['rotation.started'] : [])]);
      if (time > 0) expect(started.record).toBe(record);
      ids.add(started.rotation);
      record = started.record;
    }
    expect([...ids]).toEqual(['r0']);
    expect(record.history).toMatchObject([{ id: 'r0', state: 'running', replaces: 'a' }]);
  });

  it('with the id of one that ended is answered with that one', () => {
    const { record } = request(managedRecord(), asked('r1'), POLICY, START);
    const ended: ClientRecord = { ...record, rotation: null };
    expect(request(ended, asked('r1'), POLICY, START)).toEqual({ record: ended, entries: [], rotation: 'r1' });
  });

  it('is told in the words of whoever asked, also where a rotation is under way', () => {
    const other = { ...asked('r2'), actor: 'siem', reason: 'key found in a log', request: 'job-9' };
    const told = { type: 'rotation.requested', rotation: 'r1', actor: 'siem', reason: 'key found in a log' };
    const under = rotating('cutover', 'cut_over');
    expect(request(under, other, POLICY, START).entries).toMatchObject([
      { ...told, data: { request: 'job-9', compromised: false, joins: 'r1' } },
    ]);
    expect(request({ ...under, halted: 'look' }, other, POLICY, START).entries).toMatchObject([told]);
    expect(request(under, { ...other, compromised: { kid: 'b' } }, POLICY, START).entries).toMatchObject([
      { ...told, data: { request: 'job-9', compromised: true, kid: 'b', escalates: 'r1' } },
      { ...told, type: 'key.compromised', data: { kid: 'b', from: 'pre-active', to: 'compromised' } },
    ]);
  });

  it('takes a halted client up again where it stood', () => {
    const halted = rotating('cutover', 'cut_over', {
      halted: 'look',
      conflicts: 2,
      attempts: 3,
      notBefore: START + MINUTE,
    });
    const { record, rotation } = request(halted, asked('r2'), POLICY, START);
    expect(rotation).toBe('r1');
    expect(record).toMatchObject({ halted: null, conflicts: 0, attempts: 0, notBefore: 0, rotation: halted.rotation });
  });

  it.each<[string, Partial<typeof POLICY>, Partial<ClientRecord>, Rotation['strategy']]>([
    ['a server that is said to take several keys', {}, {}, 'overlap'],
    ['a server of which nothing is known', { strategy: 'auto' }, {}, 'cutover'],
    ['a server that takes one key', { strategy: 'cutover' }, {}, 'cutover'],
    ['a single PEM, which holds one key', { format: 'pem' }, {}, 'cutover'],
    ['leaving a single PEM behind', {}, { format: 'pem' }, 'cutover'],
    ['a set that we serve', { format: 'jwks_uri' }, {}, 'overlap'],
  ])('chooses for %s', (_, policy, change, strategy) => {
    const { record } = request({ ...managedRecord(), ...change }, asked('r1'), { ...POLICY, ...policy }, START);
    expect(record.rotation?.strategy).toBe(strategy);
  });
});

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

describe('the proof of a new key', () => {
  const refused: Verdict = { verdict: 'refused', status: 400, message: 'InvalidSignature', claims: false };
  const unknown: Verdict = { verdict: 'unknown', status: 503, message: 'later' };
  const prove = (record: ClientRecord, verdict: Verdict) => proved(record, 'b', 'accepted', verdict, CONTEXT);

  /** How often a verdict is borne before the rotation turns back or halts. */
  function borne(record: ClientRecord, verdict: Verdict): { times: number; record: ClientRecord } {
    let next = record;
    for (let times = 1; times < 100; times += 1) {
      next = prove(next, verdict).record;
      if (next.halted !== null || next.rotation?.phase.name === 'reverting') return { times, record: next };
    }
    throw new Error('it is borne for ever');
  }

  it('accepted', () => {
    const change = prove(rotating('overlap', 'published'), { verdict: 'accepted' });
    expect(change.record).toMatchObject({ rotation: { phase: { name: 'proven', kid: 'b' } } });
    expect(change.record.keys[1]).toMatchObject({ proof: 'accepted', state: 'pre-active' });
    expect(change.entries).toMatchObject([{ type: 'key.proven', data: { kid: 'b', expected: 'accepted' } }]);
  });

  it('taken as read back tells so, and tells the audit trail of no proof', () => {
    const change = takenUnproven(rotating('overlap', 'published'), 'b', 'accepted');
    expect(change.record.keys[1]).toMatchObject({ proof: 'read_back' });
    expect(change.entries).toEqual([]);
  });

  it.each<[string, ClientRecord, Verdict, number]>([
    ['refused after a cutover turns back at once', rotating('cutover', 'cut_over'), refused, 1],
    ['refused in an overlap may be a cache', rotating('overlap', 'published'), refused, 3],
    ['without a result is asked for again', rotating('cutover', 'cut_over'), unknown, POLICY.attempts],
  ])('%s', (_, record, verdict, times) => {
    const end = borne(record, verdict);
    expect(end).toMatchObject({ times, record: { halted: null, retiring: [] } });
  });

  it('refused after a compromise is never a way back', () => {
    const record = rotating('cutover', 'cut_over', {}, { compromised: { kid: 'a' } });
    const end = borne(record, refused);
    expect(end.times).toBe(POLICY.attempts);
    expect(end.record).toMatchObject({ rotation: { phase: { name: 'cut_over' } } });
    expect(end.record.halted).toMatch(/refuses the new key b/);
  });

  it('refused after a compromise, when it had no result for long, is borne as often as at any time', () => {
    let record = rotating('cutover', 'cut_over', {}, { compromised: { kid: 'a' } });
    for (let time = 0; time < 20; time += 1) record = prove(record, unknown).record;
    expect(record).toMatchObject({ halted: null, rotation: { phase: { name: 'cut_over' } } });
    expect(borne(record, refused).times).toBe(POLICY.attempts);
  });

  it('throttled costs no attempt', () => {
    const change = prove(rotating('cutover', 'cut_over'), {
      verdict: 'throttled',
      retryAfterMs: 5_000,
      message: 'slow',
    });
    expect(change.record).toMatchObject({ attempts: 0, notBefore: START + 5_000 });
  });
});

describe('the proof that an old key is refused', () => {
  const record = retiringRecord(retirement('overlap', 'withdrawn'));
  const prove = (from: ClientRecord, verdict: Verdict) => proved(from, 'a', 'refused', verdict, CONTEXT);
  const vague: Verdict = { verdict: 'refused', status: 401, message: 'invalid_client', claims: true };

  it('by its signature is believed', () => {
    const change = prove(record, { ...vague, claims: false });
    expect(change.record).toMatchObject({ retiring: [{ phase: 'refused' }] });
    expect(change.entries).toMatchObject([
      { type: 'key.proven', rotation: 'r0', data: { kid: 'a', expected: 'refused' } },
    ]);
  });

  it('in words that fit any reason is believed the third time', () => {
    const second = prove(prove(record, vague).record, vague);
    expect(second.record).toMatchObject({ retiring: [{ phase: 'withdrawn' }], attempts: 2 });
    expect(prove(second.record, vague).record).toMatchObject({ retiring: [{ phase: 'refused' }], attempts: 0 });
  });

  it.each<[string, Verdict]>([
    ['still accepted', { verdict: 'accepted' }],
    ['not known', { verdict: 'unknown', status: null, message: 'no answer' }],
  ])('%s: asked again for as long as it takes, and no rotation under way is given up for it', (_, verdict) => {
    let next: ClientRecord = { ...rotating('overlap', 'published'), retiring: record.retiring };
    for (let time = 0; time < 20; time += 1) next = prove(next, verdict).record;
    expect(next).toMatchObject({
      attempts: 20,
      rotation: { phase: { name: 'published' } },
      retiring: [{ phase: 'withdrawn' }],
    });
  });
});

describe('an old key that cannot be opened', () => {
  const prove = (from: ClientRecord) => unprovable(from, 'a', 'its KEK is missing', CONTEXT);

  it('is asked for again first, since a KEK may come back', () => {
    const { record, entries } = prove(retiringRecord(retirement('overlap', 'withdrawn')));
    expect(record).toMatchObject({ retiring: [{ phase: 'withdrawn' }], attempts: 1, lastError: 'its KEK is missing' });
    expect(entries).toEqual([]);
  });

  it('is then taken for refused, and the audit trail says that this was not seen', () => {
    const exhausted = { attempts: POLICY.attempts - 1 };
    const { record, entries } = prove(retiringRecord(retirement('overlap', 'withdrawn'), exhausted));
    expect(record).toMatchObject({ retiring: [{ phase: 'refused' }], attempts: 0, lastError: null });
    expect(entries).toMatchObject([
      { type: 'key.proven', rotation: 'r0', data: { kid: 'a', verdict: 'unknown', error: 'its KEK is missing' } },
    ]);
  });
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

describe('a compromised key', () => {
  const compromise = (record: ClientRecord, kid: string | null, id = 'c1') =>
    request(record, asked(id, { kid }), POLICY, START);

  it('is replaced by a cutover at once', () => {
    const { record, entries } = compromise(managedRecord(), null);
    expect(record.rotation).toMatchObject({ strategy: 'cutover', compromised: { kid: null } });
    expect(entries[0]).toMatchObject({ type: 'rotation.requested', data: { compromised: true } });
  });

  it.each<[Rotation['phase']['name'], Rotation['phase']['name']]>([
    ['requested', 'requested'],
    ['stored', 'stored'],
    ['delivered', 'delivered'],
    ['published', 'delivered'],
    ['proven', 'delivered'],
  ])('turns an overlap that is %s into a cutover that is %s', (from, to) => {
    const { record, rotation } = compromise(rotating('overlap', from), 'a');
    expect(rotation).toBe('r1');
    expect(record).toMatchObject({
      rotation: { strategy: 'cutover', phase: { name: to }, compromised: { kid: 'a' } },
      retiring: [],
    });
  });

  it.each<[string, ClientRecord, string | null]>([
    ['that is named itself', rotating('cutover', 'cut_over'), 'b'],
    ['that signers may be using already', rotating('overlap', 'proven'), null],
    ['that is being taken back', rotating('cutover', 'reverting'), 'a'],
    ['that got the client halted', rotating('cutover', 'cut_over', { halted: 'look' }), 'a'],
  ])('throws away a new key %s, for another', (_, from, kid) => {
    const { record } = compromise(from, kid);
    expect(record).toMatchObject({
      halted: null,
      rotation: { phase: { name: 'requested' } },
      retiring: [{ kind: 'discard', kid: 'b', rotation: 'r1' }],
    });
    expect(plan(record, POLICY, START)).toMatchObject({ do: 'generate' });
  });

  it.each([['b'], [null]])('that a cutover has proven is the one in use, and replaced like one (%s)', (kid) => {
    const { record, entries, rotation } = compromise(rotating('cutover', 'proven'), kid);
    expect(rotation).toBe('c1');
    expect(stateOf(record, 'b')).toBe('active');
    expect(record).toMatchObject({
      rotation: { id: 'c1', compromised: { kid }, phase: { name: 'requested' } },
      retiring: [{ kind: 'cutover', kid: 'a', rotation: 'r1' }],
    });
    expect(entries.map(({ type }) => type)).toEqual([
      'key.activated',
      'key.deactivated',
      'rotation.requested',
      'rotation.started',
    ]);
  });

  it('that is reported a second time is not the new one', () => {
    const under = rotating('cutover', 'proven', {}, { compromised: { kid: null } });
    const { record, rotation } = compromise(under, null);
    expect(rotation).toBe('r1');
    expect(record.rotation?.phase).toEqual(under.rotation?.phase);
  });

  it('that was thrown away may still be published: when no other takes its place, a person has to look', () => {
    const { record } = compromise(rotating('cutover', 'cut_over'), 'b');
    if (record.rotation === null) throw new Error('there should be a rotation');
    expect(fail(record, record.rotation, 'no luck', CONTEXT).record).toMatchObject({
      halted: 'no luck',
      retiring: [{ kid: 'b' }],
    });
  });

  it('that is on its way out already has to hurry', () => {
    const { record, entries, rotation } = compromise(retiringRecord(retirement('overlap', 'waiting')), 'a');
    expect(rotation).toBe('r0');
    expect(record).toMatchObject({ rotation: null, retiring: [{ until: START }] });
    expect(stateOf(record, 'a')).toBe('compromised');
    expect(entries).toMatchObject([
      { type: 'rotation.requested', data: { compromised: true, kid: 'a', joins: 'r0' } },
      { type: 'key.compromised', data: { from: 'deactivated', to: 'compromised' } },
    ]);
    expect(typesOf(compromise(record, 'a', 'c2'))).toEqual(['rotation.requested']);
  });

  it('of others can be named', () => {
    expect(compromise(adoptedRecord(), 'foreign-1').record.rotation).toMatchObject({
      compromised: { kid: 'foreign-1' },
    });
  });

  it('that nobody knows is an error', () => {
    expect(() => compromise(managedRecord(), 'who')).toThrow(expect.objectContaining({ code: 'not_found' }));
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
