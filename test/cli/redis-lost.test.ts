/** Somebody waits at a terminal, and Redis goes away. */

import { expect, onTestFinished, test } from 'vitest';
import { requestResult } from '../../jobs/result.ts';
import { follow, type RotationOutcome } from '../../src/commands/follow.ts';
import { CHANGE } from '../emulator/fault-rules.ts';
import { PEM_APP, startFleet } from '../support/fleet.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { documentOf, type Ended, openWorld, type Running, type World } from './fixture.ts';

async function openBoth(): Promise<{ world: World; redis: RedisServer }> {
  const redis = await startRedis();
  onTestFinished(() => redis.stop());
  const world = await openWorld({ redis: { url: `unix://${redis.socketPath}` } });
  onTestFinished(() => world.close());
  return { world, redis };
}

/** It asks for a rotation that no worker is there for. */
async function waiting(world: World): Promise<Running> {
  const asking = world.spawn(['rotate', world.addClient('pem-app').ref, '--wait', '--json']);
  await until('it waits', (saw) => saw(asking.stderr()).includes('no worker is connected'));
  return asking;
}

test.each<[string, 'kill' | 'pause', NodeJS.Signals]>([
  ['is gone', 'kill', 'SIGINT'],
  ['stands still', 'pause', 'SIGTERM'],
])('the first signal ends rotate while Redis %s', async (_, fault, signal) => {
  const { world, redis } = await openBoth();
  const asking = await waiting(world);
  await redis[fault]();
  if (fault === 'kill') await until('it notices', (saw) => saw(asking.stderr()).includes('lost the connection'));
  asking.kill(signal);
  const ended = await asking.ended;
  expect(ended.code, ended.stderr).toBe(1);
  expect(ended.stderr).toContain('stays queued');
  expect(documentOf(ended)).toEqual({ request: expect.any(String), rotations: [], errors: [] });
});

test('the first signal ends rotate that follows its rotation while Redis is gone', async () => {
  const { world, redis } = await openBoth();
  const client = await world.enrolledClient('pem-app');
  world.emulator.faults.add({ kind: 'stall', when: 'before', match: CHANGE });
  await world.start();
  const asking = world.spawn(['rotate', client.ref, '--wait', '--verbose', '--json']);
  await until('it follows', (saw) => saw(asking.stderr()).includes(`${client.ref}  delivered`));
  await redis.kill();
  await until('it notices', (saw) => saw(asking.stderr()).includes('lost the connection'));
  asking.kill('SIGINT');
  const ended = await asking.ended;
  expect(ended.code, ended.stderr).toBe(1);
  expect(ended.stderr).toContain('The rotations go on');
  expect(documentOf(ended).rotations).toMatchObject([{ client: client.ref, state: 'running' }]);
});

test('rotate ends with 3 when Redis stays away, and says what becomes of its request', async () => {
  const { world, redis } = await openBoth();
  const asking = await waiting(world);
  await redis.kill();
  const ended = await asking.ended;
  expect(ended.code, ended.stderr).toBe(3);
  expect(documentOf(ended)).toEqual({
    error: { code: 'redis_unreachable', message: expect.stringMatching(/^Redis has not answered .* stays queued/) },
  });
});

test('a command that follows a rotation says that it goes on when Redis is back', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  const { signal } = new AbortController();
  await fleet.redis.kill();
  const lost = { code: 'redis_unreachable' };
  const rotations = [{ id: 'r1', client: client.ref }];
  const outcomes: RotationOutcome[] = [];
  const follower = { moved: () => {}, ended: (one: RotationOutcome) => outcomes.push(one), looked: () => {} };
  const following = follow(fleet.resources.store, rotations, 'active', { signal, ms: 10 }, follower);
  await expect(following).rejects.toMatchObject({ ...lost, message: expect.stringContaining('The rotations go on') });
  expect(outcomes).toEqual([]);
  await follow(fleet.resources.store, rotations, 'active', { signal: AbortSignal.abort() }, follower);
  expect(outcomes).toMatchObject([{ id: 'r1', state: 'running' }]);
  const result = requestResult(fleet.queues, '1', { signal, ms: 10, onRetry: () => {} });
  await expect(result).rejects.toMatchObject({ ...lost, message: expect.stringContaining('Request 1 stays queued') });
  await fleet.redis.restart();
});

/** A worker with a step under way, whose Redis goes away, and which is told to stop. */
async function stopped(fault: 'kill' | 'pause'): Promise<Ended> {
  const { world, redis } = await openBoth();
  await world.writeConfig({ ...world.config, shutdown_grace: '10m' });
  const client = await world.enrolledClient('pem-app');
  world.emulator.faults.add({ kind: 'stall', when: 'before', match: CHANGE });
  const service = await world.start('--no-schedule', '--no-http');
  expect((await world.run(['rotate', client.ref])).code).toBe(0);
  await until('a PATCH is under way', (saw) => saw(world.patches()) > 0);
  await redis[fault]();
  service.kill('SIGTERM');
  let ended: Ended | null = null;
  void service.ended.then((end) => {
    ended = end;
  });
  return until(`it ends, while Redis does not answer (${fault})`, () => ended, 30_000);
}

test('SIGTERM ends a worker within 30 s while Redis is gone or stands still, however long its grace is', async () => {
  for (const { code, stderr } of await Promise.all([stopped('kill'), stopped('pause')])) {
    expect(code, stderr).toBe(0);
    expect(stderr).toContain('connections are cut off');
  }
});
