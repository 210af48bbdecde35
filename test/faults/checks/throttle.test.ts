import { expect, test } from 'vitest';
import type { Event, Untimed } from '../evidence/history.ts';
import { DEPLOYMENT } from '../names.ts';
import { request } from './cases.ts';
import { added, changed, evidenceOf, rotation, type Step, snapshotOf, without } from './story.ts';
import { BEGIN, client, endOf, neighbour, PACE_MS, recordOf, under } from './subject.ts';
import { throttleIsRespected } from './throttle.ts';

const event = (event: Untimed<Event>): Step => ({ name: event.kind, event });
const patch = (of = client): Step => ({
  name: 'patch again',
  request: { body: { jwks: {} }, client: of.id, status: 200 },
});
const look: Step = { name: 'look', request: { body: {}, status: 200 } };
const claim = (of = client) => event({ kind: 'claim', ref: of.ref, claim: 'another', epoch: '9' });
const wait: Step = event({ kind: 'asked', job: 'nothing happens', rotations: [] });
const commit = (type: string): Step => ({
  name: type,
  commit: { record: recordOf([], under('delivered')), drafts: [{ type }] },
});
/** The neighbour's PATCH is announced. */
const intent: Step = event({
  kind: 'commit',
  ref: neighbour.ref,
  expected: { op: '', claim: '' },
  op: 'x',
  version: '1',
  record: 'null',
  ended: [],
  drafts: [JSON.stringify({ type: 'key.publishing', data: {} })],
});

const UNTIL = BEGIN + 8 * PACE_MS + 2_000;

/** @param more of the first PATCH */
const sentAway = (more: object = {}) =>
  changed(without(rotation(), 'withdrawal', 'withdraw', 'withdrawn'), 'patch', request({ status: 429, ...more }));

/** The first PATCH is answered with 429 and "come back in 2 s"; then the rest happens. */
const after = (...rest: readonly Step[]) =>
  added(
    sentAway(),
    'patch',
    event({ kind: 'throttled', deployment: DEPLOYMENT, client: client.id, until: UNTIL }),
    ...rest,
  );
const told = (until = UNTIL) => event({ kind: 'left_alone', deployment: DEPLOYMENT, until });
const heard = commit('nothing');
const amended: Step = { name: 'amended', commit: { record: recordOf([], under('delivered')), drafts: [] } };
const again = [commit('key.publishing'), patch()];

test.each<[string, readonly Step[], readonly string[]]>([
  ['the same client is asked for again', [told(), heard, claim(), ...again], [client.ref]],
  ['its own run goes on, and had only the turn that it used', [told(), heard, ...again, ...again], [client.ref]],
  ['the store is not told', [heard], [client.ref]],
  ['the store is told a shorter time', [told(UNTIL - 1_000), heard], [client.ref]],
  ['somebody else notes what is not known, before the store is told', [amended, told(), heard], []],
  ['nobody lived to hear the answer', [claim(), ...again], []],
  ['the PATCH is announced anew, as if no answer had come', again, [client.ref]],
  ['nobody read along when the store was told', [event(snapshotOf()), ...again], []],
  ['the worker was frozen when the answer came', [event({ kind: 'frozen', worker: 1, ms: 1_500 }), ...again], []],
  ['the PATCH is sent again, and not announced', [told(), heard, patch()], [client.ref]],
  ['the client is looked at again', [told(), heard, claim(), look], [client.ref]],
  ['the run that was sent away looks at its client', [told(), look, heard], []],
  ['Redis forgot the answer', [told(), heard, event(snapshotOf()), claim(), ...again], []],
  [
    'Redis was away, and forgot nothing',
    [told(), heard, event(snapshotOf(undefined, undefined, undefined, { [DEPLOYMENT]: UNTIL })), claim(), ...again],
    [client.ref],
  ],
  ['the time is over', [told(), heard, ...Array.from({ length: 18 }, () => wait), claim(), ...again], []],
  ['another client is begun with', [told(), heard, claim(neighbour), intent, patch(neighbour)], [neighbour.ref]],
  ['another client was about to be sent', [claim(neighbour), intent, told(), heard, patch(neighbour)], []],
  ['another client had its turn', [claim(neighbour), told(), heard, intent, patch(neighbour)], []],
  [
    'another client had its turn, and takes another one',
    [claim(neighbour), told(), heard, intent, patch(neighbour), intent, patch(neighbour)],
    [neighbour.ref],
  ],
])('a Retry-After is kept: %s', (_what, steps, refs) => {
  const evidence = evidenceOf(after(...steps), { ends: [endOf(client), endOf(neighbour)] });
  const found = throttleIsRespected(evidence);
  expect(
    found.map(({ rule, ref }) => `${rule} ${ref}`),
    JSON.stringify(found),
  ).toEqual(refs.map((ref) => `retry_after ${ref}`));
});

test('an answer that comes after the timeout is heard by nobody', () => {
  const throttled = event({ kind: 'throttled', deployment: DEPLOYMENT, client: client.id, until: UNTIL });
  const judged = (tookMs: number) => {
    const at = BEGIN + 19 * PACE_MS - tookMs;
    const waiting = Array.from({ length: 10 }, () => wait);
    return throttleIsRespected(evidenceOf(added(sentAway({ at }), 'patch', ...waiting, throttled, ...again)));
  };
  expect(judged(200)).toHaveLength(1);
  expect(judged(1_100)).toEqual([]);
});
