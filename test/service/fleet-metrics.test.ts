/** The numbers of the fleet in `/metrics`: the same that `rekeyd status` tells, and bounded however large the fleet is. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { CLIENT_STATES } from '../../src/core/state.ts';
import { aged } from '../support/aged.ts';
import { rekeyd, statusOf } from '../support/command.ts';
import { DEPLOYMENT, PEM_APP, startFleet } from '../support/fleet.ts';
import { likeMany, manyRef } from '../support/many.ts';
import { type Samples, scraper } from '../support/metrics.ts';
import { until } from '../support/until.ts';
import { SECRET } from '../webhooks/receiver.ts';

const HTTP = { config: { http: { listen: '127.0.0.1:0' }, audit: { export: './audit' } } };

function statesIn(samples: Samples): object {
  return Object.fromEntries(CLIENT_STATES.map((state) => [state, samples.get(`rekeyd_clients{state="${state}"}`)]));
}

test('clients, ages and deployments are told as status tells them, and followed', async () => {
  const fleet = await startFleet({ apps: [PEM_APP], ...HTTP });
  const [old, held, fresh] = [
    await fleet.managed(PEM_APP),
    await fleet.managed(PEM_APP, { enroll: false }),
    await fleet.managed(PEM_APP),
  ];
  await fleet.foreign(PEM_APP);
  await aged(fleet, old, 100);
  await aged(fleet, fresh, 1);
  // Its receiver is never asked: nothing that it wants happens here.
  const webhook = { name: 'siem', url: 'https://siem.example.com/', secret: 'env:HOOK', events: ['client.halted'] };
  const config = await fleet.configOf({ ...fleet.file, webhooks: [webhook] }, { HOOK: SECRET });
  const { url } = await fleet.start({ http: true }, config);
  const samples = await scraper(fleet, url);
  const agrees = (what: string, more: (samples: Samples) => boolean) =>
    until(what, async (saw) => {
      const [told, { counts }] = [await samples(), await statusOf(fleet)];
      saw(statesIn(told));
      return JSON.stringify(statesIn(told)) === JSON.stringify(pick(counts)) && more(told) && told;
    });

  const first = await agrees('the whole fleet is told', (told) => {
    return told.get('rekeyd_clients{state="found"}') === 1 && told.has('rekeyd_webhook_failing{webhook="siem"}');
  });
  expect(statesIn(first)).toMatchObject({ overdue: 1, held: 1, found: 1, healthy: 1 });
  const age = `rekeyd_key_age_seconds{client="${old.ref}"}`;
  const due = `rekeyd_key_due_in_seconds{client="${old.ref}"}`;
  expect(Math.floor((first.get(age) ?? 0) / 86_400)).toBe(100);
  expect(Math.floor((first.get(due) ?? 0) / 86_400)).toBe(-71);
  expect(first.has(`rekeyd_key_due_in_seconds{client="${held.ref}"}`)).toBe(false);
  expect(first.get('rekeyd_clients_key_age_seconds_bucket{le="86400"}')).toBe(1);
  expect(first.get('rekeyd_clients_key_age_seconds_count')).toBe(3);
  const names = new Set([...first.keys()].map((name) => name.replace(/\{.*/, '')));
  for (const file of ['prometheus/alerts.yml', 'grafana/rekeyd.json']) {
    const text = readFileSync(new URL(`../../deploy/${file}`, import.meta.url), 'utf8');
    for (const [name] of text.matchAll(/\brekeyd_\w+/g)) expect(names, `${name} in ${file}`).toContain(name);
  }
  expect(first.get('rekeyd_schedule_running')).toBe(0);
  expect(first.get(`rekeyd_queue_jobs{queue="rotate-${DEPLOYMENT}",state="failed"}`)).toBe(0);

  await fleet.reached(old, await fleet.rotate(old));
  const second = await agrees('the rotated key is young', (told) => (told.get(age) ?? 0) < 86_400);
  expect(second.get(due)).toBeGreaterThan(86_400);

  await rekeyd(fleet, 'pause', '--all', '--reason', 'a freeze');
  await agrees('the pause is told', (told) => told.get('rekeyd_clients{state="paused"}') === 2);
  fleet.emulator.faults.add({
    kind: 'status',
    status: 401,
    match: { path: /oauth\/apps/ },
    times: Number.POSITIVE_INFINITY,
  });
  await fleet.resources.store.pause(DEPLOYMENT, 'its API key is refused', []);
  const paused = `rekeyd_deployment_paused{deployment="${DEPLOYMENT}"}`;
  await until('the paused deployment is told', async () => (await samples()).get(paused) === 1);
  fleet.emulator.faults.clear();
  await until('it is over', async () => (await samples()).get(paused) === 0);
});

function pick(counts: Readonly<Record<string, number>>): object {
  return Object.fromEntries(CLIENT_STATES.map((state) => [state, counts[state]]));
}

test('of more than a thousand clients ten are named, the oldest and those due first', async () => {
  const fleet = await startFleet({ apps: [PEM_APP], ...HTTP });
  const client = await fleet.managed(PEM_APP);
  await likeMany(fleet, client.ref, 1_200);
  const { url } = await fleet.start({ http: true, worker: false });
  const samples = await scraper(fleet, url);
  const told = await until('all clients are told', async () => {
    const now = await samples();
    return now.get('rekeyd_clients_key_age_seconds_count') === 1_201 && now;
  });
  const named = [...told.keys()].filter((name) => name.startsWith('rekeyd_key_age_seconds{'));
  const oldest = Array.from({ length: 10 }, (_, index) => `rekeyd_key_age_seconds{client="${manyRef(1_199 - index)}"}`);
  expect(named.sort()).toEqual(oldest.sort());
  const soonest = [...told.keys()].filter((name) => name.startsWith('rekeyd_key_due_in_seconds{'));
  expect(soonest.sort()).toEqual(oldest.map((name) => name.replace('key_age', 'key_due_in')).sort());
  // A key for each hour: 24 of them in the first day, and that of today.
  expect(told.get('rekeyd_clients_key_age_seconds_bucket{le="86400"}')).toBe(25);
  expect(told.get('rekeyd_clients_key_age_seconds_bucket{le="+Inf"}')).toBe(1_201);
});
