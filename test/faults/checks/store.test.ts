/** Commits, and what they owe the audit log. */
import { expect, test } from 'vitest';
import { type Case, commitOf, drafts, event, hears, record } from './cases.ts';
import { storeIsFenced } from './store.ts';
import * as story from './story.ts';
import { added, changed, evidenceOf, type Step } from './story.ts';
import * as subject from './subject.ts';
import { client, fresh, kidOf, old } from './subject.ts';

const good = story.rotation();

const expecting = (op: string, claim: string) => (step: Step) => ({
  commit: { ...commitOf(step), expected: { op, claim } },
});

const CASES: readonly Case[] = [
  [
    'an epoch is given out twice',
    evidenceOf(
      changed(good, 'claim', () => ({ event: { kind: 'claim', ref: client.ref, claim: 'second', epoch: '1' } })),
    ),
    'epoch',
  ],
  ['a commit under an old claim is taken', evidenceOf(changed(good, 'deliver', expecting('op-3', 'first'))), 'fence'],
  ['a commit on an older one is taken', evidenceOf(changed(good, 'deliver', expecting('op-2', 'second'))), 'fence'],
  [
    'no key is active',
    evidenceOf(changed(good, 'proven', record({ keys: subject.recordOf([[fresh, 'pre-active']]).keys }))),
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
          keys: subject.recordOf([
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
          keys: subject.recordOf([
            [old, 'pre-active'],
            [fresh, 'active'],
          ]).keys,
        }),
      ),
    ),
    'unlogged',
  ],
  ['a record forgets a key', evidenceOf(changed(good, 'destroy', record({ former: [] }))), 'unlogged'],
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
];

hears(CASES);

test.each([
  ['somebody joins a rotation', { type: 'rotation.requested', data: { joins: 'r1' } }, []],
  ['a rotation begins', { type: 'rotation.requested', data: {} }, ['loose_entry']],
  ['a key is reported', { type: 'key.compromised', data: { joins: 'r1' } }, ['loose_entry']],
  ['somebody is turned away', { type: 'rotation.refused', data: {} }, []],
  ['somebody pauses a client', { type: 'schedule.paused', data: {} }, []],
  ['an import is refused', { type: 'key.import_refused', data: {} }, []],
])('an entry by itself, when %s, is judged by what it tells', (_, draft, rules) => {
  const loose = event('loose', { kind: 'loose_entry', draft: JSON.stringify({ client: client.ref, ...draft }) });
  expect(storeIsFenced(evidenceOf(added(good, 'claim', loose))).map(({ rule }) => rule)).toEqual(rules);
});
