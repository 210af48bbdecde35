/** How long a request waits for a second person, and how long an approval counts. */
import { Worker } from 'bullmq';
import { expect, onTestFinished, test } from 'vitest';
import { approve } from '../../jobs/approval.ts';
import { claimed } from '../../jobs/claim.ts';
import { newRequestId } from '../../jobs/queues.ts';
import { keksOf } from '../../src/rotation/policy.ts';
import { connectRedis } from '../../src/store/redis/connection.ts';
import { isChange } from '../emulator/log.ts';
import { caller, makeToken } from '../support/api.ts';
import { type Fleet, movedStoreClock, PEM_APP, startFleet } from '../support/fleet.ts';
import { until } from '../support/until.ts';

const DAY_MS = 24 * 3_600_000;
const APP = { ...PEM_APP, policy: { overlap: '0s' } };
const ALL = { v: 1 as const, select: { all: true as const }, reason: 'all of it', actor: 'siem', compromised: true };

async function toldOf(fleet: Fleet, type: string) {
  return (await fleet.audit()).filter((entry) => entry.type === type && entry.client === null);
}

test('a request that nobody approves within a day ends without a PATCH, and an approval that comes later is refused', async () => {
  const config = { approval: { compromise_all: 2 }, http: { listen: '127.0.0.1:0' } };
  const fleet = await startFleet({ apps: [APP], config });
  for (let client = 0; client < 3; client += 1) await fleet.managed(APP);
  const service = await fleet.start({ http: true });
  const moveTo = movedStoreClock(service);
  const url = service.url ?? '';
  const [asks, approves] = [
    caller(url, await makeToken(fleet, { name: 'asks', lifeMs: 2 * DAY_MS })),
    caller(url, await makeToken(fleet, { name: 'approves', lifeMs: 2 * DAY_MS })),
  ];
  const jobOf = async (id: string) => fleet.queues.requests.getJob(id);
  const ask = async () => {
    const json = { select: { all: true }, reason: 'all of it', compromised: true, confirm: true };
    const { body } = await asks('/v1/rotations', { json, headers: { prefer: 'respond-async' } });
    const place = `/v1/requests/${body.request}`;
    await until('it waits', async (saw) => /one more person/.test(saw((await asks(place)).body.waits_for)));
    await until('its job is put off', async () => (await jobOf(body.request))?.isDelayed());
    return { id: String(body.request), place };
  };
  const looks = async (id: string) => (await jobOf(id))?.attemptsStarted ?? 0;
  const [seen, unseen] = [await ask(), await ask()];

  moveTo(DAY_MS - 60_000);
  await (await jobOf(seen.id))?.promote();
  await until('a worker has looked again', async (saw) => saw(await looks(seen.id)) >= 2);
  await until('it waits on', async () => (await jobOf(seen.id))?.isDelayed());
  expect((await asks(seen.place)).body).toMatchObject({ pending: true });

  // A worker looks now and then. Of two requests that are over, one was looked at by then, and the other was not.
  moveTo(DAY_MS + 60_000);
  await (await jobOf(seen.id))?.promote();
  const WHY = 'Nobody else approved it within 24 h. Nothing was started: ask again.';
  const ended = async (place: string) =>
    until('it has ended', async (saw) => {
      const { status, body } = saw(await asks(place));
      return status === 422 && body.detail;
    });
  expect(await ended(seen.place)).toBe(`Request ${seen.id} failed: ${WHY}`);
  const approval = (place: string) => approves(`${place}/approval`, { method: 'POST' });
  expect(await approval(seen.place)).toMatchObject({
    status: 404,
    body: { detail: `Request ${seen.id} does not wait any more: it failed. ${WHY}` },
  });
  expect(await approval(unseen.place)).toMatchObject({
    status: 409,
    body: {
      detail: expect.stringMatching(/has waited for more than 24 h: it can no longer be approved. Ask for it again/),
    },
  });
  expect(await ended(unseen.place)).toBe(`Request ${unseen.id} failed: ${WHY}`);

  expect(fleet.emulator.log.filter(isChange)).toEqual([]);
  expect(await toldOf(fleet, 'rotation.approved')).toEqual([]);
  expect(await toldOf(fleet, 'rotation.refused')).toMatchObject(
    [seen, unseen].map(({ id }) => ({
      claimed_by: 'token:asks',
      data: { request: id, code: 'not_approved', error: WHY },
    })),
  );
});

test('an approval outlasts a day in which the request waits for something else', async () => {
  const fleet = await startFleet({ apps: [APP], config: { approval: { compromise_all: 2 } } });
  for (let client = 0; client < 3; client += 1) await fleet.managed(APP);
  await fleet.start();
  const { store } = fleet.resources;
  const signing = { store, keks: keksOf(fleet.config) };
  const id = newRequestId();
  await fleet.queues.request(await claimed({ ...ALL, confirm: true }, id, 'os:alice', signing), id);
  await approve(id, { actor: 'bob', claimedBy: 'os:bob', reason: 'seen' }, { ...signing, queues: fleet.queues });
  const redis = await connectRedis({ socketPath: fleet.redis.socketPath }, { name: 'test' });
  onTestFinished(() => redis.disconnect());
  expect(await redis.pttl(store.keys.approvals(id))).toBeGreaterThan(7 * DAY_MS);
});

test('an approval that comes while a worker puts the request off wakes it all the same', async () => {
  const fleet = await startFleet({ apps: [APP], config: { approval: { compromise_all: 2 } } });
  for (let client = 0; client < 3; client += 1) await fleet.managed(APP);
  const { queues, config, resources } = fleet;
  const signing = { store: resources.store, keks: keksOf(config) };
  const id = newRequestId();
  await queues.request(await claimed({ ...ALL, confirm: true }, id, 'os:alice', signing), id);
  // As a worker that has looked for approvals, and has not put the job off yet.
  const worker = new Worker(queues.requests.name, null, queues.requests.opts);
  onTestFinished(() => worker.close());
  const job = await worker.getNextJob('a token', { block: false });
  expect(job?.id).toBe(id);
  const approving = approve(id, { actor: 'bob', claimedBy: 'os:bob', reason: 'seen' }, { ...signing, queues });
  await until('the approval is noted', async () => (await toldOf(fleet, 'rotation.approved')).length === 1);
  await job?.moveToDelayed(Date.now() + DAY_MS, 'a token');
  await approving;
  expect(await queues.requests.getJobState(id)).not.toBe('delayed');
});
