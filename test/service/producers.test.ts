/** Programs of others that ask through Redis, with what `docs/queue.md` tells them and nothing else. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type Job, Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { producerQueue } from '../../jobs/inboxes.ts';
import { bullConnection } from '../../jobs/queues.ts';
import { connectRedis } from '../../src/store/redis/connection.ts';
import { documentedAcl, documentedCode } from '../support/documented.ts';
import { type Fleet, type FleetClient, KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { ended } from '../support/jobs.ts';
import { PYTHON, withoutModule } from '../support/python.ts';
import { expectSound } from '../support/sound.ts';

const run = promisify(execFile);

/** Where the package of BullMQ is found. */
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

const noPython = await withoutModule('bullmq');

interface Answer {
  readonly answer: { readonly rotations: readonly { readonly id: string; readonly client: string }[] } | null;
  readonly failed: string | null;
}

async function operatorOf(fleet: Fleet): Promise<Redis> {
  const redis = await connectRedis({ socketPath: fleet.redis.socketPath }, { name: 'operator' });
  onTestFinished(() => redis.disconnect());
  return redis;
}

/** @returns the URL of a Redis user with these rights, and no others */
async function userOf(fleet: Fleet, operator: Redis, name: string, rules: readonly string[]): Promise<string> {
  await operator.acl('SETUSER', name, 'reset', 'on', '>PASSWORD', ...rules);
  return fleet.redis.url.replace('//', `//${name}:PASSWORD@`);
}

/** Runs the program of the document, with another client and another queue in it. @returns what it prints */
async function typed(language: 'python' | 'js', url: string, { ref }: FleetClient, queue = 'control'): Promise<Answer> {
  const code = documentedCode('queue.md', language)
    .replaceAll('185019846023/mcp-auth/4711', ref)
    .replace(/(["'])control\1/, `'${queue}'`);
  const [program, args] =
    language === 'js' ? [process.execPath, ['--input-type=module', '--eval', code]] : [PYTHON, ['-c', code]];
  const env = { PATH: process.env.PATH, REDIS_URL: url };
  const { stdout } = await run(program, args, { cwd: ROOT, env, timeout: 60_000 });
  return JSON.parse(stdout);
}

test.for(['js', 'python'] as const)(
  'the %s program of the document reports a leaked key, as the Redis user of the document, and reads the answer',
  async (language, { skip }) => {
    skip(language === 'python' && noPython !== null, noPython ?? '');
    const fleet = await startFleet({ apps: [PEM_APP] });
    const client = await fleet.managed(PEM_APP);
    const operator = await operatorOf(fleet);
    const url = await userOf(fleet, operator, 'producer', [...documentedAcl('queue.md', 'producer'), '+hgetall']);
    await fleet.start();
    await operator.acl('LOG', 'RESET');
    const { answer, failed } = await typed(language, url, client);
    const [asked] = answer?.rotations ?? [];
    expect(failed).toBeNull();
    expect(asked?.client).toBe(client.ref);
    await fleet.reached(client, asked?.id ?? '');
    expect(await fleet.audit()).toContainEqual(
      expect.objectContaining({ type: 'key.compromised', client: client.ref, actor: 'siem' }),
    );
    expect(fleet.patches(client)).toHaveLength(1);
    const denied = ((await operator.acl('LOG')) as string[][]).map((entry) => entry[entry.indexOf('object') + 1]);
    expect(denied.filter((object) => object !== 'client|setinfo')).toEqual([]);
    await expectSound(fleet, [client]);
  },
);

const RESTRICTED = {
  requests: 'off',
  producers: {
    siem: { may: ['compromise'], only: [`185019846023/${PEM_APP.slug}`] },
    other: {},
    quiet: { may: [] },
  },
};

/** Adds a request to the queue of that name, and waits until it is answered. Its Redis user may do anything. */
async function asked(fleet: Fleet, queue: string, data: object): Promise<Job> {
  const { redis, store } = fleet.resources;
  const opened = new Queue(queue, { connection: bullConnection(redis), prefix: store.keys.queues });
  onTestFinished(() => opened.close());
  const job = await opened.add('request', { v: 1, select: { all: true }, reason: 'a test', actor: 'siem', ...data });
  return ended(opened, job.id);
}

test('requests that are switched off or beyond a producer fail at once, are told and audited, and rotate nothing', async () => {
  const fleet = await startFleet({ config: { queue: RESTRICTED } });
  const [near, far] = [await fleet.managed(PEM_APP), await fleet.managed(KID_APP)];
  await fleet.start();
  const cases: [queue: string, data: object, why: RegExp][] = [
    ['control', { compromised: true }, /^Requests in the queue control are switched off \(queue\.requests: off\)/],
    [
      'control-siem',
      { select: { clients: [near.ref] } },
      /^The producer siem may not ask for rotate: .* has compromise/,
    ],
    [
      'control-siem',
      { select: { clients: [near.ref, far.ref] }, compromised: true },
      new RegExp(`^The producer siem may not ask about ${far.ref}: `),
    ],
    ['control-siem', { compromised: true }, /may not ask about all clients/],
    ['control-siem', { select: { kek: 'kek-1' }, compromised: true }, /may not ask about all that a kek is about/],
    ['control-siem', { compromised: true, confirm: true }, /may not ask for confirm: /],
    ['control-quiet', { compromised: true }, /^The producer quiet is switched off/],
  ];
  for (const [queue, data, why] of cases) {
    const { failedReason, attemptsMade } = await asked(fleet, queue, data);
    expect(failedReason).toMatch(why);
    expect(attemptsMade).toBe(1);
  }
  const refused = (await fleet.audit()).filter(({ type }) => type === 'rotation.refused');
  expect(refused.map(({ data }) => data)).toEqual(
    cases.map(([, , why]) => ({ request: expect.any(String), code: 'not_allowed', error: expect.stringMatching(why) })),
  );
  expect(fleet.emulator.log.filter(({ method }) => method === 'PATCH')).toEqual([]);

  // Two producers may count their jobs alike: the second is answered for itself.
  const select = { clients: [near.ref] };
  const [first, second] = [
    await asked(fleet, 'control-other', { select }),
    await asked(fleet, 'control-siem', { select, compromised: true }),
  ];
  expect(second.failedReason).toBeUndefined();
  await fleet.reached(near, second.returnvalue.rotations[0].id);
  await fleet.reached(near, first.returnvalue.rotations[0].id);
  expect(await fleet.audit()).toContainEqual(
    expect.objectContaining({ type: 'rotation.requested', client: near.ref, claimed_by: 'producer:siem' }),
  );
  // A command asks elsewhere.
  await fleet.reached(far, await fleet.rotate(far));
  await expectSound(fleet, [near, far]);
});

test('the Redis user of a producer can write to no queue but its own, also in a script', async () => {
  const fleet = await startFleet({ apps: [PEM_APP], config: { queue: { producers: { siem: {} } } } });
  const client = await fleet.managed(PEM_APP);
  const operator = await operatorOf(fleet);
  const url = await userOf(fleet, operator, 'siem', documentedAcl('queue.md', 'siem'));
  await fleet.start();
  const { answer } = await typed('js', url, client, producerQueue('siem'));
  await fleet.reached(client, answer?.rotations[0]?.id ?? '');
  for (const queue of ['control', 'requests', producerQueue('other'), 'rotate-185019846023']) {
    await expect(typed('js', url, client, queue), queue).rejects.toThrow(/NOPERM/);
  }
  const redis = await connectRedis({ url }, { name: 'test' });
  onTestFinished(() => redis.disconnect());
  await expect(redis.eval('return redis.call("HSET", KEYS[1], "a", "b")', 1, '{rekeyd}:control:1')).rejects.toThrow(
    /NOPERM/,
  );
  await expect(redis.eval('return redis.call("HSET", "{rekeyd}:store:id", "a", "b")', 0)).rejects.toThrow(
    /NOPERM|permission/,
  );
});
