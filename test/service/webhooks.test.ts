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

async function startHooked(webhooks: readonly object[], apps = [PEM_APP]): Promise<Fleet> {
  const fleet = await startFleet({ apps });
  await writeFile(join(fleet.dir, 'hook'), `${SECRET}\n`);
  return Object.assign(fleet, { file: { ...fleet.file, webhooks } });
}

const standing = async ({ resources: { store } }: Fleet, name: string) =>
  (await store.webhookStandings([name])).get(name);

test('a rotation is told of with its owner; a webhook is added and removed by a reload; its numbers are in /metrics', async () => {
  const [siem, chat, down] = [await startReceiver(), await startReceiver(), await startReceiver()];
  down.answer = status(500);
  const app = { ...PEM_APP, policy: { owner: 'team-payments' } };
  const webhook = { name: 'siem', url: siem.url, secret: 'file:hook', events: ['rotation.*'], ...ALLOWED };
  const fleet = await startHooked([webhook, { ...webhook, name: 'down', url: down.url }], [app]);
  const client = await fleet.managed(app);
  const service = await startLive(fleet);
  for (const name of ['siem', 'down'])
    await until(`${name} has begun`, async () => (await standing(fleet, name)) !== undefined);
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
  const delivered = 'rekeyd_webhook_deliveries_total{webhook="siem",outcome="delivered"}';
  const samples = await until('what was heard is counted', async (saw) => {
    const told = await scrape();
    return saw(told.get(delivered)) === siem.heard.length && told;
  });
  expect(samples.get('rekeyd_webhook_deliveries_total{webhook="siem",outcome="failed"}')).toBe(0);
  for (const name of ['dead', 'failing']) expect(samples.get(`rekeyd_webhook_${name}{webhook="siem"}`)).toBe(0);
  // It has stopped no rotation, and held up no other webhook.
  await until(
    '/metrics says which fails',
    async () => (await scrape()).get('rekeyd_webhook_failing{webhook="down"}') === 1,
  );
  expect(told(fleet, 'warn').find(({ msg }) => msg.includes('could not be delivered yet'))).toMatchObject({
    ...{ webhook: 'down', error: 'it answers 500', type: 'rotation.requested', next_try: expect.any(String) },
  });
  expect(samples.get('rekeyd_webhook_pending{webhook="siem"}')).toBeGreaterThanOrEqual(0);

  const second = { ...webhook, name: 'chat', url: chat.url, events: ['client.halted', 'config.reloaded'] };
  expect(await service.reloadWith({ webhooks: [second] })).toEqual({
    ...{ kind: 'changed', changes: ['webhook siem removed', 'webhook down removed', 'webhook chat added'] },
  });
  await until('the new one has begun', async () => (await standing(fleet, 'chat')) !== undefined);
  const heard = siem.heard.length;
  expect(await service.reloadWith({ webhooks: [{ ...second, timeout: '5s' }] })).toMatchObject({ kind: 'changed' });
  await until('the new one is told', () => chat.events().length === 1);
  expect(chat.events()[0]).toMatchObject({ type: 'config.reloaded', data: { owner: null, client: null } });
  expect(siem.heard).toHaveLength(heard);
  const series = async () => [...(await scrape()).keys()].filter((name) => name.includes('webhook="'));
  const now = await until('the series of the old ones end', async (saw) => {
    const names = saw(await series());
    return !names.some((name) => /siem|down/.test(name)) && names;
  });
  expect(now.length).toBeGreaterThan(3);
  expect(await service.reloadWith({ webhooks: [{ ...second, url: 'http://example.com' }] })).toMatchObject({
    ...{ kind: 'refused', problems: [expect.stringMatching(/webhooks\[0\]\.url \(line 1\): is http/)] },
  });
  expect(fleet.lines.join('')).not.toContain(SECRET.slice(6));
});

test('a webhook that no config has any more is forgotten after a while, and one that another worker has is not', async () => {
  const receiver = await startReceiver();
  const fleet = await startHooked([{ name: 'siem', url: receiver.url, secret: 'file:hook', ...ALLOWED }]);
  const { store, log } = fleet.resources;
  await store.takeWebhook('gone', 'somebody', 1);
  const pace = { lookMs: 20, waitMs: 20, retryMs: () => 20, afterDeadMs: 10, awayMs: 20 };
  const options = { store, log, clock: systemClock, pace, forgetMs: 500 };
  const stop = startWebhooks(await fleet.configOf(fleet.file), options);
  onTestFinished(stop);
  onTestFinished(startWebhooks(await fleet.configOf({ ...fleet.file, webhooks: undefined }), options));
  await until('the old one is forgotten', async () => (await standing(fleet, 'gone')) === undefined);
  await until('the one that is in use is there', async () => (await standing(fleet, 'siem'))?.pending === 0);
  expect(await store.neededFrom(['siem', 'gone'])).toBe((await store.auditSize()) + 1);
  await stop();
  await until('the other too, when it is gone', async () => (await standing(fleet, 'siem')) === undefined);
});
