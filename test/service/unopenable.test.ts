/** Private halves that are gone, or cannot be opened any more: nothing is given up that a person did not ask for, and a compromise still gets through. */
import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import { expect, test } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import type { Config } from '../../src/config/model.ts';
import { storeKeys } from '../../src/store/keys.ts';
import { type Fleet, type FleetClient, KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { startLogins } from '../support/logins.ts';
import { thumbprints } from '../support/published.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

const keys = storeKeys('rekeyd');

const QUITTER = { ...PEM_APP, policy: { attempts: 3 } };
const LONG_OVERLAP = { ...KID_APP, policy: { ...KID_APP.policy, attempts: 3, propagation: '0s', overlap: '1h' } };

/** Makes the private half of a key useless; answers the config that workers run with from then on. */
type Spoil = (fleet: Fleet, client: FleetClient, kid: string) => Promise<Config>;

const missing: Spoil = async ({ redis: { socketPath }, config }, { ref }, kid) => {
  const redis = new Redis(socketPath);
  await redis.hdel(keys.sealed(ref), kid);
  redis.disconnect();
  return config;
};

const tampered: Spoil = async ({ resources, config }, { ref }, kid) => {
  const jwe = (await resources.store.sealedHalf(ref, kid)) ?? '';
  await resources.store.replaceSealed(ref, { thumbprint: kid, oldJwe: jwe, jwe: `${jwe.slice(0, -6)}AAAAAA` }, []);
  return config;
};

const keks =
  (id: string): Spoil =>
  ({ file, env, config }) =>
    parseConfig(JSON.stringify({ ...file, encryption: { keks: [{ id, key: 'env:KEK' }] } }), {
      file: config.file,
      env: { ...env, KEK: randomBytes(32).toString('base64url') },
    });

async function activeKid(fleet: Fleet, client: FleetClient): Promise<string> {
  return (await fleet.record(client)).keys.find(({ state }) => state === 'active')?.thumbprint ?? '';
}

async function sealedCount(fleet: Fleet, { ref }: FleetClient): Promise<number> {
  return (await fleet.resources.store.sealedHalves(ref)).size;
}

test.each<[string, Spoil]>([
  ['is not in the store', missing],
  ['was changed in the store', tampered],
  ['is sealed under a KEK that is not configured', keks('kek-2')],
  ['is sealed under a KEK whose value was replaced', keks('kek-1')],
])('the key in use %s: it stays until it is reported as compromised, and is replaced then', async (_, spoil) => {
  const fleet = await startFleet({ apps: [QUITTER] });
  const client = await fleet.managed(QUITTER);
  const lost = await activeKid(fleet, client);
  await fleet.start({}, await spoil(fleet, client, lost));

  const logins = await startLogins(client, fleet);
  await fleet.reached(client, await fleet.rotate(client), 'failed');
  const left = await sealedCount(fleet, client);
  for (let round = 0; round < 2; round += 1) await fleet.reached(client, await fleet.rotate(client), 'failed');
  expect(await sealedCount(fleet, client), 'requests leave no more keys behind').toBe(left);
  expect(fleet.patches(client)).toEqual([]);
  expect((await logins.stop()).refused).toEqual([]);

  const { kid, replaces } = await fleet.reached(client, await fleet.rotate(client, { compromised: true }));
  expect(replaces).toBe(client.key.kid);
  expect(await Promise.all(fleet.patches(client).map(({ body }) => thumbprints(body)))).toEqual([[kid]]);
  await expectSound(fleet, [client]);
  const after = await startLogins(client, fleet);
  await after.more(2);
  expect(await after.stop()).toMatchObject({ fallback: 0, refused: [] });
  const told = await fleet.audit();
  const [without] = told.filter(({ type, data }) => type === 'key.delivered' && data.left_out !== undefined);
  expect(without?.data).toMatchObject({ current: null, next: kid, left_out: [replaces], error: expect.any(String) });
  expect(told).toContainEqual(
    expect.objectContaining({
      type: 'key.proven',
      data: expect.objectContaining({ kid: replaces, expected: 'refused', verdict: 'unknown' }),
    }),
  );
});

test('an old key that cannot be opened holds up neither the next rotation nor its own end', async () => {
  const fleet = await startFleet({ apps: [LONG_OVERLAP] });
  const client = await fleet.managed(LONG_OVERLAP);
  await fleet.start();
  const first = await fleet.rotate(client);
  const { replaces } = await fleet.reached(client, first, 'active');
  await missing(fleet, client, (await fleet.record(client)).keys[0]?.thumbprint ?? '');

  const logins = await startLogins(client, fleet);
  await fleet.reached(client, await fleet.rotate(client), 'active');
  await fleet.rotate(client, { compromised: { kid: replaces } });
  await fleet.reached(client, first);
  expect(await logins.stop()).toMatchObject({ fallback: 0, refused: [] });
  const { keys, former } = await fleet.record(client);
  expect(keys.map(({ kid }) => kid)).not.toContain(replaces);
  expect(former).toContainEqual(expect.objectContaining({ kid: replaces, compromised: true }));
});

test('a KEK that comes back: signers get the key in use again, and what was left behind is destroyed', async () => {
  const fleet = await startFleet({ apps: [QUITTER] });
  const client = await fleet.managed(QUITTER);
  const kid = await activeKid(fleet, client);
  const amnesic = await fleet.start({}, await keks('kek-2')(fleet, client, kid));
  await fleet.reached(client, await fleet.rotate(client), 'failed');
  await amnesic.stop();
  expect(await sealedCount(fleet, client)).toBe(2);

  await fleet.start();
  await until(
    'the key of the failed rotation is destroyed',
    async (saw) => saw(await sealedCount(fleet, client)) === 1,
  );
  expect(await activeKid(fleet, client)).toBe(kid);
  const logins = await startLogins(client, fleet);
  await logins.more(2);
  expect(await logins.stop()).toMatchObject({ fallback: 0, refused: [] });
});
