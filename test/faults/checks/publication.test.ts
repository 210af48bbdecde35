/** Logins, and PATCHes against what the store held. */
import { makeKey } from '../../emulator/testing.ts';
import type { Try } from '../evidence/history.ts';
import { as, type Case, commitOf, event, hears, record, request } from './cases.ts';
import * as story from './story.ts';
import { added, changed, evidenceOf, moved, type Step, without } from './story.ts';
import * as subject from './subject.ts';
import { BEGIN, bodyWith, client, documentOf, endOf, fresh, intentOf, kidOf, old, PACE_MS } from './subject.ts';

const good = story.rotation();
const stranger = makeKey('ES256');
const both = [
  [old, 'active'],
  [fresh, 'pre-active'],
] as const;

/** Tries that took so long, one after the other, until `at` or until the login is noted. */
const tried = (tookMs: readonly number[], at: number): readonly Try[] =>
  tookMs.map((ms, index) => {
    const to = at - tookMs.slice(index + 1).reduce((sum, more) => sum + more, 0);
    return { from: to - ms, to };
  });
const timeOf = (steps: readonly Step[], name: string) =>
  BEGIN + steps.findIndex((step) => step.name === name) * PACE_MS;
const login = (result: 'fallback' | 'refused', refused: readonly Try[]): Step => ({
  name: 'another login',
  event: { kind: 'login', ref: client.ref, result, tried: ['current: 400'], refused },
});
/** While the old key is withdrawn, or long before. */
const [atWithdrawal, early] = [timeOf(good, 'withdraw'), timeOf(good, 'claim')];
const late = (result: 'fallback' | 'refused', ...tookMs: readonly number[]) =>
  added(good, 'withdrawn', login(result, tried(tookMs, atWithdrawal + 10)));
const quick = login('fallback', tried([20], early));

/** The first PATCH is announced and sent with another document. */
const publishing = (body: ReturnType<typeof bodyWith>) =>
  changed(changed(good, 'intent', record({ server: intentOf(body, 7) })), 'patch', request({ body }));

const [first = {}, second = {}, others = {}] = documentOf(old, fresh).jwks.keys;
const slow = (takesMs: number) => changed(good, 'patch', () => ({ takesMs }));
const patient = record({ server: intentOf(documentOf(old, fresh), 20) });
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
const cutAt = (version: string, ...sealed: (typeof old)[]) =>
  event(
    'cut',
    story.snapshotOf(commitOf(good.find(({ name }) => name === 'intent') as Step).record, sealed, {
      version,
      op: `op-${version}`,
      claim: 'second',
      epoch: '2',
    }),
  );
const destroyed = subject.recordOf([[fresh, 'active']], subject.gone);
const forgotten = { ...destroyed, former: [] };
const powerCut = (...sealed: (typeof old)[]) => cutAt('5', ...sealed);
const twoKeys = added(
  good,
  'published',
  event('seal', { kind: 'sealed', ref: client.ref, kid: kidOf(stranger) }),
  {
    name: 'another intent',
    commit: {
      record: subject.recordOf(both, {
        ...subject.under('published'),
        server: intentOf(documentOf(old, stranger), 11),
      }),
      drafts: [{ type: 'key.publishing' }],
    },
  },
  { name: 'another patch', request: { body: documentOf(old, stranger), status: 200 } },
);
const ofThree = documentOf(old, fresh, stranger);
const next = { ...subject.under('published').rotation, id: 'rotation-2' };
/** The key of a rotation stands there, and one that no entry starts adds its own. */
const nextKey = (compromised: { readonly kid: string } | null) =>
  added(
    changed(good, 'intent', record({ rotation: { ...subject.under('delivered').rotation, compromised } })),
    'published',
    event('seal', { kind: 'sealed', ref: client.ref, kid: kidOf(stranger) }),
    {
      name: 'another intent',
      commit: {
        record: subject.recordOf(both, { rotation: next, server: intentOf(ofThree, 11) }),
        drafts: [
          { type: 'key.generated', rotation: next.id, data: { kid: kidOf(stranger) } },
          { type: 'key.publishing' },
        ],
      },
    },
    { name: 'another patch', request: { body: ofThree, status: 200 } },
  );
const upToStep = (steps: readonly Step[], name: string) =>
  steps.slice(0, steps.findIndex((step) => step.name === name) + 1);
const upTo = (name: string) => upToStep(good, name);
const [untilPatch, untilSealed] = [upTo('patch'), upTo('seal')];
const servedOnly = upToStep(serving('deliver'), 'serving');
const eraseFresh = event('erase the new one', { kind: 'erased', ref: client.ref, kid: kidOf(fresh) });
const atOnce: Step = {
  name: 'all at once',
  commit: {
    record: subject.recordOf(
      [
        [old, 'deactivated'],
        [fresh, 'active'],
      ],
      subject.leaving('overlap'),
    ),
    drafts: [
      ...['key.generated', 'key.stored', 'key.activated'].map((type) => ({ type, data: { kid: kidOf(fresh) } })),
      { type: 'key.deactivated', data: { kid: old.kid } },
    ],
  },
};

const CASES: readonly Case[] = [
  ['everything is as it should be', evidenceOf(good)],
  ['a login is refused', evidenceOf(added(good, 'login', login('refused', tried([20], early)))), 'login_refused'],
  ['a login needs two tries in an overlap', evidenceOf(added(good, 'login', quick)), 'login_fallback'],
  ['a key goes while a slow login is under way', evidenceOf(late('fallback', 500))],
  [
    'a slow login is refused, and no key goes',
    evidenceOf(added(good, 'login', login('refused', tried([500], early)))),
    'login_refused',
  ],
  [
    'a key goes before its overlap is over',
    evidenceOf(late('fallback', 500), { ends: [endOf({ ...client, overlap: '2s' })] }),
    'login_fallback',
  ],
  ['a quick try is refused before a slow one', evidenceOf(late('refused', 20, 500)), 'login_refused'],
  ['a quick try is refused after a slow one', evidenceOf(late('refused', 500, 20)), 'login_refused'],
  ['a login needs two tries in a cutover', as(added(good, 'login', quick), { logins: 'two' })],
  ['the second try of a cutover is slow, and its key goes', as(late('refused', 20, 500), { logins: 'two' })],
  ['the second try of a cutover is quick', as(late('refused', 500, 20), { logins: 'two' }), 'login_refused'],
  [
    'the served set changes while a slow login is under way',
    evidenceOf(
      without(
        added(
          serving('deliver'),
          'serving',
          login('fallback', tried([500], timeOf(serving('deliver'), 'serving') + 50)),
        ),
        'erase',
      ),
    ),
  ],
  ['nobody signs in', evidenceOf(without(good, 'login', 'login again')), 'no_logins'],
  [
    'a worker ends by itself',
    evidenceOf(added(good, 'login', event('crash', { kind: 'crash', worker: 1, code: 1 }))),
    'crash',
  ],
  ['nobody has to sign in', as(without(good, 'login', 'login again'), { logins: 'none' })],

  ['a key is published and never stored', evidenceOf(without(good, 'seal')), 'lost_key'],
  ['a key is published and then stored', evidenceOf(moved(good, 'seal', 'patch')), 'lost_key'],
  [
    'a key is erased while it is published',
    evidenceOf(moved(good, 'erase', 'login')),
    'destroyed_unproven',
    'lost_key',
  ],
  [
    'a key is erased before its PATCH is carried out',
    evidenceOf(
      added(
        changed(untilPatch, 'patch', () => ({ takesMs: 250 })),
        'patch',
        eraseFresh,
      ),
    ),
    'lost_key',
  ],
  [
    'a key is erased before its PATCH is carried out, after the deadline',
    evidenceOf(
      added(
        changed(untilPatch, 'patch', () => ({ takesMs: 750 })),
        'patch',
        eraseFresh,
      ),
    ),
  ],
  ['a power cut takes a published key', evidenceOf(added(good, 'patch', powerCut(old))), 'lost_key'],
  [
    'a power cut takes a key whose PATCH nobody carried out',
    evidenceOf(
      added(
        changed(untilPatch, 'patch', () => ({ takesMs: null })),
        'patch',
        powerCut(old),
      ),
    ),
    'lost_key',
  ],
  ['a power cut takes a served key', evidenceOf([...servedOnly, cutAt('5', old)]), 'lost_key'],
  ['a power cut takes a key, and that it was to be served', evidenceOf([...servedOnly, cutAt('4', old)])],
  [
    'a key is destroyed while nobody reads along',
    evidenceOf(
      added(without(good, 'erase', 'destroy'), 'refused', event('again', story.snapshotOf(destroyed, [fresh]))),
    ),
  ],
  [
    'a key is destroyed while nobody reads along, and its record does not tell',
    evidenceOf(
      added(without(good, 'erase', 'destroy'), 'refused', event('again', story.snapshotOf(forgotten, [fresh]))),
    ),
    'lost_key',
  ],
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
    evidenceOf(changed(good, 'intent', record({ server: intentOf(documentOf(old, fresh), -60) }))),
    'late_patch',
  ],
  ['an old PATCH undoes a new one', evidenceOf(without(changed(slow(750), 'intent', patient), 'erase')), 'overtaken'],
  ['an old PATCH undoes a new one after its deadline', evidenceOf(without(slow(750), 'erase'))],
  ['a PATCH leaves a foreign key out', evidenceOf(publishing(bodyWith(first, second))), 'foreign_key'],
  [
    'a PATCH changes a foreign key',
    evidenceOf(publishing(bodyWith(first, second, { ...others, use: 'enc' }))),
    'foreign_key',
  ],
  [
    'a PATCH leaves out what is to be retired',
    as(publishing(bodyWith(first, second)), { policy: { foreign_keys: 'retire' } }),
  ],
  [
    'a PATCH leaves the active key out',
    evidenceOf(publishing(bodyWith(second, others))),
    'audit_disagrees',
    'withdrawn',
  ],
  ['a key becomes active without a proof', evidenceOf(without(good, 'proof')), 'unproven'],
  [
    'a key becomes active by the proof of another',
    evidenceOf(changed(good, 'proof', request({ authenticatedKid: kidOf(old) }))),
    'unproven',
  ],
  ['a key is made and active at once', evidenceOf([...untilSealed, atOnce]), 'unproven'],
  [
    'a key becomes active without a proof, as the policy says',
    as(without(good, 'proof'), { policy: { prove: 'read_back' } }),
  ],
  ['a rotation publishes two keys', evidenceOf(twoKeys), 'second_key'],
  ['two rotations publish a key each', evidenceOf(nextKey(null)), 'unlogged'],
  ['two rotations publish a key each, one after a compromise', evidenceOf(nextKey({ kid: old.kid })), 'unlogged'],
];

hears(CASES);
