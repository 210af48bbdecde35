/** A compromise of much of a fleet: held back until somebody confirms it, and where the config says so until a second person does. */
import { expect, test } from 'vitest';
import { type Approver, approve } from '../../jobs/approval.ts';
import { passBreaker } from '../../jobs/breaker.ts';
import { claimed } from '../../jobs/claim.ts';
import { newRequestId } from '../../jobs/queues.ts';
import { requestSchema } from '../../jobs/schemas.ts';
import { type ClientRef, makeReference } from '../../src/core/client.ts';
import { signDocument } from '../../src/keys/signed.ts';
import { keksOf } from '../../src/rotation/policy.ts';
import { rekeyd } from '../support/command.ts';
import { contextOf } from '../support/context.ts';
import { DEPLOYMENT, type Fleet, type FleetClient, PEM_APP, startFleet } from '../support/fleet.ts';
import { answered } from '../support/jobs.ts';
import { until } from '../support/until.ts';

const APP = { ...PEM_APP, policy: { overlap: '0s' } };
const ALL = { v: 1 as const, select: { all: true as const }, reason: 'all of it', actor: 'siem', compromised: true };

async function fleetOf(count: number, config: object = {}): Promise<[Fleet, FleetClient[]]> {
  const fleet = await startFleet({ apps: [APP], config: { ...config } });
  const clients = await Promise.all(Array.from({ length: count }, () => fleet.managed(APP)));
  await fleet.start();
  return [fleet, clients];
}

async function toldOf(fleet: Fleet, type: string) {
  return (await fleet.audit()).filter((entry) => entry.type === type && entry.client === null);
}

test('more than the breaker allows needs a confirmation; one client never does', async () => {
  const [fleet, clients] = await fleetOf(5);
  const [first, second] = clients;
  await expect(fleet.request(ALL)).rejects.toThrow(/about 5 clients, and more than 20 % .*--yes .*"confirm": true/);
  const two = { select: { clients: [first?.ref, second?.ref] }, compromised: true };
  await expect(fleet.request(two)).rejects.toThrow(/about 2 clients/);
  await expect(fleet.request({ ...ALL, select: { kek: 'kek-1' } })).rejects.toThrow(/about 5 clients/);
  expect(fleet.emulator.log.filter(({ method }) => method === 'PATCH')).toEqual([]);
  expect(await toldOf(fleet, 'rotation.refused')).toMatchObject([
    { actor: 'siem', reason: 'all of it', data: { code: 'breaker', clients: 5, fleet: 5 } },
    { data: { clients: 2 } },
    { data: { clients: 5 } },
  ]);
  if (first === undefined) throw new Error('no client');
  await fleet.reached(first, await fleet.rotate(first, { compromised: true }));
  // Not a compromise.
  expect((await fleet.request({ select: { all: true } })).rotations).toHaveLength(5);
  const { rotations } = await fleet.request({ ...ALL, confirm: true });
  expect(rotations).toHaveLength(5);
  for (const [index, client] of clients.entries()) {
    const id = rotations.find(({ client: ref }) => ref === client.ref)?.id ?? `${index}`;
    await fleet.reached(client, id);
  }
  expect(await toldOf(fleet, 'rotation.requested')).toMatchObject([
    { data: { clients: 5, fleet: 5, confirmed: true } },
  ]);
});

test('clients that only the list knows count, where they are to be taken over', async () => {
  const fleet = await startFleet({ apps: [APP] });
  const clients = await Promise.all(Array.from({ length: 3 }, () => fleet.foreign(APP)));
  await fleet.start();
  await expect(fleet.request({ ...ALL, take_over: true })).rejects.toThrow(/about 3 clients.*Nothing was started/);
  expect((await fleet.request({ ...ALL, take_over: true, confirm: true })).rotations).toHaveLength(clients.length);
});

test('a flood of small reports comes to the same as a large one', async () => {
  const [fleet, clients] = await fleetOf(2);
  const others = Array.from({ length: 19 }, (_, index) => makeReference(DEPLOYMENT, APP.slug, `${index}`));
  await fleet.resources.store.noteReported(others, { ms: 3_600_000, most: 20 });
  const [first, second] = clients.map(({ ref }) => ({ select: { clients: [ref] }, compromised: true }));
  expect((await fleet.request(first ?? {})).rotations).toHaveLength(1);
  await expect(fleet.request(second ?? {})).rejects.toThrow(/21 clients were reported within an hour/);
  expect((await fleet.request({ ...second, confirm: true })).rotations).toHaveLength(1);
});

test('reports at the same moment count together', async () => {
  const context = contextOf(await startFleet({ apps: [APP] }));
  const passed = await Promise.allSettled(
    Array.from({ length: 30 }, (_, index) => {
      const refs = [makeReference(DEPLOYMENT, APP.slug, `${index}`)];
      const asked = requestSchema.parse({ ...ALL, select: { clients: refs } });
      const none = { claim: null, compromised: { kid: null }, exposed: null, isCompromise: true, isLast: false };
      const found = { begun: new Map(), errors: new Map(), unknown: new Set<ClientRef>(), skipped: new Map() };
      const tally = { ...found, takenOver: [], waiting: [] };
      return passBreaker({ ...none, asked, job: `job-${index}`, askedAt: 0, tally, context }, refs);
    }),
  );
  expect(passed.filter(({ status }) => status === 'fulfilled')).toHaveLength(20);
});

test('clients that are left alone are no flood', async () => {
  const [fleet, [client]] = await fleetOf(1);
  await Promise.all(Array.from({ length: 21 }, () => fleet.foreign(APP)));
  await fleet.request({ select: { all: true } });
  const { rotations, skipped } = await fleet.request(ALL);
  expect(rotations.map(({ client: ref }) => ref)).toEqual([client?.ref]);
  expect(skipped).toHaveLength(21);
});

test('a second person is somebody else who was authenticated, and approves this very request', async () => {
  const [fleet] = await fleetOf(3, { approval: { compromise_all: 2 } });
  const { store } = fleet.resources;
  const signing = { store, keks: keksOf(fleet.config) };
  const parts = { ...signing, queues: fleet.queues };
  const person = (name: string): Approver => ({ actor: 'whoever', claimedBy: `os:${name}`, reason: 'seen' });
  const ask = async (by: string | null) => {
    const request = { ...ALL, confirm: true };
    const id = newRequestId();
    return fleet.queues.request(by === null ? request : await claimed(request, id, by, signing), id);
  };
  const jobOf = async (id: string) => {
    const job = await fleet.queues.requests.getJob(id);
    if (job === undefined) throw new Error(`request ${id} is gone`);
    return job;
  };
  const waits = (id: string, why: RegExp) =>
    until(`request ${id} waits: ${why}`, async (saw) => {
      const { progress } = await jobOf(id);
      return typeof progress === 'object' && 'why' in progress && why.test(saw(String(progress.why)));
    });

  await expect(fleet.request(ALL)).rejects.toThrow(/need a confirmation/);
  const id = await ask('os:alice');
  await waits(id, /waits for one more person, other than os:alice: `rekeyd approve [\w-]+`/);
  await expect(approve(id, person('alice'), parts)).rejects.toThrow(/os:alice asked for request [\w-]+: somebody else/);
  // Written into Redis by somebody without a KEK.
  const forged = JSON.stringify({ store: store.id, job: id, request: 'any', claimedBy: 'os:mallory' });
  await store.approve(
    id,
    await signDocument(forged, 'approvals of requests', [{ id: 'kek-1', key: Buffer.alloc(32) }]),
    [],
  );
  // A person's approval of another request.
  const other = await ask(null);
  await approve(other, person('bob'), parts);
  await waits(other, /waits for one more person, other than os:bob/);
  for (const approval of await store.approvals(other)) await store.approve(id, approval, []);
  await until('its job is put off', async () => (await jobOf(id)).isDelayed());
  await (await jobOf(id)).promote();
  await until('it was looked at again', async () => ((await jobOf(id)).attemptsStarted ?? 0) >= 2);
  await until('its job is put off again', async () => (await jobOf(id)).isDelayed());
  await waits(id, /other than os:alice:/);
  expect(fleet.emulator.log.filter(({ method }) => method === 'PATCH')).toEqual([]);

  // As a user of the operating system.
  expect(await rekeyd(fleet, 'approve', id, '--json').then(JSON.parse)).toMatchObject({
    request: id,
    asked_by: 'siem',
    asked_claimed_by: 'os:alice',
  });
  expect((await answered(fleet.queues.requests, id)).rotations).toHaveLength(3);
  expect(await toldOf(fleet, 'rotation.approved')).toMatchObject([
    { claimed_by: 'os:bob', actor: 'whoever', data: { request: other } },
    { claimed_by: expect.stringMatching(/^os:/), data: { request: id, asked_by: 'siem' } },
  ]);
  const [told] = await toldOf(fleet, 'rotation.requested');
  expect(told).toMatchObject({
    claimed_by: 'os:alice',
    data: { request: id, approved_by: [expect.stringMatching(/^os:/)] },
  });
  const begun = (await fleet.audit()).filter(({ type }) => type === 'rotation.started');
  expect(begun.map(({ actor, claimed_by: by }) => [actor, by])).toEqual(Array(3).fill(['siem', 'os:alice']));
  await expect(approve(id, person('carol'), parts)).rejects.toThrow(
    /Request [\w-]+ does not wait any more: it was started/,
  );
});

test('a claim that somebody wrote into the queue, or took from another request, is no claim', async () => {
  const [fleet] = await fleetOf(1);
  const signing = { store: fleet.resources.store, keks: keksOf(fleet.config) };
  const job = 'asked-once';
  const signed = await claimed({ ...ALL, confirm: true }, job, 'os:alice', signing);
  const { claim } = signed;
  for (const forged of ['alice', 'a.b.c', claim]) {
    await expect(fleet.request({ ...ALL, claim: forged })).rejects.toThrow(/Nobody knows who made this request/);
  }
  // The whole request, copied: as another job, and into a queue that others may write.
  await expect(fleet.request(signed)).rejects.toThrow(/Nobody knows who made this request/);
  await fleet.queues.control.add('request', signed, { jobId: job });
  await expect(answered(fleet.queues.control, job)).rejects.toThrow(/Nobody knows who made this request/);
  // It would stand in the audit log as the request of somebody else.
  const taken = await fleet.queues.control.add('request', ALL, { jobId: newRequestId() });
  await expect(answered(fleet.queues.control, taken.id)).rejects.toThrow(/for requests of rekeyd itself/);
  await fleet.queues.request(signed, job);
  expect(await answered(fleet.queues.requests, job)).toMatchObject({ rotations: [{}] });
});
