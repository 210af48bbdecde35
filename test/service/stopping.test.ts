import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { CHANGE } from '../emulator/fault-rules.ts';
import { PEM_APP, startFleet } from '../support/fleet.ts';
import { startLive, told } from '../support/live-config.ts';
import { startLogins } from '../support/logins.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

function latch(): { readonly opened: Promise<void>; open(): void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: resolve };
}

test('stop waits for the PATCH under way, and the rotation goes on with the next start', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  const service = await fleet.start();
  const logins = await startLogins(client, fleet);
  const answer = latch();
  const match = CHANGE;
  const hold = fleet.emulator.faults.add({ kind: 'hold', until: answer.opened, when: 'after', match });
  const rotation = await fleet.rotate(client);
  await until('the PATCH is under way', (saw) => saw(hold.fired) === 1);
  const stopping = service.stop();
  expect(service.stop()).toBe(stopping);
  let stopped = false;
  void stopping.then(() => {
    stopped = true;
  });
  await logins.more(5);
  expect(stopped).toBe(false);
  answer.open();
  await stopping;
  expect(await fleet.rotation(client, rotation)).toMatchObject({ state: expect.stringMatching(/running|active/) });

  await fleet.start();
  await fleet.reached(client, rotation);
  expect((await logins.stop()).refused).toEqual([]);
  expect(fleet.patches(client)).toHaveLength(1);
  await expectSound(fleet, [client]);
});

test('what does not end within the grace is cut off, and taken up again with the same bytes', async () => {
  const fleet = await startFleet({
    apps: [PEM_APP],
    config: { shutdown_grace: '200ms' },
    deployment: { timeout: '10m' },
  });
  const client = await fleet.managed(PEM_APP);
  const service = await fleet.start();
  const logins = await startLogins(client, fleet);
  const stall = fleet.emulator.faults.add({ kind: 'stall', when: 'after', match: CHANGE });
  const rotation = await fleet.rotate(client);
  await until('the PATCH is under way', (saw) => saw(stall.fired) === 1);
  await service.stop(); // long before the PATCH would time out
  await fleet.start();
  await fleet.reached(client, rotation);
  expect((await logins.stop()).refused).toEqual([]);
  const [first, second, ...more] = fleet.patches(client).map(({ body }) => JSON.stringify(body));
  expect(second).toBe(first);
  expect(more).toEqual([]);
  await expectSound(fleet, [client]);
});

test('a start that fails leaves nothing open', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  await fleet.resources.store.append([]);
  const taken = { ...fleet.file, http: { listen: new URL(fleet.emulator.url).host } };
  await expect(fleet.start({ http: true }, await fleet.configOf(taken))).rejects.toThrow(/EADDRINUSE|in use/);
});

test('a service whose login Redis refuses stops soon, with a step under way and however long its grace is', async () => {
  const fleet = await startFleet({ apps: [PEM_APP], deployment: { timeout: '10m' } });
  const client = await fleet.managed(PEM_APP);
  const admin = new Redis(fleet.redis.socketPath);
  onTestFinished(() => admin.disconnect());
  await admin.call('ACL', 'SETUSER', 'worker', 'on', '>first', '~*', '&*', '+@all');
  const url = fleet.redis.url.replace('redis://', 'redis://worker:first@');
  await writeFile(join(fleet.dir, 'redis-url'), url);
  const stall = fleet.emulator.faults.add({ kind: 'stall', when: 'before', match: CHANGE });
  const service = await startLive(fleet, { redis: { url: 'file:./redis-url' }, shutdown_grace: '10m' });
  await fleet.rotate(client);
  await until('the PATCH is under way', (saw) => saw(stall.fired) === 1);
  await admin.call('ACL', 'SETUSER', 'worker', 'resetpass', '>second');
  await admin.call('CLIENT', 'KILL', 'USER', 'worker');
  let stopped = false;
  void service.stop().then(() => {
    stopped = true;
  });
  await until('it has stopped', () => stopped, 30_000);
  const messages = told(fleet, 'warn').map(({ msg }) => msg);
  expect(messages).toContainEqual(expect.stringMatching(/^Redis does not answer: connections are cut off/));
  expect(messages).not.toContain('stopped without closing everything');
});
