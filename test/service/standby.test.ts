/** A standby key on real clients: ready before anybody asks, and in use after one PATCH. */
import { expect, test } from 'vitest';
import { DEPLOYMENT, KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { startLogins } from '../support/logins.ts';
import { thumbprints } from '../support/published.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

const policy = { standby: true, propagation: '0s', overlap: '0s' };

test.each([
  { ...PEM_APP, policy },
  { ...KID_APP, policy: { ...KID_APP.policy, ...policy } },
])('$slug: it is made in idle time, a compromise uses it, and another one follows', async (app) => {
  const fleet = await startFleet({ apps: [app] });
  const client = await fleet.managed(app);
  await fleet.start();
  const ready = (besides?: string) =>
    until('a standby key is with signers', async () => {
      const { standby, signers } = await fleet.record(client);
      const kid = standby?.kid ?? null;
      return kid !== null && kid !== besides && signers.delivered?.next === kid && kid;
    });
  const kept = await ready();
  const logins = await startLogins(client, fleet);
  const rotation = await fleet.rotate(client, { compromised: true, keep_standby: true });
  const { kid } = await fleet.reached(client, rotation);
  expect(kid).toBe(kept);
  const bodies = await Promise.all(fleet.patches(client).map(({ body }) => thumbprints(body)));
  expect(bodies).toEqual([[kept]]);
  expect(await thumbprints(fleet.emulator.client(DEPLOYMENT, app.slug, client.id))).toEqual([kept]);
  await ready(kept);
  expect((await logins.stop()).refused).toEqual([]);
  // What the rotation took was made before it.
  const made = (await fleet.audit()).filter(({ type }) => type === 'key.generated');
  expect(made.map(({ data }) => data.standby)).toEqual([true, true]);
  await expectSound(fleet, [client]);
});
