/** Several environments on one Redis, and workers of one namespace whose configs differ. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { putOffRequests } from '../../jobs/waiting.ts';
import { checkAgreement } from '../../src/commands/doctor/workers.ts';
import { withQueues } from '../../src/commands/queues.ts';
import type { Config } from '../../src/config/model.ts';
import { DEPLOYMENT, type Fleet, KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { answered } from '../support/jobs.ts';
import { until } from '../support/until.ts';

/** The fleet's config without the app of {@link KID_APP} and its policy. */
function withoutKidApp({ configOf, file }: Fleet): Promise<Config> {
  const [deployment] = file.deployments as { apps: { slug: string }[] }[];
  const apps = deployment?.apps.filter(({ slug }) => slug !== KID_APP.slug);
  const { [KID_APP.slug]: _, ...policies } = file.policies as Record<string, unknown>;
  return configOf({ ...file, deployments: [{ ...deployment, apps }], policies });
}

async function elsewhere({ configOf, file, dir }: Fleet): Promise<Config> {
  return configOf({ ...file, namespace: 'staging', data_dir: join(dir, 'staging') });
}

test('a request is answered by a worker of its own namespace only', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  const staging = await fleet.start({}, await elsewhere(fleet));
  const select = { clients: [client.ref] };
  const job = await fleet.queues.request({ v: 1, select, reason: 'a test', actor: 'test' });
  // The other environment answers requests of its own meanwhile.
  const theirs = await staging.queues.request({ v: 1, select: { all: true }, reason: 'a test', actor: 'test' });
  await until(
    'the other environment answers',
    async () => (await staging.queues.requests.getJobState(theirs)) === 'completed',
  );
  expect(await fleet.queues.requests.getJobState(job)).toBe('prioritized');
  await fleet.start();
  await until('it is answered', async () => (await fleet.queues.requests.getJobState(job)) === 'completed');
});

test.each([
  ['an app', { app: `${DEPLOYMENT}/${KID_APP.slug}` }, /has no app 185019846023\/kid-app/],
  ['a policy', { policy: KID_APP.slug }, /has no policy kid-app/],
  ['a client', null, /has no policy for 185019846023\/kid-app/],
])(
  'a request about %s that a worker’s config does not know is put back, shown, and answered by another',
  async (_, selected, why) => {
    const fleet = await startFleet();
    const client = await fleet.managed(KID_APP);
    const old = await fleet.start({}, await withoutKidApp(fleet));
    const select = selected ?? { clients: [client.ref] };
    const id = await fleet.queues.request({ v: 1, select, reason: 'a test', actor: 'test' });
    await until('it is put back', async () => (await fleet.queues.requests.getJobState(id)) === 'delayed');
    expect((await withQueues(fleet.resources, putOffRequests)).requests).toEqual([
      { request: id, reason: 'a test', why: expect.stringMatching(why) },
    ]);
    expect(fleet.lines.filter((line) => line.includes('a request waits')).join()).toMatch(why);
    await old.stop();
    await fleet.start();
    await (await fleet.queues.requests.getJob(id))?.promote();
    expect(await answered(fleet.queues.requests, id)).toMatchObject({ rotations: [{ client: client.ref }] });
  },
);

test('a rotation and a sweep that a worker’s config does not know are put back, not dropped', async () => {
  const fleet = await startFleet();
  const client = await fleet.managed(KID_APP);
  const old = await fleet.start({}, await withoutKidApp(fleet));
  await fleet.queues.wake(client.ref, false);
  await fleet.queues.addUpkeep('sweep', { v: 1, policy: KID_APP.slug, slot: 's' }, 'a-sweep');
  const rotations = fleet.queues.rotateQueue(DEPLOYMENT);
  const { upkeep } = fleet.queues;
  await until('both are put back', async () => {
    const states = [await rotations.getJobState(client.ref), await upkeep.getJobState('a-sweep')];
    return states.every((state) => state === 'delayed');
  });
  const told = fleet.lines.filter((line) => line.includes('the config of this worker does not know'));
  expect(told.map((line) => JSON.parse(line).error).sort()).toEqual([
    expect.stringContaining(`does not take care of ${client.ref}`),
    'The config has no policy kid-app.',
  ]);
  await old.stop();
  await fleet.start();
  await (await upkeep.getJob('a-sweep'))?.promote();
  await fleet.queues.wake(client.ref, false);
  await until('both are done', async () => {
    const states = [await rotations.getJobState(client.ref), await upkeep.getJobState('a-sweep')];
    return states[0] === 'unknown' && states[1] === 'completed';
  });
});

test('workers whose configs differ are named, with what differs', async () => {
  const fleet = await startFleet();
  const first = await fleet.start();
  const same = await fleet.start();
  expect(checkAgreement(await fleet.resources.store.present())).toMatchObject([{ ok: true }]);
  await fleet.start({}, await withoutKidApp(fleet));
  const me = `:${process.pid}`;
  expect(checkAgreement(await fleet.resources.store.present())).toMatchObject([
    {
      ok: false,
      detail: expect.stringMatching(
        `${me} and .*${me} against .*${me}: they differ in deployments.${DEPLOYMENT}, policies.${KID_APP.slug}$`,
      ),
    },
  ]);
  await first.stop();
  await same.stop();
  expect((await fleet.resources.store.present()).size).toBe(1);
});
