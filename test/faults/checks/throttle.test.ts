import { expect, test } from 'vitest';
import type { Event, Untimed } from '../history.ts';
import { DEPLOYMENT } from '../names.ts';
import {
  added,
  BEGIN,
  client,
  endOf,
  evidenceOf,
  neighbour,
  PACE_MS,
  recordOf,
  rotation,
  type Step,
  under,
  without,
} from './story.ts';
import { throttleIsRespected } from './throttle.ts';

const event = (event: Untimed<Event>): Step => ({ name: event.kind, event });
const patch = (of = client): Step => ({ name: 'patch again', request: { client: of.id, status: 200 } });
const claim = (of = client) => event({ kind: 'claim', ref: of.ref, epoch: '9' });
const wait: Step = event({ kind: 'asked', job: 'nothing happens', rotations: [] });
const commit = (type: string): Step => ({
  name: type,
  commit: { record: recordOf([], under('delivered')), drafts: [{ type }] },
});

/** The first PATCH is answered with 429 and "come back in 2 s"; then the rest happens. */
const after = (...rest: readonly Step[]) =>
  added(without(rotation(), 'withdraw', 'withdrawn'), 'patch', throttled(BEGIN + 8 * PACE_MS + 2_000), ...rest);
const throttled = (until: number) => event({ kind: 'throttled', deployment: DEPLOYMENT, client: client.id, until });
const cut = (fault: string) => event({ kind: 'redis', fault });
const heard = commit('nothing');
/** Long enough for all workers to know. */
const spread = [wait, wait, wait];

test.each<[string, readonly Step[], readonly string[]]>([
  ['the same client is asked for again', [heard, patch()], [client.ref]],
  ['nobody lived to hear the answer', [claim(), patch()], []],
  ['nobody lived to hear it, and the PATCH is announced anew', [commit('key.publishing'), patch()], []],
  ['Redis forgot the answer', [heard, cut('the power cut lost 12 bytes'), patch()], []],
  ['Redis was away, and forgot nothing', [heard, cut('the power cut lost 0 bytes'), patch()], [client.ref]],
  ['the time is over', [heard, ...Array.from({ length: 18 }, () => wait), patch()], []],
  ['another client is begun with', [heard, ...spread, claim(neighbour), patch(neighbour)], [neighbour.ref]],
  ['another client had been begun with', [claim(neighbour), heard, ...spread, patch(neighbour)], []],
  ['another client is begun with before all workers know', [heard, claim(neighbour), ...spread, patch(neighbour)], []],
  [
    'another client is begun with, and whoever heard it died',
    [
      heard,
      event({ kind: 'kill', worker: 1, where: 'patch:after commit' }),
      ...spread,
      claim(neighbour),
      patch(neighbour),
    ],
    [],
  ],
])('a Retry-After is kept: %s', (_what, steps, refs) => {
  const evidence = evidenceOf(after(...steps), { ends: [endOf(client), endOf(neighbour)] });
  expect(throttleIsRespected(evidence).map(({ rule, ref }) => `${rule} ${ref}`)).toEqual(
    refs.map((ref) => `retry_after ${ref}`),
  );
});
