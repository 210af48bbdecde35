/** Webhooks that cannot be delivered, as the commands show them, and what a person can do. */
import { createServer } from 'node:http';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freePort } from '../support/ports.ts';
import { until } from '../support/until.ts';
import { documentOf, openWorld, type World } from './fixture.ts';

const SECRET = `whsec_${Buffer.alloc(32, 5).toString('base64')}`;

let world: World;
let port: number;
beforeAll(async () => {
  port = await freePort();
  const webhook = {
    ...{ name: 'siem', url: `http://127.0.0.1:${port}/hidden`, secret: 'file:hook', proxy: 'none' },
    ...{ allow_private: ['127.0.0.1'], events: ['schedule.*', 'webhook.*'], give_up_after: '1ms' },
  };
  world = await openWorld({ webhooks: [webhook] });
  await world.writeConfig(SECRET, 'hook');
});
afterAll(() => world.close());

const listed = async () => documentOf(await world.run(['webhooks', 'list', '--json'])).webhooks[0];

test('a webhook is failing in status, doctor and webhooks list until its dead letters are tried again or discarded', async () => {
  const unknown = await world.run(['webhooks', 'retry', 'sien']);
  expect([unknown.code, unknown.stderr]).toEqual([1, expect.stringContaining('no webhook "sien". It has: siem.')]);
  expect((await world.run(['webhooks', 'list'])).stdout).toContain('no worker has begun it');
  const service = await world.start('--no-http', '--no-schedule');
  await until('it has begun', async (saw) => saw(await listed()) !== undefined);
  expect((await world.run(['webhooks', 'list'])).stdout).toMatch(/^siem {2,}standard {2,}0 {2,}0 {2,}delivered$/m);

  await world.run(['pause', '--all', '--reason', 'one']);
  await world.run(['resume', '--all']);
  await until('both are dead letters', async (saw) => saw(await listed()).dead === 2, 30_000);
  const status = await world.run(['status']);
  expect(status.stdout).toMatch(
    /^WEBHOOK {2}siem: FAILING since .*ECONNREFUSED.*dead letters: 2.*`rekeyd webhooks retry siem`/m,
  );
  expect(documentOf(await world.run(['status', '--json'])).webhooks).toMatchObject([{ webhook: 'siem', dead: 2 }]);
  const list = await world.run(['webhooks', 'list']);
  expect([list.code, list.stderr]).toEqual([1, expect.stringContaining('siem: Mend the receiver.')]);
  const doctor = documentOf(await world.run(['doctor', '--json']));
  expect(doctor.checks.find(({ name }: { name: string }) => name === 'webhook siem')).toMatchObject({ ok: false });

  const dead = await world.run(['webhooks', 'dead', 'siem']);
  expect(dead.stdout).toMatch(/^SEQ +TIME +TYPE +CLIENT +WHY\n\d+ +\S+ +schedule\.paused +- +.*ECONNREFUSED/);
  const [first, second] = documentOf(await world.run(['webhooks', 'dead', 'siem', '--json'])).dead;
  const wrong = await world.run(['webhooks', 'discard', 'siem', 'all']);
  expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining('"all" is no number of an entry')]);
  const discarded = await world.run(['webhooks', 'discard', 'siem', `${first.seq}`, '999', '--reason', 'known']);
  expect([discarded.code, discarded.stdout]).toEqual([1, expect.stringContaining('Discarded: 1 dead letter of siem')]);

  const heard: string[] = [];
  const receiver = createServer(async (request, response) => {
    for await (const piece of request) heard.push(JSON.parse(String(piece)).type);
    response.end();
  }).listen(port, '127.0.0.1');
  try {
    const retried = documentOf(await world.run(['webhooks', 'retry', 'siem', `${second.seq}`, '--json']));
    expect(retried).toEqual({ webhook: 'siem', retried: 1 });
    await until('what is left is delivered', async (saw) => {
      const { dead, again, failing_since: since } = saw(await listed());
      return dead === 0 && again === 0 && since === null;
    });
    expect(heard).toContain('schedule.resumed');
    await until(
      'it tells what the person did',
      () => heard.includes('webhook.retried') && heard.includes('webhook.discarded'),
    );
  } finally {
    receiver.closeAllConnections();
    receiver.close();
  }
  const entries = documentOf(await world.run(['audit', 'tail', '--json']));
  expect(entries.find(({ type }: { type: string }) => type === 'webhook.discarded')).toMatchObject({
    ...{ reason: 'known', actor: expect.stringMatching(/^cli:/), claimed_by: expect.stringMatching(/^os:/) },
    data: { webhook: 'siem', events: [`${first.seq}`, '999'] },
  });
  expect(service.stderr()).not.toContain('/hidden');
});
