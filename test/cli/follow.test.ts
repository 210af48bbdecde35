import { expect, onTestFinished, test } from 'vitest';
import { follow, type RotationOutcome } from '../../src/commands/follow.ts';
import type { ClientRef } from '../../src/core/client.ts';
import { beginRotation } from '../support/begin.ts';
import { PEM_APP, startFleet } from '../support/fleet.ts';
import { until } from '../support/until.ts';

test('whoever follows a fleet loads a record only when it was committed', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const clients = [await fleet.managed(PEM_APP), await fleet.managed(PEM_APP), await fleet.managed(PEM_APP)];
  const rotations = await Promise.all(
    clients.map(async (client) => ({ id: await beginRotation(fleet, client), client: client.ref })),
  );
  const { store } = fleet.resources;
  const loaded: ClientRef[] = [];
  let asked = 0;
  const watched = {
    history: store.history,
    lastOp: (ref: ClientRef) => {
      asked += 1;
      return store.lastOp(ref);
    },
    loadMany: (refs: readonly ClientRef[]) => {
      loaded.push(...refs);
      return store.loadMany(refs);
    },
  };
  const stop = new AbortController();
  onTestFinished(() => stop.abort());
  const lines: string[] = [];
  const outcomes: RotationOutcome[] = [];
  const following = follow(
    watched,
    rotations,
    'active',
    { signal: stop.signal },
    {
      moved: ({ client }, phase) => lines.push(`${client} ${phase}`),
      ended: (outcome) => outcomes.push(outcome),
      looked: () => {},
    },
  );
  await until('each was looked at three times', (saw) => saw(asked) >= 9);
  expect(loaded.toSorted()).toEqual(clients.map(({ ref }) => ref).toSorted());
  await fleet.start();
  await following;
  expect(outcomes.map(({ state, error }) => ({ state, error }))).toEqual(
    Array(3).fill({ state: expect.stringMatching(/active|finished/), error: null }),
  );
  expect(lines.length).toBeGreaterThanOrEqual(6);
});
