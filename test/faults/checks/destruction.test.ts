/** What has to be seen before a key is destroyed. */
import { type Case, event, hears, request } from './cases.ts';
import * as story from './story.ts';
import { added, changed, evidenceOf, moved, refusal, without } from './story.ts';
import * as subject from './subject.ts';
import { client, old } from './subject.ts';

const good = story.rotation();
const named = (...otherNames: readonly string[]) => ({
  ends: [subject.endOf({ ...client, initial: { ...client.initial, otherNames } })],
});
const refused = (name: string) => ({ name: `refusal of ${name}`, request: refusal(name) });
const vague = request({ verdict: 'invalid_client', status: 401 });
const again = (...names: readonly string[]) =>
  names.map((name) => ({ name, request: { ...refusal(old.kid), verdict: 'invalid_client', status: 401 } }));

const CASES: readonly Case[] = [
  ['everything is as it should be', evidenceOf(good)],
  ['a key is destroyed without a proof', evidenceOf(without(good, 'refusal')), 'destroyed_unproven'],
  ['a key is destroyed and then refused', evidenceOf(moved(good, 'refusal', 'destroy')), 'destroyed_unproven'],
  ['a key is refused while it is published', evidenceOf(moved(good, 'refusal', 'claim')), 'destroyed_unproven'],
  ['another key is refused', evidenceOf(changed(good, 'refusal', request(refusal('another')))), 'destroyed_unproven'],
  [
    'the key is accepted',
    evidenceOf(changed(good, 'refusal', request({ status: 200, verdict: 'accepted' }))),
    'destroyed_unproven',
  ],
  [
    'the server is away',
    evidenceOf(changed(good, 'refusal', () => ({ request: { ...refusal(old.kid), status: 503, verdict: undefined } }))),
    'destroyed_unproven',
  ],
  ['the refusal may be about the claims', evidenceOf(changed(good, 'refusal', vague)), 'destroyed_unproven'],
  [
    'it may be about the claims three times',
    evidenceOf(added(changed(good, 'refusal', vague), 'refusal', ...again('second', 'third'))),
  ],
  ['a second name is not refused', evidenceOf(good, named('second')), 'destroyed_unproven'],
  ['a second name is refused too', evidenceOf(added(good, 'refusal', refused('second')), named('second'))],
  [
    'a second name went with a store that was lost',
    evidenceOf(added(good, 'login', event('gone', { kind: 'store', what: 'declared', how: 'why' })), named('second')),
  ],
  [
    'a key was never published',
    evidenceOf(added(good, 'login', event('erased', { kind: 'erased', ref: client.ref, kid: 'unpublished' }))),
  ],
  [
    'a policy does without proofs',
    evidenceOf(without(good, 'refusal', 'proof'), {
      ends: [subject.endOf({ ...client, app: { ...client.app, policy: { prove: 'read_back' } } })],
    }),
  ],
];

hears(CASES);
