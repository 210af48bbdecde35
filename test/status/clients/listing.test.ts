/** Lists of clients against a naive sort of all of them, over random fleets, and page by page. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type ClientRef, makeReference } from '../../../src/core/client.ts';
import { byScope, type Pause, pauseOf, type Scope } from '../../../src/core/pause.ts';
import { CLIENT_STATES, type Standing, stateOf } from '../../../src/core/state.ts';
import type { Clients } from '../../../src/status/census/census.ts';
import { type Known, statesAt } from '../../../src/status/census/known.ts';
import { countsOf } from '../../../src/status/census/tally.ts';
import { readCursor, writeCursor } from '../../../src/status/clients/cursor.ts';
import { listed } from '../../../src/status/clients/listing.ts';
import type { Surroundings } from '../../../src/status/surroundings.ts';
import { CLIENT_CONDITIONS, CLIENT_ORDERS, type ClientQuery } from '../../../src/status/views.ts';
import { DAY, START } from '../../core/support.ts';

const NOW = START;
const GROUPS = ['a', 'b'].map((slug) => ({
  deployment: 'd',
  app: `d/${slug}`,
  policy: slug === 'a' ? 'payments' : null,
}));
const PAUSE = { scope: { app: 'd/b' }, actor: 'test', reason: 'test', at: NOW, until: null } as const;
const SEEN: Surroundings = {
  now: NOW,
  deployments: new Map([['d', { paused: null, throttledUntil: null }]]),
  pauses: new Map<string, Pause>([
    ['app d/b', PAUSE],
    ['client d/a/11', { ...PAUSE, scope: { client: makeReference('d', 'a', '11') } }],
  ]),
};

const stateNow = statesAt(SEEN);

const maybeTime = fc.option(
  fc.integer({ min: -40, max: 40 }).map((days) => NOW + days * DAY),
  { nil: null },
);

const client: fc.Arbitrary<Known> = fc.record({
  is: fc.constantFrom<Standing['is']>('halted', 'rotating', 'failed', 'found', 'held', 'settled', 'settled'),
  since: maybeTime,
  dueAt: fc.oneof(maybeTime, fc.constant(0)),
  overdueFrom: maybeTime,
  compromised: fc.boolean(),
  group: fc.constantFrom(...GROUPS),
  clientId: fc.constantFrom('Billing', 'billing-2', 'shop'),
  isEligible: fc.boolean(),
  signersMissing: fc.boolean(),
  drift: fc.constantFrom<Known['drift']>([], [], ['foreign_added']),
});

const fleet = fc.array(client, { maxLength: 40 }).map((clients): Clients => {
  const named = clients.map(
    (one, index) => [makeReference('d', one.group.app.slice(2), `${index % 7}${index}`), one] as const,
  );
  return new Map(named);
});

const query: fc.Arbitrary<ClientQuery> = fc.record({
  text: fc.constantFrom('', '', 'BILL', ' d/a/1 ', 'a key', '1'),
  state: fc.option(fc.constantFrom(...CLIENT_STATES), { nil: null, freq: 2 }),
  app: fc.constantFrom(null, null, 'd/a', 'd/none'),
  policy: fc.constantFrom(null, null, 'payments'),
  condition: fc.option(fc.constantFrom(...CLIENT_CONDITIONS), { nil: null, freq: 2 }),
  order: fc.constantFrom(...CLIENT_ORDERS),
  after: fc.constant(null),
  limit: fc.integer({ min: 1, max: 9 }),
  only: fc.constantFrom(null, null, 'd/b', 'd/a/11'),
});

/** As a person would write it down. */
function naive(
  known: Clients,
  { text, state, app, policy, condition, order, only }: ClientQuery,
  keys: Set<ClientRef>,
) {
  const part = text.trim().toLowerCase();
  const matching = [...known].filter(([ref, one]) => {
    if (only !== null && only !== ref && !ref.startsWith(`${only}/`)) return false;
    if (app !== null && !ref.startsWith(`${app}/`)) return false;
    if (policy !== null && one.group.policy !== policy) return false;
    if (condition === 'compromised' && !one.compromised) return false;
    if (condition === 'drifted' && one.drift.length === 0) return false;
    if (condition === 'signers' && !one.signersMissing) return false;
    if (condition === 'paused' && !SEEN.pauses.has(`client ${ref}`)) return false;
    if (state !== null && stateNow(ref, one) !== state) return false;
    return `${ref} ${one.clientId}`.toLowerCase().includes(part) || keys.has(ref);
  });
  const late = Number.POSITIVE_INFINITY;
  const value = ([ref, one]: readonly [ClientRef, Known]) => {
    if (order === 'urgency') return one.compromised ? -1 : CLIENT_STATES.indexOf(stateNow(ref, one));
    return order === 'name' ? 0 : order === 'age' ? (one.since ?? late) : (one.dueAt ?? late);
  };
  return matching
    .map((one) => ({ ref: one[0], value: value(one) }))
    .sort((a, b) => (a.value === b.value ? (a.ref < b.ref ? -1 : 1) : a.value < b.value ? -1 : 1))
    .map(({ ref }) => ref);
}

test('all pages together are the naive list: each client once, in order', async () => {
  const property = fc.asyncProperty(fleet, query, async (known, asked) => {
    const keys = new Set([...known.keys()].slice(0, asked.text === 'a key' ? 3 : 0));
    const expected = naive(known, asked, keys);
    const found: ClientRef[] = [];
    for (let after: string | null = null; ; ) {
      const page = await listed(known, { ...asked, after }, keys, SEEN);
      expect(page.matching).toBe(expected.length);
      expect(page.refs.length).toBeLessThanOrEqual(asked.limit);
      found.push(...page.refs);
      if (page.next === null) break;
      expect(page.refs).toHaveLength(asked.limit);
      after = page.next;
    }
    expect(found).toEqual(expected);
  });
  await fc.assert(property, { numRuns: 300 });
});

test('a client that moves between two pages ends them all the same, and the others are seen once', async () => {
  const known = new Map<ClientRef, Known>();
  const like = {
    is: 'settled',
    overdueFrom: null,
    compromised: false,
    isEligible: true,
    signersMissing: false,
  } as const;
  for (let index = 0; index < 10; index += 1) {
    const more = { clientId: 'c', drift: [], group: { deployment: 'd', app: 'd/a', policy: 'p' } };
    known.set(makeReference('d', 'a', `${index}`), { ...like, ...more, since: NOW + index, dueAt: null });
  }
  const asked: ClientQuery = {
    text: '',
    state: null,
    app: null,
    policy: null,
    condition: null,
    order: 'age',
    after: null,
    limit: 4,
    only: null,
  };
  const first = await listed(known, asked, new Set(), SEEN);
  const [moved] = first.refs;
  if (moved === undefined) throw new Error('the first page is empty');
  const before = known.get(moved);
  if (before !== undefined) known.set(moved, { ...before, since: NOW + 100 });
  const second = await listed(known, { ...asked, after: first.next }, new Set(), SEEN);
  const third = await listed(known, { ...asked, after: second.next }, new Set(), SEEN);
  expect(third.next).toBeNull();
  const others = [...first.refs, ...second.refs, ...third.refs].filter((ref) => ref !== moved);
  expect(others).toEqual([...known.keys()].filter((ref) => ref !== moved));
});

test('a cursor that nobody gave out is refused, whatever it holds', () => {
  const ref = makeReference('d', 'a', '1');
  expect(readCursor(writeCursor({ order: 'due', value: -3, ref }))).toEqual({ order: 'due', value: -3, ref });
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const bad = ['', 'x', '%00', 'a'.repeat(5_000), encode(null), encode([]), encode({ order: 'due', value: '1', ref })];
  const worse = [encode({ order: 'nothing', value: 1, ref }), encode({ order: 'due', value: 1, ref: '../../x' })];
  for (const text of [...bad, ...worse]) expect(() => readCursor(text), text).toThrow(/no page of the list/);
});

test('counts are those of the clients one by one', async () => {
  const property = fc.asyncProperty(fleet, async (known) => {
    const { clients, counts, due, compromised, drifted, groups } = await countsOf(known, SEEN);
    const all = [...known];
    expect(clients).toBe(all.length);
    for (const state of CLIENT_STATES) {
      expect(counts[state]).toBe(all.filter(([ref, one]) => stateNow(ref, one) === state).length);
    }
    const within = (ms: number) =>
      all.filter(([, { is, dueAt }]) => dueAt !== null && dueAt <= NOW + ms && !['halted', 'rotating'].includes(is))
        .length;
    expect(due).toEqual({ now: within(0), day: within(DAY), week: within(7 * DAY) });
    expect(compromised).toBe(all.filter(([, one]) => one.compromised).length);
    expect(drifted).toBe(all.filter(([, one]) => one.drift.length > 0).length);
    expect([...groups.values()].reduce((sum, group) => sum + group.clients, 0)).toBe(all.length);
  });
  await fc.assert(property, { numRuns: 100 });
});

test('a pause of any scope holds back whom it holds back one by one', () => {
  const scope = fc.constantFrom<Scope>(
    ...([{ all: true }, { app: 'd/a' }, { policy: 'payments' }, { client: makeReference('d', 'a', '00') }] as const),
  );
  const property = fc.property(fleet, fc.array(scope), fc.boolean(), (known, scopes, isRefused) => {
    const pauses = byScope(
      scopes.map((one) => ({ ...PAUSE, scope: one })),
      NOW,
    );
    const paused = isRefused ? 'its API key is refused' : null;
    const seen = { now: NOW, deployments: new Map([['d', { paused, throttledUntil: null }]]), pauses };
    const tell = statesAt(seen);
    for (const [ref, one] of known) {
      const suspended = pauseOf(pauses, ref, one.group.policy) !== null;
      expect(tell(ref, one)).toBe(stateOf(one, NOW, { paused: isRefused, throttled: false, suspended }));
    }
  });
  fc.assert(property, { numRuns: 200 });
});
