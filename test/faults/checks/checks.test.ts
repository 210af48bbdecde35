/** Each rule of the checker: silent on a good story, and heard on one that breaks it. What comes of it besides is in the list too. */
import { describe, expect, test } from 'vitest';
import { makeKey } from '../../emulator/testing.ts';
import { judgeHistory } from '../checker.ts';
import type { Evidence } from '../evidence.ts';
import type { FaultClient } from '../fleet.ts';
import { storeIsFenced } from './store.ts';
import * as story from './story.ts';
import {
  added,
  changed,
  client,
  documentOf,
  evidenceOf,
  fresh,
  intentOf,
  kidOf,
  moved,
  old,
  type Step,
  without,
} from './story.ts';

const good = story.rotation();
const stranger = makeKey('ES256');
const both = [
  [old, 'active'],
  [fresh, 'pre-active'],
] as const;

/** The same story, of a client that is otherwise. */
function as(steps: readonly Step[], app: Partial<FaultClient['app']>): Evidence {
  return evidenceOf(steps, { ends: [story.endOf({ ...client, app: { ...client.app, ...app } })] });
}

const commitOf = (step: Step) => ('commit' in step ? step.commit : { record: story.recordOf([]), drafts: [] });
const record = (change: object) => (step: Step) => ({
  commit: { ...commitOf(step), record: { ...commitOf(step).record, ...change } },
});
const drafts = (change: (drafts: readonly story.Draft[]) => readonly story.Draft[]) => (step: Step) => ({
  commit: { ...commitOf(step), drafts: change(commitOf(step).drafts) },
});
const expecting = (version: string, epoch: string) => (step: Step) => ({
  commit: { ...commitOf(step), expected: { version, epoch } },
});
const request = (change: object) => (step: Step) => ({
  request: { ...('request' in step ? step.request : {}), ...change },
});

const login = (result: 'fallback' | 'refused'): Step => ({
  name: 'another login',
  event: { kind: 'login', ref: client.ref, result, tried: ['current: 400'] },
});

/** The first PATCH is announced and sent with another document. */
const publishing = (document: object) =>
  changed(changed(good, 'intent', record({ inFlight: intentOf(document, 7) })), 'patch', request({ body: document }));

const keysOf = (...keys: readonly object[]) => ({ jwks: { keys } });
const [first = {}, second = {}, others = {}] = documentOf(old, fresh).jwks.keys;
const slow = (takesMs: number) => changed(good, 'patch', () => ({ takesMs }));
const event = (name: string, event: object) => ({ name, event }) as Step; // each test has a whole one
const patient = record({ inFlight: intentOf(documentOf(old, fresh), 20) });
/** The set that is served is about to hold the new key beside the old one. */
const serving = (after: string) =>
  added(good, after, {
    name: 'serving',
    commit: {
      record: commitOf(good.find(({ name }) => name === 'deliver') as Step).record,
      drafts: [{ type: 'key.publishing', data: { served: true, kids: [old.kid, kidOf(fresh)] } }],
    },
  });
const durable = event('durable', { kind: 'durable' });
const powerCut = (...sealed: (typeof old)[]) =>
  event('cut', {
    kind: 'snapshot',
    clients: story.snapshotOf(commitOf(good.find(({ name }) => name === 'intent') as Step).record, sealed, '5', '2'),
  });
const twoKeys = added(
  good,
  'published',
  event('seal', { kind: 'sealed', ref: client.ref, kid: kidOf(stranger) }),
  {
    name: 'another intent',
    commit: {
      record: story.recordOf(both, { ...story.under('published'), inFlight: intentOf(documentOf(old, stranger), 11) }),
      drafts: [{ type: 'key.publishing' }],
    },
  },
  { name: 'another patch', request: { body: documentOf(old, stranger), status: 200 } },
);
const ofThree = documentOf(old, fresh, stranger);
const next = { ...story.under('published').rotation, id: 'rotation-2' };
/** The key of a rotation stands there, and one that no entry starts adds its own. */
const nextKey = (compromised: { readonly kid: string } | null) =>
  added(
    changed(good, 'intent', record({ rotation: { ...story.under('delivered').rotation, compromised } })),
    'published',
    event('seal', { kind: 'sealed', ref: client.ref, kid: kidOf(stranger) }),
    {
      name: 'another intent',
      commit: {
        record: story.recordOf(both, { rotation: next, inFlight: intentOf(ofThree, 11) }),
        drafts: [
          { type: 'key.generated', rotation: next.id, data: { kid: kidOf(stranger) } },
          { type: 'key.publishing' },
        ],
      },
    },
    { name: 'another patch', request: { body: ofThree, status: 200 } },
  );
const tampered = (change: (audit: Evidence['audit']) => Evidence['audit']) => {
  const evidence = evidenceOf(good);
  return { ...evidence, audit: change(evidence.audit) };
};

type Case = readonly [what: string, evidence: Evidence, ...rules: string[]];

const CASES: readonly Case[] = [
  ['everything is as it should be', evidenceOf(good)],
  ['a login is refused', evidenceOf(added(good, 'login', login('refused'))), 'login_refused'],
  ['a login needs two tries in an overlap', evidenceOf(added(good, 'login', login('fallback'))), 'login_fallback'],
  ['a login needs two tries in a cutover', as(added(good, 'login', login('fallback')), { logins: 'two' })],
  ['nobody signs in', evidenceOf(without(good, 'login', 'login again')), 'no_logins'],
  ['nobody has to sign in', as(without(good, 'login', 'login again'), { logins: 'none' })],

  ['a key is published and never stored', evidenceOf(without(good, 'seal')), 'lost_key'],
  ['a key is published and then stored', evidenceOf(moved(good, 'seal', 'patch')), 'lost_key'],
  ['a key is erased while it is published', evidenceOf(moved(good, 'erase', 'login')), 'lost_key'],
  ['a power cut takes a published key', evidenceOf(added(good, 'patch', powerCut(old))), 'lost_key'],
  ['a power cut takes nothing', evidenceOf(added(good, 'patch', powerCut(old, fresh)))],
  ['a key is served and never stored', evidenceOf(without(serving('deliver'), 'seal')), 'lost_key'],
  ['a key is erased while it is served', evidenceOf(serving('deliver')), 'lost_key'],
  ['a key is served that is stored and stays', evidenceOf(without(serving('deliver'), 'erase'))],
  [
    'a PATCH comes before its intent is on disk',
    evidenceOf(added(added(good, 'claim', durable), 'withdrawal', durable)),
    'not_durable',
  ],
  [
    'each PATCH comes after its intent is on disk',
    evidenceOf(added(added(good, 'intent', durable), 'withdrawal', durable)),
  ],
  [
    'a PATCH differs from its intent',
    evidenceOf(changed(good, 'patch', request({ body: documentOf(fresh, old) }))),
    'other_bytes',
  ],
  [
    'a PATCH comes after its deadline',
    evidenceOf(changed(good, 'intent', record({ inFlight: intentOf(documentOf(old, fresh), -5) }))),
    'late_patch',
  ],
  ['an old PATCH undoes a new one', evidenceOf(without(changed(slow(750), 'intent', patient), 'erase')), 'overtaken'],
  ['an old PATCH undoes a new one after its deadline', evidenceOf(without(slow(750), 'erase'))],
  ['a PATCH leaves a foreign key out', evidenceOf(publishing(keysOf(first, second))), 'foreign_key'],
  [
    'a PATCH changes a foreign key',
    evidenceOf(publishing(keysOf(first, second, { ...others, use: 'enc' }))),
    'foreign_key',
  ],
  [
    'a PATCH leaves out what is to be retired',
    as(publishing(keysOf(first, second)), { policy: { foreign_keys: 'retire' } }),
  ],
  ['a PATCH leaves the active key out', evidenceOf(publishing(keysOf(second, others))), 'audit_disagrees', 'withdrawn'],
  ['a key becomes active without a proof', evidenceOf(without(good, 'proof')), 'unproven'],
  [
    'a key becomes active by the proof of another',
    evidenceOf(changed(good, 'proof', request({ authenticatedKid: kidOf(old) }))),
    'unproven',
  ],
  [
    'a key becomes active without a proof, as the policy says',
    as(without(good, 'proof'), { policy: { prove: 'read_back' } }),
  ],
  ['a rotation publishes two keys', evidenceOf(twoKeys), 'second_key'],
  ['two rotations publish a key each', evidenceOf(nextKey(null)), 'unlogged'],
  ['two rotations publish a key each, one after a compromise', evidenceOf(nextKey({ kid: old.kid })), 'unlogged'],

  [
    'an epoch is given out twice',
    evidenceOf(changed(good, 'claim', () => ({ event: { kind: 'claim', ref: client.ref, epoch: '1' } }))),
    'epoch',
  ],
  ['a commit of an old epoch is taken', evidenceOf(changed(good, 'deliver', expecting('3', '1'))), 'fence'],
  ['a commit on an old version is taken', evidenceOf(changed(good, 'deliver', expecting('2', '2'))), 'fence'],
  [
    'no key is active',
    evidenceOf(changed(good, 'proven', record({ keys: story.recordOf([[fresh, 'pre-active']]).keys }))),
    'one_active',
    'unlogged',
  ],
  [
    'two keys are active',
    evidenceOf(
      changed(
        good,
        'proven',
        record({
          keys: story.recordOf([
            [old, 'active'],
            [fresh, 'active'],
          ]).keys,
        }),
      ),
    ),
    'one_active',
    'unlogged',
  ],
  [
    'a change has no entry',
    evidenceOf(
      changed(
        good,
        'activate',
        drafts((all) => all.slice(1)),
      ),
    ),
    'unlogged',
  ],
  [
    'a change has its entry twice',
    evidenceOf(
      changed(
        good,
        'activate',
        drafts((all) => [...all, ...all]),
      ),
    ),
    'unlogged',
  ],
  [
    'a change has the entry of another key',
    evidenceOf(
      changed(
        good,
        'destroy',
        drafts(([, ended]) => [{ type: 'key.destroyed', data: { kid: kidOf(fresh) } }, ...(ended ? [ended] : [])]),
      ),
    ),
    'unlogged',
  ],
  [
    'an entry has no change',
    evidenceOf(
      changed(
        good,
        'deliver',
        drafts((all) => [...all, { type: 'rotation.failed' }]),
      ),
    ),
    'unlogged',
  ],
  [
    'a rotation ends without an entry',
    evidenceOf(
      changed(
        good,
        'destroy',
        drafts((all) => all.slice(0, 1)),
      ),
    ),
    'unlogged',
  ],
  [
    'a key comes back from the dead',
    evidenceOf(
      changed(
        good,
        'activate',
        record({
          keys: story.recordOf([
            [old, 'pre-active'],
            [fresh, 'active'],
          ]).keys,
        }),
      ),
    ),
    'unlogged',
  ],
  [
    'a record forgets a key',
    evidenceOf(changed(good, 'destroy', record({ keys: story.recordOf([[fresh, 'active']]).keys }))),
    'unlogged',
  ],
  [
    'an intent has no entry',
    evidenceOf(
      changed(
        good,
        'intent',
        drafts(() => []),
      ),
    ),
    'unannounced',
    'unlogged',
  ],
  [
    'an entry comes outside of its commit',
    evidenceOf(
      added(good, 'claim', event('loose', { kind: 'loose_entry', draft: JSON.stringify({ client: client.ref }) })),
    ),
    'audit_lost',
    'loose_entry',
  ],

  [
    'the log has a gap',
    tampered((audit) => audit.map((line) => ({ ...line, seq: line.seq + (line.seq > 3 ? 1 : 0) }))),
    'audit_gap',
  ],
  ['the log ends too early', evidenceOf(good, { auditSize: 99 }), 'audit_gap'],
  [
    'the log lost what was taken',
    tampered((audit) => audit.map((line) => (line.type === 'key.delivered' ? { ...line, draft: '{}' } : line))),
    'audit_lost',
  ],
  [
    'a PATCH is sent again without a word',
    evidenceOf(added(good, 'patch', { name: 'again', request: { body: documentOf(old, fresh), status: 200 } })),
    'unannounced',
  ],
  [
    'the log tells of an answer that was none',
    evidenceOf(changed(good, 'patch', request({ status: 500 }))),
    'audit_disagrees',
  ],
  [
    'the log tells of another document',
    evidenceOf(
      changed(
        good,
        'published',
        drafts((all) => all.map((draft) => ({ ...draft, data: { status: 200, kids: [kidOf(fresh)] } }))),
      ),
    ),
    'audit_disagrees',
  ],
  [
    'a rotation makes two keys',
    evidenceOf(
      changed(
        good,
        'generate',
        drafts((all) => [...all, { type: 'key.generated', data: { kid: kidOf(stranger) } }]),
      ),
    ),
    'second_key',
    'unlogged',
  ],
];

describe('the checker hears when', () => {
  test.each(CASES.map(([what, evidence, ...rules]) => ({ what, evidence, rules })))('$what', ({ evidence, rules }) => {
    const found = judgeHistory(evidence);
    expect([...new Set(found.map(({ rule }) => rule))].sort(), JSON.stringify(found, null, 2)).toEqual(rules);
  });
});

test.each([
  ['somebody joins a rotation', { type: 'rotation.requested', data: { joins: 'r1' } }, []],
  ['a rotation begins', { type: 'rotation.requested', data: {} }, ['loose_entry']],
  ['a key is reported', { type: 'key.compromised', data: { joins: 'r1' } }, ['loose_entry']],
])('an entry by itself, when %s, is judged by what it tells', (_, draft, rules) => {
  const loose = event('loose', { kind: 'loose_entry', draft: JSON.stringify({ client: client.ref, ...draft }) });
  expect(storeIsFenced(evidenceOf(added(good, 'claim', loose))).map(({ rule }) => rule)).toEqual(rules);
});
