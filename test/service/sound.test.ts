/** What the tests of a fleet end with finds what was planted: the check of how clients stand, and the logins beside what happens. */
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { makeKey, withPem } from '../emulator/testing.ts';
import { apiKeyOf, DEPLOYMENT, type FleetClient, PEM_APP, startFleet } from '../support/fleet.ts';
import { startLogins } from '../support/logins.ts';
import { expectSound } from '../support/sound.ts';

test('a key that is left, published unstored or made twice, a gap in the log, and a refused login are found', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const redis = new Redis(fleet.redis.socketPath);
  onTestFinished(() => redis.disconnect());
  const { store } = fleet.resources;
  const [left, unstored, twice] = [
    await fleet.managed(PEM_APP),
    await fleet.managed(PEM_APP),
    await fleet.managed(PEM_APP),
  ];
  const clients = [left, unstored, twice];
  await expectSound(fleet, clients);
  const logins = await startLogins(unstored, fleet);
  await logins.more(1);
  expect(logins.refused).toEqual([]);

  await redis.hset(store.keys.sealed(left.ref), 'planted', 'a JWE');
  await expect(expectSound(fleet, [left])).rejects.toThrow('has the private half of those keys alone');

  await publish(unstored, fleet.emulator.url);
  await expect(expectSound(fleet, [unstored])).rejects.toThrow('was stored before it was published');
  await logins.more(2);
  expect((await logins.stop()).refused).not.toEqual([]);

  const made = { type: 'key.generated', client: twice.ref, rotation: 'r1', actor: 'test', reason: 'planted' } as const;
  await store.append([1, 2].map((kid) => ({ ...made, data: { kid } })));
  await expect(expectSound(fleet, [twice])).rejects.toThrow('one key for each rotation');

  const [first] = await redis.xrange(store.keys.audit, '-', '+', 'COUNT', 1);
  await redis.xdel(store.keys.audit, first?.[0] ?? '');
  await expect(expectSound(fleet, [])).rejects.toThrow('the log has no gap');
});

/** Somebody else's key takes the place of ours. */
async function publish({ id }: FleetClient, api: string): Promise<void> {
  const { status } = await fetch(`${api}/deployments/${DEPLOYMENT}/oauth/apps/${PEM_APP.slug}/clients/${id}`, {
    method: 'PATCH',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${apiKeyOf(DEPLOYMENT)}` },
    body: JSON.stringify({ jwks: { keys: [withPem(makeKey('ES256'))] } }),
  });
  expect(status).toBe(200);
}
