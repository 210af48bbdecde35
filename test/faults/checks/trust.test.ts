/** Clients that nobody entrusted to rekeyd. */
import { describe, expect, test } from 'vitest';
import type { Evidence } from '../evidence/evidence.ts';
import type { Event, Untimed } from '../evidence/history.ts';
import { loginsSucceed } from './logins.ts';
import { added, evidenceOf, rotation, type Step, snapshotOf } from './story.ts';
import { BEGIN, client, endOf, recordOf, under } from './subject.ts';
import { strangersAreLeftAlone, stretchesOf } from './trust.ts';

const good = rotation();
const held = { ...client, enrolment: 'held' as const };
const event = (event: Untimed<Event>): Step => ({ name: event.kind, event });
const entrusted = event({ kind: 'entrusted', ref: client.ref, how: 'enrolled' });
const of = (steps: readonly Step[]): Evidence => evidenceOf(steps, { ends: [endOf(held)] });
const lost = event({ kind: 'store', what: 'lost', how: 'emptied' });
const declared = event({ kind: 'store', what: 'declared', how: 'somebody goes on' });
const found: Step = {
  name: 'found',
  commit: { record: { ...recordOf([]), enrolment: 'found' }, drafts: [{ type: 'client.found' }] },
};

describe('a client that signs in with a key of its own', () => {
  test.each<[string, readonly Step[], readonly string[]]>([
    ['is entrusted, and then rotated', [entrusted, ...good], []],
    ['is rotated', good, ['a PATCH', 'rotation', 'was enrolled']],
    ['is entrusted when it is too late', added(good, 'patch', entrusted), ['a PATCH', 'rotation']],
    ['is looked at', [event(snapshotOf()), { name: 'look', request: { body: {}, status: 200 } }], []],
    [
      'is begun with',
      [
        {
          name: 'begun',
          commit: { record: { ...recordOf([]), ...under('requested'), enrolment: 'held' }, drafts: [] },
        },
      ],
      ['rotation'],
    ],
  ])('%s', (_, steps, told) => {
    const messages = strangersAreLeftAlone(of(steps)).map(({ message }) => message);
    for (const word of told) expect(messages.join('; ')).toContain(word);
    if (told.length === 0) expect(messages).toEqual([]);
  });
});

test('a client that is found again after a store was lost is not to be touched', () => {
  const steps = [...good, lost, declared, found, { name: 'again', request: { body: { jwks: {} }, status: 200 } }];
  const evidence = evidenceOf(steps, { ends: [endOf(client)] });
  expect(strangersAreLeftAlone(evidence).map(({ rule }) => rule)).toEqual(['not_entrusted']);
  expect(strangersAreLeftAlone(evidenceOf(good, { ends: [endOf(client)] }))).toEqual([]);
});

test('a PATCH that was begun before the store was lost is nobody’s fault', () => {
  const intent = good.findIndex(({ name }) => name === 'intent');
  const steps = [...good.slice(0, intent + 1), lost, declared, ...good.slice(intent + 1, intent + 2)];
  expect(strangersAreLeftAlone(evidenceOf(steps, { ends: [endOf(client)] }))).toEqual([]);
});

test('a store that was rolled back leaves clients as it knew them, until one is found again', () => {
  const back = event(snapshotOf());
  const known = evidenceOf([lost, back, declared]).events;
  expect(stretchesOf(client, known)).toEqual([]);
  const again = evidenceOf([lost, back, declared, found]).events;
  expect(stretchesOf(client, again)).toHaveLength(1);
  expect(stretchesOf(client, evidenceOf([lost, back, declared, found, entrusted]).events)[0]?.to).toBeLessThan(
    Number.POSITIVE_INFINITY,
  );
});

test('an application with a key of its own needs one try, whatever its app allows', () => {
  const second = event({
    kind: 'login',
    ref: client.ref,
    result: 'fallback',
    tried: ['its own: 400'],
    refused: [{ from: BEGIN, to: BEGIN }],
  });
  const ends = [endOf({ ...held, app: { ...held.app, logins: 'two' } })];
  const rules = (steps: readonly Step[]) => loginsSucceed(evidenceOf(steps, { ends })).map(({ rule }) => rule);
  expect(rules([second])).toEqual(['login_fallback']);
  expect(rules([entrusted, second])).toEqual([]);
});
