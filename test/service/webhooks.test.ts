/** Webhooks of a whole service: what rotations tell, what a reload changes, and what people see of it. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { startWebhooks } from '../../src/runtime/webhooks.ts';
import { systemClock } from '../../src/time.ts';
import { type Fleet, PEM_APP, startFleet } from '../support/fleet.ts';
import { startLive, told } from '../support/live-config.ts';
import { scraper } from '../support/metrics.ts';
import { until } from '../support/until.ts';
import { SECRET, startReceiver, status } from '../webhooks/receiver.ts';

const ALLOWED = { allow_private: ['127.0.0.1'], proxy: 'none' };

async function startHooked(webhooks: (dir: string) => readonly object[], apps = [PEM_APP]): Promise<Fleet> {
  const fleet = await startFleet({ apps });
  await writeFile(join(fleet.dir, 'hook'), `${SECRET}\n`);
  return Object.assign(fleet, { file: { ...fleet.file, webhooks: webhooks(fleet.dir) } });
}

const standing = async ({ resources: { store } }: Fleet, name: string) =>
  (await store.webhookStandings([name])).get(name);

test('a rotation is told of with its owner; a webhook is added and removed by a reload; its numbers are in /metrics', async () => {
  const [siem, chat] = [await startReceiver(), await startReceiver()];
  const app = { ...PEM_APP, policy: { owner: 'team-payments' } };
  const webhook = { name: 'siem', url: siem.url, secret: 'file:hook', events: ['rotation.*'], ...ALLOWED };
  const fleet = await startHooked(() => [webhook], [app]);
  const client = await fleet.managed(app);
  const service = await startLive(fleet);
  await until('it has begun', async () => (await standing(fleet, 'siem')) !== undefined);
  const rotation = await fleet.rotate(client, { reason: 'new laptop' });
  await fleet.reached(client, rotation);
  await until('the end is told', () => siem.events().some(({ type }) => type === 'rotation.completed'));
  expect(siem.events().map(({ type }) => type)).toEqual(
    (await fleet.audit()).map(({ type }) => type).filter((type) => type.startsWith('rotation.')),
  );
  expect(siem.events().at(-1)).toMatchObject({
    data: { client: client.ref, rotation, reason: 'new laptop', owner: 'team-payments' },
  });

  const scrape = await scraper(fleet, service.url);
  const samples = await scrape();
  expect(samples.get('rekeyd_webhook_deliveries_total{webhook="siem",outcome="delivered"}')).toBe(siem.heard.length);
  expect(samples.get('rekeyd_webhook_deliveries_total{webhook="siem",outcome="failed"}')).toBe(0);
  for (const name of ['dead', 'failing']) expect(samples.get(`rekeyd_webhook_${name}{webhook="siem"}`)).toBe(0);
  expect(samples.get('rekeyd_webhook_pending{webhook="siem"}')).toBeGreaterThanOrEqual(0);

  const second = { ...webhook, name: 'chat', url: chat.url, events: ['client.halted', 'config.reloaded'] };
  expect(await service.reloadWith({ webhooks: [second] })).toEqual({
    ...{ kind: 'changed', changes: ['webhook siem removed', 'webhook chat added'] },
  });
  await until('the new one has begun', async () => (await standing(fleet, 'chat')) !== undefined);
  const heard = siem.heard.length;
  expect(await service.reloadWith({ webhooks: [{ ...second, timeout: '5s' }] })).toMatchObject({ kind: 'changed' });
  await until('the new one is told', () => chat.events().length === 1);
  expect(chat.events()[0]).toMatchObject({ type: 'config.reloaded', data: { owner: null, client: null } });
  expect(siem.heard).toHaveLength(heard);
  const now = [...(await scrape()).keys()].filter((name) => name.includes('webhook="'));
  expect(now.filter((name) => name.includes('siem'))).toEqual([]);
  expect(now.length).toBeGreaterThan(3);
  expect(await service.reloadWith({ webhooks: [{ ...second, url: 'http://example.com' }] })).toMatchObject({
    ...{ kind: 'refused', problems: [expect.stringMatching(/webhooks\[0\]\.url \(line 1\): is http/)] },
  });
  expect(fleet.lines.join('')).not.toContain(SECRET.slice(6));
});

test('a receiver that fails stops no rotation, and is in the log and in /metrics', async () => {
  const receiver = await startReceiver();
  receiver.answer = status(500);
  const fleet = await startHooked(() => [{ name: 'siem', url: receiver.url, secret: 'file:hook', ...ALLOWED }]);
  const client = await fleet.managed(PEM_APP);
  const service = await startLive(fleet);
  await until('it has begun', async () => (await standing(fleet, 'siem')) !== undefined);
  await fleet.reached(client, await fleet.rotate(client));
  await until('it fails', async () => ((await standing(fleet, 'siem'))?.tries ?? 0) > 0);
  const lines = told(fleet, 'warn').filter(({ msg }) => msg.includes('could not be delivered yet'));
  expect(lines[0]).toMatchObject({ webhook: 'siem', error: 'it answers 500', next_try: expect.any(String) });
  const scrape = await scraper(fleet, service.url);
  await until('/metrics says so', async () => (await scrape()).get('rekeyd_webhook_failing{webhook="siem"}') === 1);
});

test('a webhook that no config has any more is forgotten after a while, and one that another worker has is not', async () => {
  const receiver = await startReceiver();
  const fleet = await startHooked(() => [{ name: 'siem', url: receiver.url, secret: 'file:hook', ...ALLOWED }]);
  const { store, log } = fleet.resources;
  await store.takeWebhook('gone', 'somebody', 1);
  const pace = { lookMs: 20, waitMs: 20, retryMs: () => 20, afterDeadMs: 10 };
  const options = { store, log, clock: systemClock, pace, forgetMs: 1_500 };
  const stop = startWebhooks(await fleet.configOf(fleet.file), options);
  onTestFinished(stop);
  onTestFinished(startWebhooks(await fleet.configOf({ ...fleet.file, webhooks: undefined }), options));
  await until('the old one is forgotten', async () => (await standing(fleet, 'gone')) === undefined);
  await until('the one that is in use is there', async () => (await standing(fleet, 'siem'))?.pending === 0);
  expect(await store.neededFrom(['siem', 'gone'])).toBe((await store.auditSize()) + 1);
  await stop();
  await until('the other too, when it is gone', async () => (await standing(fleet, 'siem')) === undefined);
});
