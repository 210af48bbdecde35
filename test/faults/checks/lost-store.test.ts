/** What may happen while the workers' store is not there. */
import { expect, test } from 'vitest';
import type { Event, Untimed } from '../evidence/history.ts';
import { nothingIsDoneWithoutTheStore } from './lost-store.ts';
import { added, evidenceOf, rotation, type Step, without } from './story.ts';
import { client } from './subject.ts';

const good = rotation();
const event = (event: Untimed<Event>): Step => ({ name: event.kind, event });
const lost = event({ kind: 'store', what: 'lost', how: 'emptied' });
const restored = event({ kind: 'store', what: 'restored', how: 'emptied' });
const declared = event({ kind: 'store', what: 'declared', how: 'somebody goes on' });
const loose = event({ kind: 'loose_entry', draft: JSON.stringify({ client: null, type: 'store.segment', data: {} }) });
const until = (name: string) => good.slice(0, good.findIndex((step) => step.name === name) + 1);
const after = (name: string) => good.slice(good.findIndex((step) => step.name === name) + 1);
const patch = good.filter(({ name }) => name === 'patch');

test.each<[string, readonly Step[], readonly string[]]>([
  ['nothing is lost', good, []],
  ['nothing happens until it is restored', [...until('deliver'), lost, restored, ...after('deliver')], []],
  ['somebody goes on, and says so in the log', [...until('deliver'), lost, declared, loose, ...after('deliver')], []],
  ['a PATCH was on its way', [...until('intent'), lost, ...patch, restored, ...after('patch')], []],
  ['it is sent twice', [...until('intent'), lost, ...patch, ...patch, restored], ['sent_while_lost']],
  ['a PATCH was answered before', [...until('patch'), lost, ...patch, restored], ['sent_while_lost']],
  ['a PATCH was never intended', [...until('deliver'), lost, ...patch, restored], ['sent_while_lost']],
  ['a look is no PATCH', [...until('deliver'), lost, { name: 'look', request: { body: {} } }, restored], []],
  ['a worker goes on', added(good, 'claim', lost), ['sent_while_lost', 'wrote_while_lost']],
  ['an entry is written', [lost, loose, restored], ['wrote_while_lost']],
  ['a key is sealed', [lost, event({ kind: 'sealed', ref: client.ref, kid: 'k' }), restored], ['wrote_while_lost']],
])('while the store is lost: %s', (_, steps, rules) => {
  const found = nothingIsDoneWithoutTheStore(evidenceOf(steps));
  expect([...new Set(found.map(({ rule }) => rule))].sort(), JSON.stringify(found)).toEqual(rules);
});

test.each<[string, readonly Step[], readonly string[]]>([
  ['nothing is sent', [event({ kind: 'unconfirmed' }), ...without(good, 'patch', 'withdraw')], []],
  ['what was confirmed before is sent', added(good, 'intent', event({ kind: 'unconfirmed' })).slice(0, 10), []],
  ['something else is sent', added(good, 'deliver', event({ kind: 'unconfirmed' })), ['unconfirmed']],
  [
    'confirmed again, something is sent',
    added(good, 'deliver', event({ kind: 'unconfirmed' }), event({ kind: 'confirms' })),
    [],
  ],
])('while nothing is confirmed: %s', (_, steps, rules) => {
  const found = nothingIsDoneWithoutTheStore(evidenceOf(steps));
  expect([...new Set(found.map(({ rule }) => rule))], JSON.stringify(found)).toEqual(rules);
});
