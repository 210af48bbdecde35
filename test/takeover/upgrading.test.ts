/** docs/upgrading.md, typed as it is written, on the store that version 0.1 left behind. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { lstat, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, onTestFinished, test } from 'vitest';
import { connectRedis } from '../../src/store/redis/connection.ts';
import { CLI } from '../cli/fixture.ts';
import { serveFolder } from '../support/key-server.ts';
import { startLogins } from '../support/logins.ts';
import { startRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { configText, readFixture, recordedClients } from './recorded.ts';
import { restoreFixture } from './restore.ts';
import { restoreWacht } from './wacht.ts';

/** Of the fixture: 0.1 had rotated them, and had nothing left to do. */
const SIGNING = ['rotated-twice', 'foreign-beside'];

/** Imported by 0.1, and never rotated. */
const HELD = 'imported-idle';

async function commands(): Promise<readonly string[]> {
  const page = await readFile(join(import.meta.dirname, '../../docs/upgrading.md'), 'utf8');
  return [...page.matchAll(/^ *```sh\n(.*?)^ *```$/gms)].flatMap(([, block = '']) =>
    block
      .trim()
      .split('\n')
      .map((line) => line.trim()),
  );
}

test('the upgrade from 0.1 is what its page says, and nobody is locked out', { timeout: 200_000 }, async () => {
  const fixture = await readFixture();
  const dir = await mkdtemp(join(tmpdir(), 'rekeyd-upgrading-'));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  const server = await startRedis({});
  onTestFinished(() => server.stop());
  const redis = await connectRedis({ socketPath: server.socketPath }, { name: 'restore' });
  onTestFinished(() => redis.disconnect());
  await restoreFixture(fixture, { redis, dir });
  const emulator = await restoreWacht(fixture, await serveFolder(() => join(dir, 'public')));
  onTestFinished(() => emulator.close());
  for (const { deployment, apiKey } of fixture.server) emulator.setApiKey(deployment, apiKey);
  await writeFile(join(dir, 'rekeyd.yaml'), configText(fixture, { ...server, dir, wacht: emulator.url }));

  const children = new Set<ChildProcess>();
  onTestFinished(() => children.forEach((child) => void child.kill('SIGKILL')));
  function type(line: string) {
    const [program, ...args] = line.split(' ');
    expect(program).toBe('rekeyd');
    const env = { PATH: process.env.PATH, ...fixture.env };
    const child = spawn(process.execPath, [CLI, ...args], { cwd: dir, env, stdio: ['ignore', 'pipe', 'pipe'] });
    children.add(child);
    const ended = Promise.all([text(child.stdout), once(child, 'close')]).then(([out, [code]]) => ({ out, code }));
    return { child, ended };
  }

  const clients = recordedClients(fixture, dir);
  const [held, rotated] = [HELD, 'rotated-twice'].map((word) => clients.find(({ what }) => what === word));
  if (held === undefined || rotated === undefined) throw new Error('the fixture lacks a client');
  const logins = await Promise.all(
    clients
      .filter(({ what }) => SIGNING.includes(what))
      .map((client) => startLogins(client, { emulator, everyMs: 200 })),
  );
  await Promise.all(logins.map((one) => one.more(2)));

  const typed = await commands();
  expect(typed).toEqual([
    'rekeyd config check',
    'rekeyd start',
    'rekeyd doctor',
    'rekeyd status',
    'rekeyd store status',
    'rekeyd status --state held',
  ]);
  const [check = '', start = '', ...looks] = typed;
  expect(await type(check).ended).toMatchObject({ code: 0 });
  const worker = type(`${start} --no-http`);
  let log = '';
  worker.child.stderr?.on('data', (chunk) => {
    log += chunk;
  });
  await until('the worker has started', (saw) => saw(log).includes('"msg":"started'), 30_000);
  await until('the key folder is a real one', async () => (await lstat(rotated.folder)).isDirectory(), 60_000);

  const answers = new Map<string, { out: string; code: number }>();
  for (const line of looks) answers.set(line, await type(line).ended);
  // What 0.1 had left alone is still so (a paused deployment, a halted client), and the seal may have entries to catch up with. All else is well.
  const wrong = answers.get('rekeyd doctor')?.out.match(/^WRONG {2}.*$/gm) ?? [];
  for (const line of wrong) expect(line).toMatch(/^WRONG {2}(?:deployment 4711: paused|halted clients|audit seal)/);
  expect(answers.get('rekeyd doctor')?.out).toMatch(/^ok {5}keks: /m);
  expect(answers.get('rekeyd status')).toMatchObject({ code: 0, out: expect.stringMatching(/enrolled|healthy/) });
  expect(answers.get('rekeyd store status')).toMatchObject({ code: 0 });
  expect(answers.get('rekeyd status --state held')?.out).toContain(held.ref);

  // Step 7: its application is pointed at the folder, and its signer says so.
  const last = await startLogins(held, { emulator, everyMs: 200 });
  await until(
    'its signer has enrolled it',
    async (saw) =>
      JSON.parse(saw((await type(`rekeyd status ${held.ref} --json`).ended).out)).clients[0].enrolment === 'enrolled',
    60_000,
  );
  for (const one of [...logins, last]) {
    await one.more(2);
    expect((await one.stop()).refused).toEqual([]);
  }
  worker.child.kill('SIGTERM');
  expect(await worker.ended).toMatchObject({ code: 0 });
});
