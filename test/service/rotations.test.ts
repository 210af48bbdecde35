import { expect, test } from 'vitest';
import { KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { startLogins } from '../support/logins.ts';
import { thumbprints } from '../support/published.ts';
import { redisKinds } from '../support/redis.ts';
import { expectSound } from '../support/sound.ts';

test.each(redisKinds)('an overlap refuses no login and needs no fallback (%s)', async (kind) => {
  const fleet = await startFleet({ redis: { kind } });
  const client = await fleet.managed(KID_APP);
  await fleet.start();
  const logins = await startLogins(client, fleet);
  const first = await fleet.reached(client, await fleet.rotate(client));
  const second = await fleet.reached(client, await fleet.rotate(client));
  await logins.more(5);
  const { refused, fallback } = await logins.stop();

  expect({ refused, fallback }).toEqual({ refused: [], fallback: 0 });
  expect(first.strategy).toBe('overlap');
  expect(second.replaces).toBe(first.kid);
  const bodies = await Promise.all(fleet.patches(client).map(({ body }) => thumbprints(body)));
  const [imported = ''] = bodies[0] ?? [];
  expect(bodies).toEqual([[imported, first.kid], [first.kid], [first.kid, second.kid], [second.kid]]);
  await expectSound(fleet, [client]);
});

test.each(redisKinds)(
  'a cutover refuses no login: the signer falls back at most while it happens (%s)',
  async (kind) => {
    const fleet = await startFleet({ redis: { kind } });
    const client = await fleet.managed(PEM_APP);
    await fleet.start();
    const logins = await startLogins(client, fleet);
    const first = await fleet.reached(client, await fleet.rotate(client));
    const second = await fleet.reached(client, await fleet.rotate(client));
    await logins.more(1);
    const during = logins.fallback;
    await logins.more(5);
    const { ok, fallback, refused } = await logins.stop();

    expect(refused).toEqual([]);
    expect(ok).toBeGreaterThan(0);
    expect(fallback, 'none after it').toBe(during);
    expect(second.strategy).toBe('cutover');
    const bodies = await Promise.all(fleet.patches(client).map(({ body }) => thumbprints(body)));
    expect(bodies).toEqual([[first.kid], [second.kid]]);
    await expectSound(fleet, [client]);
  },
);
