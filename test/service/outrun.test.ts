/** Workers that stood still, or heard late from the store, while the world went on. */
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { ClientRef } from '../../src/core/client.ts';
import { effectsFor } from '../../src/rotation/effects.ts';
import { type RecordStore, rotate, type Tools } from '../../src/rotation/loop.ts';
import { clientPolicy, keksOf } from '../../src/rotation/policy.ts';
import { beginRotation } from '../support/begin.ts';
import { KID_APP, startFleet } from '../support/fleet.ts';

test('two that were outrun while they delivered do not keep each other, and everybody else, from the record', async () => {
  const fleet = await startFleet({ apps: [KID_APP] });
  const client = await fleet.managed(KID_APP);
  await beginRotation(fleet, client);
  const { parts } = fleet;
  const policy = clientPolicy(parts, client.ref);
  if (policy === null) throw new Error('no policy');

  /** Whatever one of the two takes over, the other one has by the time it writes. */
  const contested: RecordStore = {
    load: (ref) => parts.store.load(ref),
    release: (ref, holder) => parts.store.release(ref, holder),
    commit: (change) => parts.store.commit(change),
    async claim(ref: ClientRef, hold) {
      const held = await parts.store.claim(ref, hold);
      if (hold === undefined) await parts.store.claim(ref);
      return held;
    },
  };
  let overtaken = false;
  const tools: Tools = {
    store: contested,
    hold: { holder: 'one', forMs: 1 },
    effects: effectsFor(client.ref, policy, parts, keksOf(fleet.config)),
    random: Math.random,
    async onPoint(point) {
      if (point !== 'deliver:before commit' || overtaken) return;
      overtaken = true;
      await parts.store.claim(client.ref);
    },
  };
  expect(await rotate(client.ref, policy, tools, new AbortController().signal)).toEqual({ kind: 'outrun' });
  expect(await fleet.record(client)).toMatchObject({ delivered: null });
});

test('an intent that is confirmed after its deadline sends nothing', async () => {
  const fleet = await startFleet({ apps: [KID_APP], deployment: { timeout: '100ms' } });
  const client = await fleet.managed(KID_APP);
  await beginRotation(fleet, client);
  const { parts } = fleet;
  const policy = clientPolicy(parts, client.ref);
  if (policy === null) throw new Error('no policy');
  const effects = effectsFor(client.ref, policy, parts, keksOf(fleet.config));
  const tools: Tools = {
    store: {
      load: (ref) => parts.store.load(ref),
      release: (ref, holder) => parts.store.release(ref, holder),
      claim: (ref, hold) => parts.store.claim(ref, hold),
      async commit(change) {
        const committed = await parts.store.commit(change);
        // The store has it, and its answer is held up on the way.
        if (change.record.inFlight !== null && change.durable) await delay(effects.patchDeadlineMs + 100);
        return committed;
      },
    },
    hold: { holder: 'one', forMs: 60_000 },
    effects,
    random: Math.random,
  };
  await rotate(client.ref, policy, tools, new AbortController().signal);
  expect((await fleet.record(client)).inFlight).not.toBeNull();
  expect(fleet.patches(client)).toEqual([]);
});
