/** What a log says of a Redis that is gone for a while. */
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { PEM_APP, startFleet } from '../support/fleet.ts';
import { until } from '../support/until.ts';

/** Long enough for every connection to be tried again several times. */
const OUTAGE_MS = 3_000;

test('an outage of Redis is one line when it begins, with a reason, and one when it is over', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  await fleet.start();
  await fleet.reached(client, await fleet.rotate(client));
  const before = fleet.lines.length;
  const told = () => fleet.lines.slice(before).map((line) => JSON.parse(line));
  await fleet.redis.kill();
  await delay(OUTAGE_MS);
  await fleet.redis.restart();
  await until('it is over', () => told().filter(({ msg }) => msg === 'connected to Redis again').length === 2);
  await fleet.reached(client, await fleet.rotate(client));
  const warnings = told().filter(
    ({ level, msg }) => level === 'warn' && /^(queue|worker|lost the connection)/.test(msg),
  );
  // Commands that were sent again afterwards may find that their jobs have ended.
  const ofOutage = warnings.filter(({ error }) => !error.startsWith('Missing key for job'));
  // The service and the test have a connection each. Where both say the same, the second line is left out.
  const line = { msg: 'lost the connection to Redis; work waits until it is back', error: expect.stringMatching(/./) };
  expect([1, 2]).toContain(ofOutage.length);
  for (const one of ofOutage) expect(one).toMatchObject(line);
});
