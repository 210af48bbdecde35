/** A request that joins a rotation on which a worker is just at work. */
import { expect, it, onTestFinished } from 'vitest';
import { startRotation } from '../../jobs/start.ts';
import type { Store } from '../../src/store/store.ts';
import { asked, client, OPERATOR, POLICY, REF } from '../core/support.ts';
import { firstCommit, onTopOf, open } from '../store/fixtures.ts';
import { startRedis } from '../support/redis.ts';

it('a request that joins a rotation stays with it, also when the rotation ends before the request is on disk', async () => {
  const server = await startRedis();
  onTestFinished(() => server.stop());
  const { store, close } = await open(server.socketPath);
  onTestFinished(close);
  const listed = { client: client(), readAt: 0 };
  const ask = (id: string, through: Store = store) =>
    startRotation(through, REF, listed, POLICY, { ...asked(id, null, true), ...OPERATOR, request: `job of ${id}` });
  expect(await ask('r1')).toEqual({ rotation: 'r1', isNew: true });

  /** The worker ends the rotation between the look at the record and its confirmation. */
  async function endRotation(): Promise<void> {
    const { record, op } = (await store.load(REF)) ?? {};
    if (record?.rotation == null || op === undefined) return;
    const { id, strategy, marks, startedAt } = record.rotation;
    const times = { startedAt, activeAt: 1, endedAt: 2 };
    const summary = {
      ...OPERATOR,
      id,
      strategy,
      marks,
      ...times,
      state: 'finished',
      kid: 'b',
      replaces: 'a',
      error: null,
    } as const;
    const ended = { ...record, rotation: null };
    await store.commit(firstCommit(REF, { expected: onTopOf({ op }), record: ended, entries: [], ended: [summary] }));
  }
  const raced: Store = {
    ...store,
    id: store.id,
    async confirm(ref, op) {
      await endRotation();
      return store.confirm(ref, op);
    },
  };
  expect(await ask('r2', raced)).toEqual({ rotation: 'r1', isNew: false });
  const { record } = (await store.load(REF)) ?? {};
  expect(record?.rotation).toBeNull();
  const told = (await store.auditAfter(0, 100)).filter(({ type }) => type === 'rotation.requested');
  expect(told.map(({ rotation, data }) => [rotation, data.joins])).toEqual([
    ['r1', undefined],
    ['r1', 'r1'],
  ]);
});
