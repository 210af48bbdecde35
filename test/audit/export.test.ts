/** Exports of a sealed log: the same lines however often and from where it is exported, and nothing of a log that does not fit. */
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, onTestFinished } from 'vitest';
import { exportAudit } from '../../src/audit/export.ts';
import { storeKeys } from '../../src/store/keys.ts';
import { type OpenedStore, open, openEmpty } from '../store/fixtures.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { append, exported, grow, newFolder, verdict } from './sealing.ts';

const keys = storeKeys('rekeyd');

let server: RedisServer;
let opened: OpenedStore;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.stop());
beforeEach(async () => {
  opened = await openEmpty(server.socketPath);
});
afterEach(() => opened.close());

async function textOf(dir: string): Promise<string> {
  const names = (await readdir(dir)).filter((name) => name.endsWith('.jsonl')).sort();
  return (await Promise.all(names.map((name) => readFile(join(dir, name), 'utf8')))).join('');
}

it('writes the same lines at once, in parts, and before entries were sealed', async () => {
  const { store } = opened;
  const parts = await newFolder();
  await append(store, 5);
  await exportAudit(store, parts);
  for (const counts of [[3], [4, 1], [7]]) {
    await grow(store, counts);
    await append(store, 2);
    expect(await exportAudit(store, parts)).toMatchObject({ broken: null });
  }
  expect(await exportAudit(store, parts)).toMatchObject({ entries: 0, last: await store.auditSize() });
  const whole = await exported(store);
  expect(await textOf(parts)).toBe(await textOf(whole));
  expect(await verdict([parts, whole])).toEqual(await verdict(whole));
  const late = await exported(store, 9);
  expect((await textOf(whole)).endsWith(await textOf(late))).toBe(true);
});

it('goes on where a checkpoint says what was before: the log was cut after it was exported', async () => {
  const { store, redis } = opened;
  await grow(store, [10, 10, 10]);
  const before = await exported(store);
  const seals = (await store.auditTail(100)).filter(({ type }) => type === 'audit.sealed');
  const covered = Number(seals[1]?.data.seq);
  await redis.xtrim(keys.audit, 'MINID', `${covered + 1}-0`);
  await grow(store, [10]);
  const after = await exported(store);
  expect(await verdict(after)).toMatchObject({ first: covered + 1, unsealed: 0 });
  expect(await verdict([before, after])).toMatchObject({ first: 1, unsealed: 0 });
  await redis.xtrim(keys.audit, 'MINID', `${covered + 3}-0`);
  await expect(exportAudit(store, await newFolder()), 'cut in between').rejects.toMatchObject({ code: 'seal_broken' });
  const short = await exported(store, (seals[2]?.seq ?? 0) + 1);
  expect((await exportAudit(store, short)).entries).toBe(0);
});

it('says where entries in Redis are not what was sealed, and exports them as they are', async () => {
  const { store, redis } = opened;
  await grow(store, [10, 10, 10]);
  const entries = await redis.xrange(keys.audit, '-', '+');
  await redis.del(keys.audit);
  for (const [id, [, at = '', , draft = '']] of entries) {
    const text = id === '15-0' ? draft.replace('"reason":"', '"reason":"not ') : draft;
    await redis.xadd(keys.audit, id, 'at', at, 'draft', text);
  }
  const dir = await newFolder();
  const seals = (await store.auditTail(100)).filter(({ type }) => type === 'audit.sealed');
  expect(await exportAudit(store, dir)).toMatchObject({ entries: 34, broken: seals[1]?.seq });
  expect(await verdict(dir)).toMatchObject({ entry: 12, problem: expect.stringContaining('or one up to') });
  // An export from before shows it, too.
  await redis.del(keys.audit);
  for (const [id, [, at = '', , draft = '']] of entries) await redis.xadd(keys.audit, id, 'at', at, 'draft', draft);
  await expect(exportAudit(store, dir)).rejects.toMatchObject({ code: 'usage' });
});

it('writes nothing to a folder with another log, or with lines of an earlier version', async () => {
  const { store } = opened;
  await grow(store, [10]);
  const dir = await exported(store);
  await append(store, 3);
  const [name = ''] = (await readdir(dir)).filter((file) => file.endsWith('.jsonl'));
  const text = await readFile(join(dir, name), 'utf8');
  for (const [changed, says] of [
    [text.replaceAll(/"hash":"[0-9a-f]{64}","prev":"[0-9a-f]{64}",/g, ''), /earlier version/],
    [text.replace(/"hash":"[0-9a-f]{64}"(?!.*"hash")/s, `"hash":"${'a'.repeat(64)}"`), /another log/],
    [text.replace(/"seq":12,/, '"seq":99,'), /another store/],
  ] as const) {
    await writeFile(join(dir, name), changed);
    await expect(exportAudit(store, dir)).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringMatching(says),
    });
  }
  await rm(join(dir, name));
  await writeFile(join(dir, 'audit-000000000001.jsonl'), text.slice(0, 200));
  await expect(exportAudit(store, dir)).rejects.toMatchObject({ code: 'export_failed' });
});

it('writes nothing to a folder with another log that ends where a checkpoint of this one begins to vouch', async () => {
  const { store, redis } = opened;
  await append(store, 5);
  const other = await exported(store);
  const before = await textOf(other);
  await redis.flushall();
  const { store: ours, close } = await open(server.socketPath);
  onTestFinished(close);
  await grow(ours, [4, 3]); // with the key: a checkpoint covers entry 5
  expect(await ours.auditAfter(5, 1)).toMatchObject([{ type: 'audit.sealed', data: { seq: 5 } }]);
  const refused = { code: 'usage', message: expect.stringMatching(/another log/) };
  await expect(exportAudit(ours, other)).rejects.toMatchObject(refused);
  await redis.xtrim(keys.audit, 'MINID', '6-0'); // what the checkpoint covers is cut
  await expect(exportAudit(ours, other)).rejects.toMatchObject(refused);
  expect(await textOf(other)).toBe(before);
});

it('takes no path from the store', async () => {
  const { store, redis } = opened;
  await grow(store, [1]);
  await redis.hset(keys.sealKeys, 'public:../../escaped', 'AAAA');
  const names = await readdir(await exported(store));
  expect(names.filter((name) => name.endsWith('.pem'))).toHaveLength(1);
});
