/** A Redis that answers and takes no writes: full, or with a user that may not. */
import { mkdir, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { expect, onTestFinished, test, vi } from 'vitest';
import { run } from '../../src/commands/line.ts';
import { members } from '../../src/core/reply.ts';
import { connectRedis } from '../../src/store/redis/connection.ts';
import { type Fleet, PEM_APP, startFleet } from '../support/fleet.ts';
import { freePort } from '../support/ports.ts';
import { until } from '../support/until.ts';

interface Refusal {
  readonly what: string;
  begin(operator: Redis): Promise<unknown>;
  end(operator: Redis): Promise<unknown>;
  readonly says: RegExp;
}

const REFUSALS: readonly Refusal[] = [
  {
    what: 'full (OOM)',
    begin: (operator) => operator.config('SET', 'maxmemory', '1'),
    end: (operator) => operator.config('SET', 'maxmemory', '0'),
    says: /Redis refuses to write: OOM.*Free disk or memory/,
  },
  {
    what: 'whose snapshot failed (MISCONF)',
    begin: async (operator) => {
      await mkdir(await snapshotOf(operator));
      await operator.config('SET', 'save', '900 1');
      await operator.bgsave();
      await until('the snapshot has failed', async () =>
        (await operator.info('persistence')).includes('rdb_last_bgsave_status:err'),
      );
    },
    end: async (operator) => {
      await rmdir(await snapshotOf(operator));
      await operator.config('SET', 'save', '');
    },
    says: /Redis refuses to write: MISCONF.*Free disk or memory/,
  },
  {
    what: 'that was made a replica (READONLY)',
    begin: (operator) => operator.replicaof('127.0.0.1', 1),
    end: (operator) => operator.replicaof('NO', 'ONE'),
    says: /replica/,
  },
  {
    what: 'with a user that may not write any more (NOPERM)',
    begin: (operator) => operator.acl('SETUSER', 'default', '-incr', '-evalsha', '-eval'),
    end: (operator) => operator.acl('SETUSER', 'default', '+@all'),
    says: /does not let its user.*docs\/operations\.md lists/,
  },
  {
    what: 'with a user that lost a right which only BullMQ needs',
    begin: (operator) => operator.acl('SETUSER', 'default', '-set'),
    end: (operator) => operator.acl('SETUSER', 'default', '+@all'),
    says: /the user may not run set\./,
  },
];

async function detailOf(response: Response): Promise<string> {
  const { detail }: { detail?: unknown } = members(await response.json());
  return String(detail);
}

/** Where a folder keeps the server from writing its snapshot. */
async function snapshotOf(operator: Redis): Promise<string> {
  const [, dir = ''] = (await operator.config('GET', 'dir')) as string[]; // a name and its value
  return join(dir, 'dump.rdb');
}

/** A worker with its probes, and an operator whose connection nobody limits. */
async function startWatched(): Promise<{ fleet: Fleet; operator: Redis; ready(): Promise<Response> }> {
  const listen = `127.0.0.1:${await freePort()}`;
  const fleet = await startFleet({ apps: [PEM_APP], config: { http: { listen } } });
  const admin = await connectRedis({ socketPath: fleet.redis.socketPath }, { name: 'admin' });
  await admin.acl('SETUSER', 'operator', 'on', '>secret', '~*', '&*', '+@all');
  admin.disconnect();
  const login = { username: 'operator', password: 'secret' };
  const operator = await connectRedis({ url: fleet.redis.url, login }, { name: 'operator' });
  onTestFinished(() => operator.disconnect());
  return { fleet, operator, ready: () => fetch(`http://${listen}/readyz`) };
}

test.each(REFUSALS)(
  '$what: told once, not ready, no rush of questions, and work goes on when it is over',
  async (refusal) => {
    const { fleet, operator, ready } = await startWatched();
    const client = await fleet.managed(PEM_APP);
    const service = await fleet.start({ http: true, lockMs: 3_000 });
    await fleet.reached(client, await fleet.rotate(client));
    expect((await ready()).status).toBe(200);

    const before = fleet.lines.length;
    const told = () => fleet.lines.slice(before).map((line) => JSON.parse(line));
    await refusal.begin(operator);
    // Before the guard has looked, nothing is known but that there is no answer.
    await until('it is not ready, and says why', async (saw) => {
      const response = await ready();
      return response.status === 503 && refusal.says.test(saw(await detailOf(response)));
    });
    // The guard looks again by itself, and asks for this setting each time; the rests of the workers grow meanwhile.
    const looks = async () =>
      Number(/cmdstat_config\|get:calls=(\d+)/.exec(await operator.info('commandstats'))?.[1] ?? 0);
    const start = await looks();
    await until('the guard has looked again', async () => (await looks()) >= start + 2);
    expect(told().filter(({ msg }) => msg === 'worker').length).toBeLessThan(60);
    const problems = told().filter(({ level }) => level === 'warn' || level === 'error');
    const ofGuard = problems.filter(({ msg }) => msg === 'the store cannot be worked with: nothing is changed');
    expect(ofGuard).toMatchObject([{ error: expect.stringMatching(refusal.says) }]);
    expect(problems.length).toBeLessThan(10);
    expect(JSON.stringify(problems)).not.toMatch(/\bat .*\.js:\d+/);

    await refusal.end(operator);
    await until('it is ready', async () => (await ready()).status === 200);
    await fleet.reached(client, await fleet.rotate(client));
    expect(service.resources.guard.problem).toBeNull();
  },
);

test('connections that are cut again and again come back, and the log says so once', async () => {
  const { fleet, operator, ready } = await startWatched();
  const client = await fleet.managed(PEM_APP);
  await fleet.start({ http: true, lockMs: 3_000 });
  const before = fleet.lines.length;
  for (let time = 0; time < 4; time++) {
    await operator.call('CLIENT', 'KILL', 'TYPE', 'normal');
    await fleet.reached(client, await fleet.rotate(client));
  }
  const told = fleet.lines.slice(before).map((line) => JSON.parse(line));
  const reasons = told.flatMap(({ msg, error }) => (msg.startsWith('lost the connection') ? [error] : []));
  expect(reasons).toEqual([...new Set(reasons)]);
  expect(reasons.length).toBeGreaterThan(0);
  expect(told.filter(({ level }) => level === 'error')).toEqual([]);
  expect((await ready()).status).toBe(200);
});

test('a command whose request Redis does not take says why in one line, and ends with 1', async () => {
  const { fleet, operator } = await startWatched();
  const client = await fleet.managed(PEM_APP);
  const file = join(fleet.dir, 'rekeyd.yaml');
  await writeFile(file, JSON.stringify(fleet.file));
  await operator.acl('SETUSER', 'default', '-xadd');
  const said: string[] = [];
  const stderr = vi.spyOn(process.stderr, 'write').mockImplementation((text) => said.push(String(text)) > 0);
  onTestFinished(() => stderr.mockRestore());
  const globals = { file, env: { ...fleet.env, PATH: process.env.PATH }, exit: () => {} };
  expect(await run(['node', 'rekeyd', 'rotate', client.ref], () => globals)).toBe(1);
  const told = said.filter((text) => text.startsWith('rekeyd: '));
  expect(told).toEqual([
    expect.stringMatching(/^rekeyd: Redis does not let its user.*xadd.*docs\/operations\.md lists.*\n$/),
  ]);
});
