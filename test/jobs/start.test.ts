/** Who is told that a rotation will happen, and when. */
import { expect, it, onTestFinished } from 'vitest';
import { rotationId, startRotation, takeFound } from '../../jobs/start.ts';
import { type ClientRef, makeReference } from '../../src/core/client.ts';
import { client, OPERATOR, POLICY, REF } from '../core/support.ts';
import { open } from '../store/fixtures.ts';
import { startRedis } from '../support/redis.ts';
import { REPLICATION_USER, startSentinelGroup, tell } from '../support/redis-ha.ts';

const OTHER = makeReference('185019846023', 'mcp-auth', '4712');

it('a request is not acknowledged while no replica has its rotation, however often it is tried, and told once', {
  timeout: 60_000,
}, async () => {
  const { group, primary, stop } = await startSentinelGroup({ replicas: 1 });
  onTestFinished(stop);
  const { store, close } = await open({ group }, { replicas: 1, group: group.kind, timeout: 200 });
  onTestFinished(close);
  const ask = (id: string) =>
    startRotation(store, REF, { client: client(), readAt: 0 }, POLICY, {
      ...OPERATOR,
      request: `job of ${id}`,
      // The last one is in a hurry.
      compromised: id === 'r3' ? { kid: null } : null,
      takeOver: true,
      id,
    });
  const ids = ['r1', 'r2', 'r3'];

  await tell(primary, 'ACL', 'SETUSER', REPLICATION_USER.username, 'off');
  await tell(primary, 'CLIENT', 'KILL', 'TYPE', 'replica');
  for (const id of ids) {
    for (const _ of ['at first', 'again']) await expect(ask(id)).rejects.toMatchObject({ code: 'not_durable' });
  }
  await tell(primary, 'ACL', 'SETUSER', REPLICATION_USER.username, 'on');
  for (const id of ids) {
    await expect.poll(() => ask(id).catch(() => null), { timeout: 30_000 }).toMatchObject({ rotation: 'r1' });
  }
  const told = (await store.auditAfter(0, 100)).filter(({ type }) => type === 'rotation.requested');
  expect(told.map(({ data }) => data.request)).toEqual(ids.map((id) => `job of ${id}`));
});

it('a client that is taken in counts as seen when its list was read, so that a rotation looks again before it writes', async () => {
  const redis = await startRedis();
  onTestFinished(() => redis.stop());
  const { store, close } = await open({ socketPath: redis.socketPath });
  onTestFinished(close);
  const listed = { client: client(), readAt: (await store.now()) - 60_000 };
  const seen = async (ref: ClientRef) => (await store.load(ref))?.record.server.observed.at;

  expect(await takeFound(store, REF, listed, POLICY, OPERATOR)).toBe(true);
  expect(await seen(REF)).toBe(listed.readAt);
  const asked = { ...OPERATOR, request: null, compromised: null, takeOver: true, id: 'r1' };
  await startRotation(store, OTHER, listed, POLICY, asked);
  expect(await seen(OTHER)).toBe(listed.readAt);
});

it('a job that is tried again asks for the same rotations; the same job in another store, or for another client, for others', () => {
  const id = rotationId({ id: 'store-1' }, '7', REF);
  expect(rotationId({ id: 'store-1' }, '7', REF)).toBe(id);
  const others = [
    rotationId({ id: 'store-2' }, '7', REF),
    rotationId({ id: 'store-1' }, '8', REF),
    rotationId({ id: 'store-1' }, '7', OTHER),
  ];
  expect(new Set([id, ...others]).size).toBe(4);
});
