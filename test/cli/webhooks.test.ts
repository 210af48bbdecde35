/** Webhooks as the commands show them, and what a person can do about dead letters. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { DeadLetter } from '../../src/core/webhook.ts';
import { ran } from '../support/command.ts';
import { PEM_APP, startFleet } from '../support/fleet.ts';
import { SECRET } from '../webhooks/receiver.ts';

const HOOKS = ['siem', 'gone', 'fine', 'new'];

test('a webhook that fails, has stopped or has dead letters is in status, doctor and webhooks list; letters are tried again or discarded', async () => {
  const found = await startFleet({ apps: [PEM_APP] });
  await writeFile(join(found.dir, 'hook'), SECRET);
  const webhooks = HOOKS.map((name) => ({ name, url: 'https://siem.example.com/hidden', secret: 'file:hook' }));
  const fleet = { ...found, file: { ...found.file, webhooks } };
  const { store } = fleet.resources;
  for (const name of ['siem', 'gone', 'fine']) await store.takeWebhook(name, 'a worker', 60_000);
  const draft = { type: 'schedule.paused', client: null, rotation: null, actor: 'test', data: {} } as const;
  await store.append(['one', 'two', 'three'].map((reason) => ({ ...draft, reason })));
  for (const entry of await store.auditAfter(0, 2)) {
    const letter: DeadLetter = { entry, why: 'it answers 500', at: Date.now() };
    await store.giveUp('siem', entry.seq - 1, { to: entry.seq, letters: [letter], error: letter.why }, 60_000);
  }
  await store.stopWebhook('gone', 0, { why: 'it answers 410', config: 'x' }, []);
  await store.passWebhook('fine', 0, 3);

  const failing = /FAILING since \S+, tried again at \S+: it answers 500\. Entries that wait: 1; dead letters: 2/;
  const status = await ran(fleet, 'status');
  const json = await ran(fleet, 'status', '--json');
  const list = await ran(fleet, 'webhooks', 'list');
  const doctor = await ran(fleet, 'doctor', '--json');
  const dead = await ran(fleet, 'webhooks', 'dead', 'siem');
  expect(status.stdout).toMatch(new RegExp(`^WEBHOOK {2}siem: ${failing.source}.*\`rekeyd webhooks retry siem\``, 'm'));
  expect(status.stdout).toMatch(/^WEBHOOK {2}gone: STOPPED, since the receiver wants nothing more: it answers 410/m);
  expect(status.stdout).not.toContain('fine');
  expect(JSON.parse(json.stdout).webhooks).toMatchObject([
    { webhook: 'siem', pending: 1, dead: 2, error: 'it answers 500', stopped: null },
    { webhook: 'gone', stopped: 'it answers 410' },
    { webhook: 'fine', pending: 0, failing_since: null },
  ]);
  expect(list.code).toBe(1);
  expect(list.stdout).toMatch(/^siem +standard +1 +2 +FAILING/m);
  expect(list.stdout).toMatch(/^fine +standard +0 +0 +delivered$/m);
  expect(list.stdout).toMatch(/^new +standard +- +- +no worker has begun it/m);
  expect(list.stderr).toContain('siem: Mend the receiver.');
  const checks: { name: string; ok: boolean }[] = JSON.parse(doctor.stdout).checks;
  expect(checks.filter(({ name }) => name.startsWith('webhook '))).toMatchObject([
    { name: 'webhook siem', ok: false },
    { name: 'webhook gone', ok: false },
    { name: 'webhook fine', ok: true },
  ]);
  expect(dead.stdout).toMatch(/^SEQ +TIME +TYPE +CLIENT +WHY\n1 +\S+ +schedule\.paused +- +it answers 500\n2 /);

  const unknown = await ran(fleet, 'webhooks', 'retry', 'sien');
  const wrong = await ran(fleet, 'webhooks', 'discard', 'siem', 'all');
  expect([unknown.code, unknown.stderr]).toEqual([1, expect.stringContaining('no webhook "sien". It has: siem, gone')]);
  expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining('"all" is no number of an entry')]);
  const discarded = await ran(fleet, 'webhooks', 'discard', 'siem', '1', '999', '--reason', 'known');
  expect([discarded.code, discarded.stdout]).toEqual([1, expect.stringContaining('Discarded: 1 dead letter of siem')]);
  const retried = await ran(fleet, 'webhooks', 'retry', 'siem', '--json');
  expect(JSON.parse(retried.stdout)).toEqual({ webhook: 'siem', retried: 1 });
  expect((await store.webhookStandings(['siem'])).get('siem')).toMatchObject({ dead: 0, again: 1, nextAt: null });
  const by = { actor: expect.stringMatching(/^cli:/), claimed_by: expect.stringMatching(/^os:/) };
  expect(await store.auditTail(2)).toMatchObject([
    { type: 'webhook.discarded', reason: 'known', data: { webhook: 'siem', events: ['1', '999'] }, ...by },
    { type: 'webhook.retried', data: { webhook: 'siem', events: 'all' }, ...by },
  ]);
  expect(JSON.stringify([status, list, doctor, dead])).not.toContain('/hidden');
});
