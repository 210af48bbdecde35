/** A service exports its audit log and cuts it; what reads the log by number says what is no longer there. */
import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { exportAudit } from '../../src/audit/export.ts';
import { verifyAudit } from '../../src/audit/verify.ts';
import { checkAuditLog } from '../../src/commands/doctor/audit.ts';
import { caller, makeToken } from '../support/api.ts';
import { rekeyd } from '../support/command.ts';
import { PEM_APP, startFleet } from '../support/fleet.ts';
import { samplesIn } from '../support/metrics.ts';
import { until } from '../support/until.ts';
import { SECRET, startReceiver, status } from '../webhooks/receiver.ts';

const OFTEN = { http: true, sealEveryMs: 100, retainEveryMs: 100 };

test('what is old is exported and cut, rotations go on, and readers are told', async () => {
  const audit = { keep: '1ms', export: './audit' };
  const fleet = await startFleet({ apps: [PEM_APP], config: { http: { listen: '127.0.0.1:0' }, audit } });
  const { store } = fleet.resources;
  const client = await fleet.managed(PEM_APP);
  const { url } = await fleet.start(OFTEN);
  const first = await fleet.rotate(client);
  await fleet.reached(client, first);
  await until('the beginning is cut', async (saw) => saw(await store.auditFirst()) > 10);
  const second = await fleet.rotate(client);
  await fleet.reached(client, second);
  await until('all but the seal is cut', async (saw) => {
    const [oldest, { seq }] = [await store.auditFirst(), await store.sealedSize()];
    return saw(oldest) === seq + 1;
  });

  const call = caller(url ?? '', await makeToken(fleet, { scopes: ['read'] }));
  expect(await verifyAudit([join(fleet.dir, 'audit')])).toMatchObject({ first: 1 });
  const page = (await call('/v1/audit?after=3')).body;
  expect(page.first).toBeGreaterThan(10);
  expect(page.entries.every(({ seq }: { seq: number }) => seq >= page.first)).toBe(true);
  const events = await call(`/v1/rotations/${second}/events`);
  expect(events.body).toMatch(/^event: cut\ndata: \{"after":\d+,"first":\d+\}\n\n/);
  const later = join(fleet.dir, 'later');
  const { begins } = await exportAudit(store, later);
  expect(begins).toBeGreaterThan(10);
  expect(await verifyAudit([later])).toMatchObject({ first: begins });
});

test('a folder that cannot be written is told of everywhere, and stops no rotation', async () => {
  const audit = { keep: '1ms', export: './audit' };
  const fleet = await startFleet({ apps: [PEM_APP], config: { http: { listen: '127.0.0.1:0' }, audit } });
  const client = await fleet.managed(PEM_APP);
  const folder = join(fleet.dir, 'audit');
  await writeFile(folder, 'a file stands in its place');
  const { url } = await fleet.start(OFTEN);
  await fleet.reached(client, await fleet.rotate(client));
  const { store } = fleet.resources;
  await until('it fails', async (saw) => saw((await store.exportProgress()).get('folder'))?.failing != null);
  expect(await store.auditFirst()).toBe(1);
  const why = {
    name: 'audit export folder',
    ok: false,
    detail: expect.stringMatching(/^has failed since \S+Z: .*audit/),
  };
  expect(await checkAuditLog(fleet.config, store)).toContainEqual(expect.objectContaining(why));
  expect(await rekeyd(fleet, 'status')).toMatch(/^FAILING {2}audit export folder since/m);
  const call = caller(url ?? '', await makeToken(fleet, { scopes: ['metrics'] }));
  expect(samplesIn((await call('/metrics')).body).has('rekeyd_audit_export_behind{export="folder"}')).toBe(true);
  await rm(folder);
  await until('it goes on', async (saw) => saw(await store.auditFirst()) > 1);
  expect((await readdir(folder)).filter((name) => name.endsWith('.jsonl'))).not.toEqual([]);
  const told = fleet.lines.map((line) => JSON.parse(line).msg).filter((msg) => msg.startsWith('audit export'));
  expect(told).toEqual([expect.stringContaining('audit export failing'), 'audit export goes on']);
});

test('what a webhook has not told yet is not cut', async () => {
  const down = await startReceiver();
  down.answer = status(500);
  const fleet = await startFleet({ apps: [PEM_APP] });
  await writeFile(join(fleet.dir, 'hook'), `${SECRET}\n`);
  const webhook = { name: 'down', url: down.url, secret: 'file:hook', allow_private: ['127.0.0.1'], proxy: 'none' };
  const audit = { keep: '1ms', export: [{ kind: 'folder', path: './audit' }] };
  const config = await fleet.configOf({ ...fleet.file, audit, webhooks: [webhook] });
  const { store } = fleet.resources;
  await fleet.start(OFTEN, config);
  const needed = await until('it has begun', () => store.neededFrom(['down']));
  const exportedAfter = async (seq: number) =>
    until('all is exported', async (saw) => saw((await store.exportProgress()).get('folder')?.seq ?? 0) > seq);
  // The second run begins after the first has cut what it may.
  for (let run = 0; run < 2; run += 1) {
    const seq = await store.append([
      { type: 'token.revoked', client: null, rotation: null, actor: 'test', reason: 'test', data: {} },
    ]);
    await exportedAfter(seq);
  }
  expect(await store.neededFrom(['down'])).toBe(needed);
  expect(await store.auditFirst()).toBeLessThanOrEqual(needed);
  down.answer = status(204);
  await until('it is told, and cut', async (saw) => saw(await store.auditFirst()) > needed, 30_000);
});
