/** Secrets behind files are read again when they change and when they are refused, without a restart. */
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { beginRotation } from '../support/begin.ts';
import { whyPaused } from '../support/deployment.ts';
import { apiKeyOf, DEPLOYMENT, type Fleet, KEK, PEM_APP, startFleet } from '../support/fleet.ts';
import { startLive, told } from '../support/live-config.ts';
import { startLogins } from '../support/logins.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

const WRONG_KEK = Buffer.alloc(32, 8).toString('base64url');

/** Writes it as Kubernetes does: another file takes the place. */
async function put(fleet: Fleet, name: string, value: string): Promise<void> {
  const path = join(fleet.dir, name);
  await writeFile(`${path}.new`, value, { mode: 0o600 });
  await rename(`${path}.new`, path);
}

const withKey = (fleet: Fleet, over: object) => ({
  deployments: (fleet.file.deployments as object[]).map((one) => ({ ...one, ...over })),
});

/** What `config.reloaded` said, in order. */
const changesIn = async (fleet: Fleet) =>
  (await fleet.audit()).flatMap(({ type, data }) => (type === 'config.reloaded' ? [data.changes] : []));

test('an API key that was revoked pauses its deployment, and its successor works at once', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const [client, asked] = [await fleet.managed(PEM_APP), await fleet.managed(PEM_APP)];
  await put(fleet, 'api-key', apiKeyOf(DEPLOYMENT));
  // Without the new key, the rotation would be tried again in the next hours.
  const slow = { backoff: { base: '6h', max: '6h' }, api_key: 'file:./api-key' };
  const service = await startLive(fleet, { ...withKey(fleet, slow), reconcile_every: '1h' });
  fleet.emulator.revokeApiKey(apiKeyOf(DEPLOYMENT));
  const logins = await startLogins(client, fleet);
  const rotation = await beginRotation(fleet, client);
  await fleet.queues.wake(client.ref, false);
  await until('the deployment is paused', async () => (await whyPaused(fleet)) !== null);
  const request = { v: 1, reason: 'a test', actor: 'test', select: { clients: [asked.ref] } };
  const waiting = await fleet.queues.request(request);
  await until('the request waits', async () => (await fleet.queues.requests.getJobState(waiting)) === 'delayed');
  fleet.emulator.setApiKey(DEPLOYMENT, 'the-next-key');
  await put(fleet, 'api-key', 'the-next-key\n');
  await fleet.reached(client, rotation);
  expect(await whyPaused(fleet)).toBeNull();
  await until('the other one is rotated, too', () => fleet.patches(asked).length === 1);
  expect((await logins.stop()).refused).toEqual([]);
  expect(await changesIn(fleet)).toEqual([[`deployment ${DEPLOYMENT}: api_key`]]);
  expect(await service.obstacle()).toBeNull();
  expect(fleet.lines.join('')).not.toContain('the-next-key');
  await expectSound(fleet, [client]);
});

test('a key that is refused too leaves the deployment paused, and that is told', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  await put(fleet, 'api-key', apiKeyOf(DEPLOYMENT));
  await startLive(fleet, withKey(fleet, { api_key: 'file:./api-key' }));
  fleet.emulator.revokeApiKey(apiKeyOf(DEPLOYMENT));
  await beginRotation(fleet, client);
  await fleet.queues.wake(client.ref, false);
  await until('the deployment is paused', async () => (await whyPaused(fleet)) !== null);
  await put(fleet, 'api-key', 'a-wrong-key');
  await until('it is told', () =>
    told(fleet, 'warn').some(({ msg }) => msg === 'still paused: the new API key does not help'),
  );
  expect(await whyPaused(fleet)).not.toBeNull();
  expect(fleet.patches(client)).toEqual([]);
});

test('a wrong key does not take the place of one that works, and a right one does', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  await put(fleet, 'api-key', apiKeyOf(DEPLOYMENT));
  const service = await startLive(fleet, withKey(fleet, { api_key: 'file:./api-key' }));
  await put(fleet, 'api-key', 'a-wrong-key');
  await until('it is told', async () => (await service.obstacle())?.includes('api_key leads to a new key'));
  await fleet.reached(client, await fleet.rotate(client));
  expect(await whyPaused(fleet)).toBeNull();

  fleet.emulator.setApiKey(DEPLOYMENT, 'the-next-key');
  await put(fleet, 'api-key', 'the-next-key');
  await until('it is ready again', async () => (await service.obstacle()) === null);
  fleet.emulator.revokeApiKey(apiKeyOf(DEPLOYMENT));
  await fleet.reached(client, await fleet.rotate(client));
  expect(await changesIn(fleet)).toEqual([[`deployment ${DEPLOYMENT}: api_key`]]);
  for (const key of ['a-wrong-key', 'the-next-key']) expect(fleet.lines.join('')).not.toContain(key);
  await expectSound(fleet, [client]);
});

test('a secret file that cannot be used changes nothing, and the service is not ready until it can', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  await put(fleet, 'kek', KEK);
  const service = await startLive(fleet, { encryption: { keks: [{ id: 'kek-1', key: 'file:./kek' }] } });
  for (const [value, problem] of [
    ['', 'is empty'],
    [WRONG_KEK, 'the KEK "kek-1" opens none of the keys that are sealed under it'],
  ] as const) {
    await put(fleet, 'kek', value);
    await until(`it is told: ${problem}`, async () => (await service.obstacle())?.includes(problem));
    await fleet.reached(client, await fleet.rotate(client));
  }
  await put(fleet, 'kek', `${KEK}\n`);
  await until('it is ready again', async () => (await service.obstacle()) === null);
  expect(await changesIn(fleet)).toEqual([]);
  expect(fleet.lines.join('')).not.toContain(WRONG_KEK);
  await expectSound(fleet, [client]);
});

test('a service that starts with a wrong KEK says which, is not ready, and is when the right one lies there', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  await put(fleet, 'kek', WRONG_KEK);
  const service = await startLive(fleet, { encryption: { keks: [{ id: 'kek-1', key: 'file:./kek' }] } });
  expect(await service.obstacle()).toMatch(
    /the KEK "kek-1" opens none of the keys .* such as \S+ of 185019846023\/pem-app/,
  );
  expect(told(fleet, 'error')).toContainEqual(
    expect.objectContaining({ check: 'keks', fix: expect.stringContaining('its own value under its id') }),
  );
  await put(fleet, 'kek', KEK);
  await until('it is ready', async () => (await service.obstacle()) === null);
  await fleet.reached(client, await fleet.rotate(client));
});

test('a password of Redis that is replaced: connections come back with the new one, and a wrong one is not taken', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  const admin = new Redis(fleet.redis.socketPath);
  onTestFinished(() => admin.disconnect());
  const allow = (password: string, ...before: string[]) =>
    admin.call('ACL', 'SETUSER', 'worker', 'on', '~*', '&*', '+@all', ...before, `>${password}`);
  const urlWith = (password: string) => fleet.redis.url.replace('redis://', `redis://worker:${password}@`);
  await allow('first');
  await put(fleet, 'redis-url', urlWith('first'));
  const service = await startLive(fleet, { redis: { url: 'file:./redis-url' } });

  await put(fleet, 'redis-url', urlWith('mistyped'));
  await until('it is told', async () => (await service.obstacle())?.includes('WRONGPASS'));
  await fleet.reached(client, await fleet.rotate(client));

  // The file first, and then the server, which has ended every connection by the time that they can come back.
  await allow('second', 'resetpass');
  await admin.call('CLIENT', 'KILL', 'USER', 'worker');
  await until('the password is refused', () =>
    told(fleet, 'warn').some(({ msg }) => msg.startsWith('Redis does not take the connection')),
  );
  await put(fleet, 'redis-url', urlWith('second'));
  await until('it is ready again', async () => (await service.obstacle()) === null);
  await fleet.reached(client, await fleet.rotate(client));
  await admin.call('CLIENT', 'KILL', 'USER', 'worker');
  await fleet.reached(client, await fleet.rotate(client));
  expect(await changesIn(fleet)).toEqual([['redis']]);
  for (const secret of ['first', 'mistyped', 'second']) expect(fleet.lines.join('')).not.toContain(`:${secret}@`);
  await expectSound(fleet, [client]);
});

test('a login of Redis that came with a refused config is not used any more when the config from before is back', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  const admin = new Redis(fleet.redis.socketPath);
  onTestFinished(() => admin.disconnect());
  await admin.call('ACL', 'SETUSER', 'worker', 'on', '~*', '&*', '+@all', '>first', '>second');
  for (const password of ['first', 'second']) {
    await put(fleet, password, fleet.redis.url.replace('redis://', `redis://worker:${password}@`));
  }
  await put(fleet, 'wrong-kek', WRONG_KEK);
  const service = await startLive(fleet, { redis: { url: 'file:./first' } });
  const keks = [{ id: 'kek-1', key: 'file:./wrong-kek' }];
  const refused = await service.reloadWith({ redis: { url: 'file:./second' }, encryption: { keks } });
  expect(refused).toEqual({ kind: 'refused', problems: [expect.stringContaining('the KEK "kek-1" opens none')] });
  expect(await service.reloadWith({})).toEqual({ kind: 'unchanged' });
  await admin.call('ACL', 'SETUSER', 'worker', '<second');
  await admin.call('CLIENT', 'KILL', 'USER', 'worker');
  await fleet.reached(client, await fleet.rotate(client));
  expect(await service.obstacle()).toBeNull();
});
