/** A key is imported in whatever form the server shows it, and is gone in every form after a rotation. */
import { expect, test } from 'vitest';
import { importKey } from '../../src/rotation/import.ts';
import { keksOf } from '../../src/rotation/policy.ts';
import { makePair } from '../emulator/testing.ts';
import { DEPLOYMENT, type FleetClient, PEM_APP, startFleet } from '../support/fleet.ts';
import { thumbprints } from '../support/published.ts';
import { formsOf } from './forms.ts';

const APP = { ...PEM_APP, policy: { modulus_length: 2048 } };
const CAUSE = { actor: 'test', reason: 'import', request: null };

test.each(['RS256', 'ES256'] as const)('a published %s key is ours in each of its forms', async (alg) => {
  const fleet = await startFleet({ apps: [APP] });
  const { privateKey } = makePair(alg);
  const text = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const imported: FleetClient[] = [];
  for (const { what, jwk } of formsOf(privateKey)) {
    const kid = `kid of ${what}`;
    const client = await fleet.foreign(APP, { alg, members: { jwks: { keys: [{ ...jwk, kid }] } } });
    const { key } = await importKey(fleet.resources, keksOf(fleet.config), {
      ref: client.ref,
      text,
      cause: CAUSE,
      // Nobody signs in with some of these forms.
      unproven: true,
      enroll: true,
    });
    expect(key, what).toMatchObject({ kid, alg, state: 'active' });
    expect(fleet.patches(client), what).toEqual([]);
    imported.push(client);
  }
  expect(imported.length).toBeGreaterThanOrEqual(8);

  await fleet.start();
  await Promise.all(imported.map(async (client) => fleet.reached(client, await fleet.rotate(client))));
  for (const client of imported) {
    const { keys } = await fleet.record(client);
    expect(await thumbprints(fleet.emulator.client(DEPLOYMENT, APP.slug, client.id))).toEqual([keys[0]?.thumbprint]);
    expect(keys).toHaveLength(1);
  }
});
