/** `rekeyd audit tail --follow`: what a collector reads, line by line, and goes on with later. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { grow } from '../audit/sealing.ts';
import { draft, open } from '../store/fixtures.ts';
import { COMPILED } from '../support/compiled.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { CLI, openWorld, type Running, secrets, type World } from './fixture.ts';

let redis: RedisServer;
let world: World;
beforeAll(async () => {
  redis = await startRedis();
  world = await openWorld({ redis: { url: `unix://${redis.socketPath}` } });
});
afterAll(async () => {
  await world.close();
  await redis.stop();
});

async function twoMore(): Promise<void> {
  const { store, close } = await open(redis.socketPath);
  await store.append([draft(null), draft(null)]);
  await close();
}

const seqsOf = ({ stdout }: Running) =>
  stdout()
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line).seq);

it('prints each entry as one line of JSON, and goes on after a number and after Redis was away', async () => {
  await twoMore();
  const first = world.spawn(['audit', 'tail', '--follow', '--json', '--after', '0']);
  await until('it has what there was', (saw) => saw(seqsOf(first)).length === 2);
  await redis.kill();
  await redis.restart();
  await twoMore();
  await until('it has what came', (saw) => saw(seqsOf(first)).length === 4);
  first.kill('SIGINT');
  expect(await first.ended).toMatchObject({ code: 0 });
  expect(seqsOf(first)).toEqual([1, 2, 3, 4]);
  const second = world.spawn(['audit', 'tail', '-f', '--json', '--after', '3']);
  await until('it goes on', (saw) => saw(seqsOf(second)).length === 1);
  second.kill('SIGTERM');
  await second.ended;
  expect(seqsOf(second)).toEqual([4]);
});

it('without an end of its own it still is one document, a page after a number', async () => {
  const page = await world.run(['audit', 'tail', '--json', '--after', '1', '-n', '2']);
  expect(JSON.parse(page.stdout)).toMatchObject([{ seq: 2 }, { seq: 3 }]);
  const beyond = await world.run(['audit', 'tail', '-f', '--after', '9000']);
  expect(beyond).toMatchObject({ code: 2, stderr: expect.stringContaining('this log ends at number') });
});

it('a worker goes on when the reader of its exported log has gone', async () => {
  const { store, close } = await open(redis.socketPath);
  await grow(store, [2]);
  await close();
  await world.writeConfig({ ...world.config, audit: { export: [{ kind: 'stdout' }] } }, 'stdout.yaml');
  const child = spawn(process.execPath, [CLI, 'start', '--no-http', '--config', `${world.dir}/stdout.yaml`], {
    cwd: world.dir,
    env: { PATH: process.env.PATH, ...COMPILED, ...secrets },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  const ended = once(child, 'exit');
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text;
  });
  child.stdout.destroy();
  await until('it notices', (saw) => saw(log).includes('audit export failing'), 40_000);
  expect(log).toContain('EPIPE');
  child.kill('SIGTERM');
  expect(await ended).toEqual([0, null]);
});

it('says which entries are no longer there', async () => {
  const { store, redis: raw, close } = await open(redis.socketPath);
  await raw.xtrim(store.keys.audit, 'MINID', '3-0');
  await close();
  const page = await world.run(['audit', 'tail', '--json', '--after', '0', '-n', '1']);
  expect(JSON.parse(page.stdout)).toMatchObject([{ seq: 3 }]);
  expect(page.stderr).toContain('Entries 1 to 2 are no longer in Redis: they were exported and cut.');
});

it('ends in peace when its reader does, and waits for one that is slow', async () => {
  const child = spawn(process.execPath, [CLI, 'audit', 'tail', '-f', '--json', '--after', '0'], {
    cwd: world.dir,
    env: { PATH: process.env.PATH, ...COMPILED, REKEYD_CONFIG: `${world.dir}/rekeyd.yaml`, ...secrets },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  const ended = once(child, 'exit');
  const [line] = await once(createInterface(child.stdout), 'line');
  expect(JSON.parse(line)).toMatchObject({ seq: 3 });
  child.stdout.destroy();
  await twoMore();
  expect(await ended).toEqual([0, null]);
});
