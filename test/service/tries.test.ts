/** A rotation and each old key have tries of their own: none waits, or is given up, for what happened to another. */

import { expect, test } from 'vitest';
import { CHANGE } from '../emulator/fault-rules.ts';
import { withPem } from '../emulator/testing.ts';
import {
  DEPLOYMENT,
  type Fleet,
  type FleetApp,
  type FleetClient,
  type FleetOptions,
  KID_APP,
  PEM_APP,
  startFleet,
} from '../support/fleet.ts';
import { startLogins } from '../support/logins.ts';
import { thumbprints } from '../support/published.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

const INTROSPECT = { path: /introspect/ };
const FOR_EVER = { times: Number.POSITIVE_INFINITY };

/** Nobody looks at the lists but the rotations themselves. */
const UNSEEN = { config: { reconcile_every: '1h' } } satisfies FleetOptions;

const OVERLAP: FleetApp = { ...KID_APP, policy: { ...KID_APP.policy, attempts: 2 } };

/** Somebody puts the client's first key back before it is shown to be refused, again and again: the server goes on accepting it. */
function stillAccepting({ emulator }: Fleet, { app, id, key }: FleetClient) {
  let isBack = true;
  const put = (kept: readonly object[]) => {
    const { jwks } = emulator.client(DEPLOYMENT, app.slug, id);
    const others = (jwks?.keys ?? []).filter(({ kid }) => kid !== key.kid);
    emulator.edit(DEPLOYMENT, app.slug, id, { jwks: { keys: [...others, ...kept] } });
  };
  return {
    hooks: {
      onPoint(point: string) {
        if (point === 'prove_old:before effect' && isBack) put([withPem(key)]);
      },
    },
    /** From now on it is gone for good. */
    stop() {
      isBack = false;
      put([]);
    },
  };
}

/** Of the client's first key, which is on its way out. */
async function triesOfFirst(fleet: Fleet, client: FleetClient) {
  const { retirements } = await fleet.record(client);
  return retirements.find(({ kid }) => kid === client.key.kid)?.tries;
}

test('an old key that is still accepted never takes the next rotation back', async () => {
  const fleet = await startFleet({ apps: [OVERLAP], ...UNSEEN });
  const client = await fleet.managed(OVERLAP);
  const accepting = stillAccepting(fleet, client);
  await fleet.start(accepting);
  const first = await fleet.rotate(client);
  await until('it was accepted again and again', async () => ((await triesOfFirst(fleet, client))?.failed ?? 0) > 2);
  expect((await triesOfFirst(fleet, client))?.error).toContain(`still accepts the old key ${client.key.kid}`);
  const second = await fleet.reached(client, await fleet.rotate(client), 'active');
  expect((await triesOfFirst(fleet, client))?.failed).toBeGreaterThan(2);
  accepting.stop();
  await fleet.reached(client, first);
  await fleet.reached(client, second.id);
  expect(await thumbprints(fleet.emulator.client(DEPLOYMENT, OVERLAP.slug, client.id))).toEqual([second.kid]);
  await expectSound(fleet, [client]);
});

test('an old key that is not tried again for long delays no rotation', async () => {
  const slow = { deployment: { backoff: { base: '1h', max: '1h' } } };
  const fleet = await startFleet({ apps: [OVERLAP], ...UNSEEN, ...slow });
  const client = await fleet.managed(OVERLAP);
  const accepting = stillAccepting(fleet, client);
  await fleet.start(accepting);
  const first = await fleet.rotate(client);
  await until('it was accepted', async (saw) => saw(await triesOfFirst(fleet, client))?.failed === 1);
  const second = await fleet.rotate(client);
  await fleet.reached(client, second);
  expect(await triesOfFirst(fleet, client)).toMatchObject({ failed: 1 });
  // Somebody who reports it does not wait for it.
  accepting.stop();
  await fleet.rotate(client, { compromised: { kid: client.key.kid } });
  await fleet.reached(client, first);
  await expectSound(fleet, [client]);
});

test('answers that tell nothing about an old key do not count as refusals', async () => {
  const fleet = await startFleet({ apps: [KID_APP], ...UNSEEN });
  const client = await fleet.managed(KID_APP);
  const accepting = stillAccepting(fleet, client);
  // The new key is proven first. Then: twice nothing, and once a word that may have another reason.
  const silent = { kind: 'status', status: 503, match: INTROSPECT, skip: 1, times: 2 } as const;
  const vague = { kind: 'status', status: 401, match: INTROSPECT, skip: 1 } as const;
  const faults = [fleet.emulator.faults.add(silent), fleet.emulator.faults.add(vague)];
  await fleet.start(accepting);
  const rotation = await fleet.rotate(client);
  await until('it is accepted after all', async () => {
    return (
      (await triesOfFirst(fleet, client))?.error?.includes('still accepts') && faults.every(({ fired }) => fired > 0)
    );
  });
  expect(faults.map(({ fired }) => fired)).toEqual([2, 1]);
  expect((await fleet.resources.store.sealedHalves(client.ref)).size).toBe(2);
  accepting.stop();
  await fleet.reached(client, rotation);
  await expectSound(fleet, [client]);
});

test.each([
  ['is throttled', 429],
  ['is not answered', 503],
])('after a cutover whose proof %s, the old key is back within prove_within', async (_, status) => {
  const app = { ...PEM_APP, policy: { prove_within: '1s', attempts: 1_000 } };
  const fleet = await startFleet({ apps: [app], ...UNSEEN });
  const client = await fleet.managed(app);
  // Before the cutover the issuer answers.
  const fault = { kind: 'status', status, retryAfter: 3_600, match: INTROSPECT, skip: 1, ...FOR_EVER } as const;
  fleet.emulator.faults.add(fault);
  await fleet.start();
  const { error } = await fleet.reached(client, await fleet.rotate(client), 'rolled_back');
  expect(error).toContain('not proven in time');
  expect(fleet.patches(client)).toHaveLength(2);
  fleet.emulator.faults.clear();
  const logins = await startLogins(client, fleet);
  await logins.more(3);
  expect(await logins.stop()).toMatchObject({ refused: [], fallback: 0 });
});

test.each([
  ['a PATCH with it', { kind: 'status', status: 400, match: CHANGE } as const],
  [
    'the assertions it signs',
    { kind: 'status', status: 401, message: 'Invalid token', match: INTROSPECT, times: 3 } as const,
  ],
])('after a compromise, another key is made when the server refuses %s', async (_, fault) => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  const struck = fleet.emulator.faults.add(fault);
  await fleet.start();
  const rotation = await fleet.rotate(client, { compromised: true });
  const { kid } = await fleet.reached(client, rotation);
  expect(struck.fired).toBe(fault.kind === 'status' && 'times' in fault ? fault.times : 1);
  const audit = (await fleet.audit()).filter((entry) => entry.rotation === rotation);
  const made = audit.filter(({ type }) => type === 'key.generated').map(({ data }) => data.kid);
  expect(made).toEqual([expect.any(String), kid]);
  const [refused] = made;
  await until('the refused key is gone', async () => {
    return (await fleet.record(client)).former.some((key) => key.kid === refused);
  });
  const logins = await startLogins(client, fleet);
  await logins.more(2);
  expect(await logins.stop()).toMatchObject({ refused: [], fallback: 0 });
});
