/** Which keys could sign in at a time, from the entries of rotations that the core went through. */
import { describe, expect, it } from 'vitest';
import type { AuditDraft, AuditEntry } from '../../src/core/audit.ts';
import { found, imported } from '../../src/core/enrolment.ts';
import { shortfalls } from '../../src/core/key-coverage.ts';
import { KeyTimes } from '../../src/core/key-times.ts';
import type { ClientPolicy } from '../../src/core/policy.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { released } from '../../src/core/release.ts';
import { request } from '../../src/core/request.ts';
import { rollback } from '../../src/core/rollback.ts';
import type { Transition } from '../../src/core/transition.ts';
import { GOOD_LUCK, type Luck } from './luck.ts';
import {
  asked,
  client,
  enrolledRecord,
  foundRecord,
  heldRecord,
  idOf,
  MINUTE,
  OPERATOR,
  POLICY,
  published,
  publishedPem,
  REF,
  START,
} from './support.ts';
import { play, take } from './worker.ts';
import { type ServerMode, World } from './world.ts';

/** A client whose log is kept. Each entry has a time of its own: the one with number n is n seconds after the start. */
class Told {
  readonly world: World;
  readonly entries: AuditEntry[] = [];
  readonly #policy: ClientPolicy;
  #taken = 0;

  constructor(policy: Partial<ClientPolicy> = {}, mode: ServerMode = 'kid', record: ClientRecord = enrolledRecord()) {
    this.#policy = { ...POLICY, ...policy };
    const first = found(REF, record.server.observed.client, OPERATOR, START);
    this.#add(first.entries);
    for (const { kid: _, ...key } of record.keys) {
      this.#add(imported(first.record, key, OPERATOR, START, 'accepted').entries);
    }
    this.world = new World(mode, record, ({ audit }, what) => {
      if (what.startsWith('commit')) this.#add(audit.slice(this.#taken));
      this.#taken = audit.length;
    });
  }

  #add(drafts: readonly AuditDraft[]): void {
    for (const draft of drafts) {
      const seq = this.entries.length + 1;
      this.entries.push({ ...draft, seq, time: new Date(START + seq * SECOND).toISOString() });
    }
  }

  ask(id: string, compromised: Parameters<typeof asked>[1] = null): this {
    this.world.tell('asked', (record) => request(record, asked(id, compromised, true), this.#policy, this.world.now));
    return this;
  }

  tell(change: (record: ClientRecord, policy: ClientPolicy, now: number) => Transition): this {
    this.world.tell('told', (record) => change(record, this.#policy, this.world.now));
    return this;
  }

  /** Until the rotation is in that phase; null: until it has ended. */
  reach(phase: string | null): this {
    for (let turns = 0; (this.world.record.rotation?.phase.name ?? null) !== phase; turns += 1) {
      const action = take(this.world, this.#policy);
      if (action.do === 'wait') this.world.pass(action.until - this.world.now);
      if (turns > 60) throw new Error(`it does not come to ${phase}`);
    }
    return this;
  }

  /** Turns with that luck, then all that follows. */
  finish(luck: Partial<Luck> = {}, turns = 1): this {
    for (let turn = 0; turn < turns; turn += 1) take(this.world, this.#policy, { ...GOOD_LUCK, ...luck });
    play(this.world, this.#policy);
    return this;
  }
}

const SECOND = 1_000;

const afterSeq = (seq: number) => START + seq * SECOND;

function answer(entries: readonly AuditEntry[], at: number, only: string | null = null) {
  const times = new KeyTimes(at, only);
  for (const entry of entries) times.take(entry);
  return times.answer();
}

/** `kid certainty: what entries show`, for each key of that time. */
function keysAfter(entries: readonly AuditEntry[], seq: number): readonly string[] {
  const keys = answer(entries, afterSeq(seq)).clients.flatMap((one) => one.keys);
  return keys.map(
    ({ kid, certainty, entries: marks }) => `${kid} ${certainty}: ${marks.map(({ what }) => what).join(' ')}`,
  );
}

const CUTOVER = { strategy: 'cutover' } as const;
const cutover = () => new Told(CUTOVER, 'first').ask('r1').reach('delivered');
const A = 'found imported proven';
const K1 = 'sent published proven activated';
const OVER = 'refused destroyed';

const rolledBack = () =>
  new Told()
    .ask('r1')
    .reach(null)
    .tell((record, policy, now) => rollback(record, { ...OPERATOR, id: 'back' }, policy, now));
const back = (record: ClientRecord) => released(record, OPERATOR, null);

describe('the keys of a time, by the entries of', () => {
  it.each<[string, () => Told, AuditEntry['type'], string | undefined, readonly string[]]>([
    [
      'an overlap, while both are published',
      () => new Told().ask('r1').finish(),
      'key.activated',
      'k1',
      [`a proven: ${A} deactivated replacing withdrawn ${OVER}`, `k1 proven: ${K1}`],
    ],
    [
      'an overlap whose old key is withdrawn, and not refused yet',
      () => new Told().ask('r1').finish(),
      'key.published',
      undefined,
      [`a possible: ${A} deactivated replacing withdrawn ${OVER}`, `k1 proven: ${K1}`],
    ],
    ['an overlap at its end', () => new Told().ask('r1').finish(), 'key.proven', 'a', [`k1 proven: ${K1}`]],
    [
      'a cutover that was sent',
      () => cutover().finish(),
      'key.publishing',
      undefined,
      [`a possible: ${A} replacing withdrawn deactivated ${OVER}`, `k1 possible: ${K1}`],
    ],
    [
      'a cutover whose answer was lost',
      () => cutover().finish({ patch: 'applied, answer lost' }),
      'key.publishing',
      undefined,
      [`a possible: ${A} replacing withdrawn deactivated ${OVER}`, `k1 possible: ${K1}`],
    ],
    [
      'a cutover that the server refused, while that was not known',
      () => cutover().finish({ patch: 'refused' }),
      'key.publishing',
      undefined,
      [`a possible: ${A} replacing`, 'k1 possible: sent not_sent destroyed'],
    ],
    [
      'a cutover that the server refused',
      () => cutover().finish({ patch: 'refused' }),
      'rotation.failed',
      undefined,
      [`a proven: ${A} replacing`],
    ],
    [
      'a new key that signs nobody in, while it is taken back',
      () => cutover().reach('cut_over').finish({ proof: 'refused' }),
      'rotation.rolled_back',
      undefined,
      [`a proven: ${A} replacing withdrawn published`, `k1 possible: sent published replacing withdrawn ${OVER}`],
    ],
    [
      'a compromise',
      () => new Told(CUTOVER, 'first').ask('c1', { kid: null }).finish(),
      'key.compromised',
      'a',
      [`a possible: ${A} replacing withdrawn compromised ${OVER}`, `k1 proven: ${K1}`],
    ],
    [
      'a standby key, which is not published before it is needed',
      () => new Told({ ...CUTOVER, standby: true }, 'first').finish(),
      'key.delivered',
      undefined,
      [`a proven: ${A}`],
    ],
    [
      'a rollback: the previous key is in use again',
      () => rolledBack().finish(),
      'key.destroyed',
      'k1',
      [`a proven: ${A} deactivated activated`],
    ],
    [
      'a take-over beside a key that is not ours',
      () => new Told({}, 'kid', foundRecord()).ask('r1').finish(),
      'key.activated',
      'k1',
      ['foreign-1 published: found', `k1 proven: ${K1}`],
    ],
    [
      'a take-over in the place of a key that is not ours, while that is sent',
      () => new Told({ ...CUTOVER, foreignKeys: 'retire' }, 'first', foundRecord()).ask('r1').finish(),
      'key.publishing',
      undefined,
      ['foreign-1 possible: found replacing withdrawn', `k1 possible: ${K1}`],
    ],
    ['a release', () => new Told().tell(back), 'client.released', 'a', [`a proven: ${A} released`]],
    [
      'a take-over after a release',
      () => new Told(CUTOVER, 'first').tell(back).ask('r1').finish(),
      'key.proven',
      'k1',
      [`a published: ${A} released`, `k1 proven: ${K1}`],
    ],
  ])('%s', (_, play, type, kid, expected) => {
    const { entries } = play();
    const seq = entries.findLast((one) => one.type === type && (kid === undefined || one.data.kid === kid))?.seq ?? 0;
    expect(keysAfter(entries, seq)).toEqual(expected);
  });
});

it('an old key under two names could sign in until it is refused under both', () => {
  const twice = client({ keys: [published('a'), published('a', 'ES256', 'alias')] });
  const { entries } = new Told(CUTOVER, 'kid', enrolledRecord(twice)).ask('r1').finish();
  const refusals = entries.filter(({ type, data }) => type === 'key.proven' && data.expected === 'refused');
  expect(refusals.map(({ data }) => [data.name, data.left])).toEqual([
    ['a', 1],
    ['alias', 0],
  ]);
  const [first, second] = refusals.map(({ seq }) => keysAfter(entries, seq).map((text) => text.split(' ')[0]));
  expect([first, second]).toEqual([['a', 'k1'], ['k1']]);
});

describe('a PATCH that failed, by its entry:', () => {
  const sent = cutover().finish({ patch: 'refused' });
  const seq = sent.entries.find(({ type }) => type === 'key.publishing')?.seq ?? 0;
  const vanished = { ...sent.entries[0], type: 'client.drifted', data: { what: ['vanished'] } };
  const failed = (kind: string, more: readonly AuditEntry['type'][] = [], between: readonly object[] = []) => {
    const intents = sent.entries.slice(0, seq);
    const again = intents.filter(({ type }) => more.includes(type));
    const told = { ...intents.at(-1), type: 'key.publish_failed', data: { class: kind } };
    const log = [...intents, ...between, ...again, told].map((entry, index) => ({
      ...entry,
      seq: index + 1,
      time: new Date(afterSeq(index + 1)).toISOString(),
    })) as AuditEntry[]; // the type is one of a later version
    return keysAfter(log, log.length).map((text) => text.split(':')[0]);
  };

  it('the server took nothing', () => expect(failed('refused')).toEqual(['a proven']));
  it('nothing was sent', () => expect(failed('not_sent')).toEqual(['a proven']));
  it('what it did is not known', () => expect(failed('unknown')).toEqual(['a possible', 'k1 possible']));
  it('an earlier one may have arrived', () => {
    expect(failed('refused', ['key.publishing'])).toEqual(['a possible', 'k1 possible']);
  });
  it('an earlier one may have arrived, also where the client has vanished since', () => {
    expect(failed('refused', ['key.publishing'], [vanished])).toEqual(['a possible', 'k1 possible']);
  });
});

it('tells from when to when, by which entries', () => {
  const { entries } = cutover().finish();
  const numbers = Object.fromEntries(
    entries.map(({ type, data, seq }) => [
      `${type} ${data.kid ?? data.kids}`,
      { seq, time: new Date(afterSeq(seq)).toISOString() },
    ]),
  );
  const [a, k1] = answer(entries, afterSeq(numbers['key.publishing k1']?.seq ?? 0)).clients[0]?.keys ?? [];
  expect(a).toMatchObject({
    managed: true,
    possible: { from: null, until: numbers['key.proven a'] },
    published: null,
    proven: null,
  });
  expect(k1).toMatchObject({ possible: { from: numbers['key.publishing k1'], until: null }, published: null });
  const later = answer(entries, afterSeq(numbers['key.activated k1']?.seq ?? 0)).clients[0]?.keys.at(-1);
  expect(later).toMatchObject({
    possible: { from: numbers['key.publishing k1'], until: null },
    published: { from: numbers['key.published k1'], until: null },
    proven: { from: numbers['key.proven k1'], until: null },
  });
});

it('a key that is not ours, and is seen late, may have been there since its client was last seen without it', () => {
  const told = new Told();
  told.world.server.keys = [...told.world.server.keys, published('late').jwk];
  told.world.pass(MINUTE);
  const { entries } = told.ask('r1').finish();
  expect(keysAfter(entries, 2)).toEqual([expect.stringMatching(/^a proven/), 'late possible: found']);
  // The look before our PATCH has told it.
  expect(keysAfter(entries, entries.length)).toContain('late published: found');
});

const OTHER = '185019846023/mcp-auth/4712';

describe('what the export does not cover is said:', () => {
  const { entries } = new Told().ask('r1').finish();
  const last = entries.length;
  const published10 = entries.find(({ type }) => type === 'key.published')?.seq ?? 0;
  const cut = (from: number, to: number) => entries.filter(({ seq }) => seq < from || seq > to);
  const segment = {
    type: 'store.segment',
    client: null,
    rotation: null,
    actor: 'os:alice',
    reason: 'restored',
    data: {},
  } as const;

  it.each<[string, readonly AuditEntry[], number, string | null, readonly string[]]>([
    ['nothing is left out', entries, afterSeq(last), null, []],
    ['no entry', [], afterSeq(1), null, ['empty']],
    ['a time before the first entry', entries, afterSeq(0), null, ['begins_later']],
    ['a time after the last entry', entries, afterSeq(last + 1), null, ['ends_earlier']],
    ['a gap at that time', cut(5, 7), afterSeq(6), REF, ['gap', 'client']],
    ['a gap before it, and nothing of the client since', cut(5, 7), afterSeq(8), REF, ['client']],
    ['a gap before it, and all keys named since', cut(5, 7), afterSeq(published10), REF, []],
    ['the same, of all clients', cut(5, 7), afterSeq(published10), null, ['older_clients']],
    ['a gap after it', cut(published10 + 2, last - 1), afterSeq(published10), REF, []],
    ['the entries before it', cut(1, 5), afterSeq(published10), REF, []],
    ['the entries before it, of all clients', cut(1, 5), afterSeq(published10), null, ['older_clients']],
    ['a client without entries', entries, afterSeq(last), OTHER, ['client']],
    ['a client that is found later', entries, afterSeq(0.5), REF, ['begins_later']],
    [
      'a store that was lost',
      [...entries.slice(0, 6), { ...segment, seq: 7, time: new Date(afterSeq(7)).toISOString() }],
      afterSeq(6.5),
      null,
      ['gap', 'client'],
    ],
    [
      'a clock that was set back',
      entries.map((entry) => (entry.seq === 8 ? { ...entry, time: new Date(afterSeq(4)).toISOString() } : entry)),
      afterSeq(5),
      null,
      ['clock'],
    ],
    [
      'entries of an earlier version, which name no foreign keys',
      entries.map(({ data: { foreign: _, ...data }, ...entry }) => ({ ...entry, data })),
      afterSeq(last),
      REF,
      ['client'],
    ],
  ])('%s', (_, log, at, only, expected) => {
    expect(shortfalls(answer(log, at, only), at, only).map(({ code }) => code)).toEqual(expected);
  });

  it('a client that rekeyd found only later is no part of the question', () => {
    const later = {
      ...entries[0],
      client: OTHER,
      seq: last + 1,
      time: new Date(afterSeq(last + 1)).toISOString(),
    } as AuditEntry;
    const found = answer([...entries, later], afterSeq(last));
    expect(shortfalls(found, afterSeq(last), null)).toEqual([]);
    expect(found.clients.map((one) => one.client)).toEqual([REF]);
  });
});

it('a key that was found without a kid is the same one when it is imported', () => {
  const { entries } = new Told({}, 'first', heldRecord(client({ keys: [publishedPem('a')] })));
  const found = entries.filter(({ type }) => type === 'client.found').map(({ data }) => data.foreign);
  expect(found).toEqual([[idOf('a')]]);
  const [key, ...others] = answer(entries, afterSeq(2)).clients[0]?.keys ?? [];
  expect(others).toEqual([]);
  expect(key).toMatchObject({
    managed: true,
    certainty: 'proven',
    published: { from: { seq: 1 } },
    proven: { from: { seq: 2 } },
  });
});
