/** Redis killed in the middle of rotations: the service stays up and goes on by itself. */

import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { isChange } from '../emulator/log.ts';
import { KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { startLogins } from '../support/logins.ts';
import { OLD_KEY_LEAVES, watchFor } from '../support/points.ts';
import { type RedisSetup, redisKinds } from '../support/redis.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

/** Long enough for every connection to notice; the real thing may take as long as it likes. */
const OUTAGE_MS = 2_000;

const SETUPS: readonly RedisSetup[] = [
  ...redisKinds.map((kind) => ({ kind, appendfsync: 'always' }) as const),
  ...redisKinds.filter((kind) => kind === 'valkey').map((kind) => ({ kind, appendfsync: 'everysec' }) as const),
];

test.each(SETUPS)(
  '$kind (appendfsync $appendfsync) gone while keys are published, proven and retired',
  async (redis) => {
    const apps = [
      { ...PEM_APP, policy: { overlap: '1s' } },
      { ...KID_APP, policy: { strategy: 'overlap', propagation: '1s', overlap: '1s' } },
    ];
    const fleet = await startFleet({ apps, redis, deployment: { timeout: '3s' } });
    const clients = await Promise.all(
      apps.flatMap((app) => [fleet.managed(app), fleet.managed(app), fleet.managed(app)]),
    );
    const leaving = watchFor(OLD_KEY_LEAVES);
    await fleet.start({ lockMs: 3_000, hooks: leaving.hooks });
    const streams = await Promise.all(clients.map((client) => startLogins(client, { ...fleet, everyMs: 60 })));
    const { rotations } = await fleet.request({ select: { all: true } });
    expect(rotations).toHaveLength(clients.length);
    await until('the first PATCH', () => fleet.emulator.log.some(isChange));
    await fleet.redis.kill();
    await delay(OUTAGE_MS);
    await fleet.redis.restart();
    await until('an old key is on its way out', leaving.isPassed);
    await fleet.redis.kill();
    await delay(OUTAGE_MS);
    await fleet.redis.restart();
    for (const client of clients) {
      const rotation = rotations.find((one) => one.client === client.ref)?.id ?? '';
      await fleet.reached(client, rotation);
    }
    for (const stream of streams) expect((await stream.stop()).refused).toEqual([]);
    await expectSound(fleet, clients);
  },
);
