/** Services that seal the audit log beside their rotations, and rotations that do not wait for the seal. */
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { exportAudit } from '../../src/audit/export.ts';
import { verifyAudit } from '../../src/audit/verify.ts';
import { connectRedis } from '../../src/store/redis/connection.ts';
import { type Fleet, PEM_APP, startFleet } from '../support/fleet.ts';
import { scraper } from '../support/metrics.ts';
import { until } from '../support/until.ts';

async function verified({ dir, resources }: Fleet) {
  const to = await mkdtemp(join(dir, 'export-'));
  await exportAudit(resources.store, to);
  return verifyAudit([to]);
}

test('two services seal one log, one is gone, and a seal that breaks holds nothing up', async () => {
  const fleet = await startFleet({ apps: [PEM_APP], config: { http: { listen: '127.0.0.1:0' } } });
  const { store } = fleet.resources;
  const client = await fleet.managed(PEM_APP);
  const [one, other] = [await fleet.start({ sealEveryMs: 50, http: true }), await fleet.start({ sealEveryMs: 50 })];
  const samples = await scraper(fleet, one.url);
  const unsealed = async () => (await samples()).get('rekeyd_audit_unsealed');
  const sealed = (what: string) => until(what, async (saw) => saw(await store.auditUnsealed()).entries === 0);
  for (let round = 0; round < 3; round += 1) await fleet.reached(client, await fleet.rotate(client));
  await sealed('all is sealed');
  await other.stop();
  await fleet.reached(client, await fleet.rotate(client));
  await sealed('the one that is left seals');
  expect(await verified(fleet)).toMatchObject({ unsealed: 0, kids: [expect.any(String)] });
  await until('the metric says so', async () => (await unsealed()) === 0);

  const operator = await connectRedis(fleet.resources.redis, { name: 'operator' });
  const jwe = (await store.sealedSealKey()) ?? '';
  await operator.hdel(store.keys.sealKeys, 'jwe');
  await fleet.reached(client, await fleet.rotate(client));
  await until('it is told', () => fleet.lines.some((line) => line.includes('THE AUDIT LOG IS NOT SEALED')));
  await until('the metric says that, too', async () => ((await unsealed()) ?? 0) > 0);
  await operator.hset(store.keys.sealKeys, 'jwe', jwe);
  operator.disconnect();
  await sealed('it is sealed again');
  await until('that is told', () => fleet.lines.some((line) => line.includes('the audit log is sealed again')));
  await fleet.reached(client, await fleet.rotate(client));
  await one.stop();
  expect(await store.auditUnsealed(), 'what it did last').toEqual({ entries: 0, sinceMs: 0 });
  expect(await verified(fleet)).toMatchObject({ unsealed: 0 });
});

test('an outage of Redis is no broken seal', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const { store } = fleet.resources;
  await fleet.managed(PEM_APP);
  await fleet.start({ sealEveryMs: 20 });
  await until('it is sealed', async () => (await store.auditUnsealed()).entries === 0);
  for (let outage = 0; outage < 3; outage += 1) {
    await fleet.redis.restart();
    await fleet.managed(PEM_APP);
    await until('it is sealed on', async () => (await store.auditUnsealed()).entries === 0);
  }
  expect(fleet.lines.filter((line) => line.includes('THE AUDIT LOG IS NOT SEALED'))).toEqual([]);
  expect(await verified(fleet)).toMatchObject({ unsealed: 0 });
});

test('a worker without the KEK leaves the seal to one that has it', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const { store } = fleet.resources;
  const keks = [{ id: 'kek-2', key: 'env:KEK2' }];
  const without = await fleet.configOf(
    { ...fleet.file, encryption: { keks } },
    { KEK2: Buffer.alloc(32, 9).toString('base64url') },
  );
  // Of no client: the worker without the KEK would take part in the import of one.
  const something = {
    type: 'token.revoked',
    client: null,
    rotation: null,
    actor: 'test',
    reason: 'test',
    data: {},
  } as const;
  const first = await fleet.start({ sealEveryMs: 20 });
  await store.append([something]);
  await until('there is a key', async () => (await store.sealState()).checkpoint > 0);
  await first.stop();
  await fleet.start({ sealEveryMs: 20 }, without);
  await store.append([something]);
  await until('it says so', () => fleet.lines.some((line) => line.includes('its KEK is not configured')));
  await fleet.start({ sealEveryMs: 20 });
  for (let round = 0; round < 3; round += 1) {
    await store.append([something]);
    await until('the other seals', async () => (await store.auditUnsealed()).entries === 0);
  }
  expect(await verified(fleet)).toMatchObject({ unsealed: 0 });
});
