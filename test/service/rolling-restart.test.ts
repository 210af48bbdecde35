import { expect, test } from 'vitest';
import { isChange } from '../emulator/log.ts';
import { KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { startLogins } from '../support/logins.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

test('every worker is replaced, one after the other, while the whole fleet is rotated', async () => {
  const fleet = await startFleet({ deployment: { concurrency: 2 } });
  const clients = await Promise.all(
    [PEM_APP, PEM_APP, PEM_APP, KID_APP, KID_APP, KID_APP].map((app) => fleet.managed(app)),
  );
  const old = [await fleet.start(), await fleet.start()];
  const streams = await Promise.all(clients.map((client) => startLogins(client, fleet)));
  const { rotations } = await fleet.request({ select: { all: true } });
  await until('the first PATCH', () => fleet.emulator.log.some(isChange));
  for (const service of old) {
    await service.stop();
    await fleet.start();
  }
  for (const client of clients) {
    await fleet.reached(client, rotations.find(({ client: ref }) => ref === client.ref)?.id ?? '');
  }
  for (const stream of streams) expect((await stream.stop()).refused).toEqual([]);
  await expectSound(fleet, clients);
});
