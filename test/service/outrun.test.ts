/** Workers that stood still, or heard late from the store, while the world went on. */
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { type RecordStore, rotate, type Tools } from '../../src/rotation/loop.ts';
import { beginRotation } from '../support/begin.ts';
import { KID_APP, startFleet } from '../support/fleet.ts';
import { handsOf } from '../support/hands.ts';

/** Ends a run once it has passed that point. */
function stopsAfter(name: string) {
  const stop = new AbortController();
  const onPoint = (point: string) => {
    if (point === name) stop.abort(new Error('seen enough'));
  };
  return { signal: stop.signal, onPoint };
}

test('two that were outrun while they delivered do not keep each other, and everybody else, from the record', async () => {
  const fleet = await startFleet({ apps: [KID_APP] });
  const client = await fleet.managed(KID_APP);
  await beginRotation(fleet, client);
  const { store } = fleet.resources;
  const { policy, ...hands } = handsOf(fleet, client);

  let overtaken = false;
  /** Once it was outrun, whatever this worker takes over, another one has by the time it writes. */
  const contested: RecordStore = {
    load: (ref) => store.load(ref),
    commit: (change) => store.commit(change),
    async claim(ref, leastEpoch) {
      const held = await store.claim(ref, leastEpoch);
      if (overtaken) await store.claim(ref);
      return held;
    },
  };
  const tools: Tools = {
    ...hands,
    store: contested,
    async onPoint(point) {
      if (point !== 'deliver:before commit' || overtaken) return;
      overtaken = true;
      await store.claim(client.ref);
    },
  };
  expect(await rotate(client.ref, policy, tools, new AbortController().signal)).toMatchObject({ kind: 'outrun' });
  expect(overtaken).toBe(true);
  expect(await fleet.record(client)).toMatchObject({ signers: { delivered: null } });
});

test('an intent that is confirmed after its deadline sends nothing', async () => {
  const fleet = await startFleet({ apps: [KID_APP] });
  const client = await fleet.managed(KID_APP);
  await beginRotation(fleet, client);
  const { store } = fleet.resources;
  const { policy, ...hands } = handsOf(fleet, client);
  const effects = { ...hands.effects, patchDeadlineMs: 100 };
  const slow: RecordStore = {
    load: (ref) => store.load(ref),
    claim: (ref, leastEpoch) => store.claim(ref, leastEpoch),
    async commit(change) {
      const committed = await store.commit(change);
      // The store has it, and its answer is held up on the way.
      if (change.record.server.inFlight !== null && change.durable) await delay(effects.patchDeadlineMs + 100);
      return committed;
    },
  };
  const { signal, ...stopper } = stopsAfter('patch:after effect');
  const run = rotate(client.ref, policy, { ...hands, ...stopper, effects, store: slow }, signal);
  await expect(run).rejects.toThrow('seen enough');
  const { rotation, server } = await fleet.record(client);
  expect(server.inFlight).toBeNull();
  expect(rotation?.tries).toMatchObject({ failed: 1, error: expect.stringContaining('nothing was sent') });
  expect(fleet.patches(client)).toEqual([]);
});
