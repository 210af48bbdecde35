/** `rekeyd reload` and SIGHUP, as a person uses them. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { COMPILED } from '../support/compiled.ts';
import { until } from '../support/until.ts';
import { documentOf, openWorld, type Running, type World } from './fixture.ts';

let world: World;
let services: readonly Running[];
beforeAll(async () => {
  world = await openWorld();
  await world.enrolledClient('pem-app');
  services = [await world.start('--no-http'), await world.start('--no-http', '--no-worker', '--no-schedule')];
});
afterAll(() => world.close());

const linesOf = (service: Running, msg: string) =>
  service
    .stderr()
    .split('\n')
    .filter((line) => line.includes(`"msg":"${msg}`));

/** Entries of the audit log that tell of a reload; checkpoints come between them. */
async function reloads(): Promise<readonly { readonly type: string }[]> {
  const entries: { readonly type: string }[] = documentOf(await world.run(['audit', 'tail', '-n', '100', '--json']));
  return entries.filter(({ type }) => type === 'config.reloaded');
}

test('reload answers what each service came to, and the audit log has it', async () => {
  await world.writeConfig({ ...world.config, reconcile_every: '2s' });
  const asked = await world.run(['reload', '--reason', 'upkeep less often']);
  expect(asked.code, asked.stderr).toBe(0);
  expect(asked.stderr).toContain('2 services are asked to read the config again …');
  expect(asked.stdout.match(/^\S+ \(pid \d+\) works with the new config:\n {2}reconcile_every$/gm)).toHaveLength(2);
  for (const service of services) expect(linesOf(service, 'the config was reloaded')).toHaveLength(1);
  const entries = (await reloads()).slice(-2);
  const entry = { type: 'config.reloaded', reason: 'upkeep less often', actor: expect.stringMatching(/^cli:/) };
  expect(entries).toMatchObject([entry, entry]);
  const again = await world.run(['reload']);
  expect(again.stdout.match(/: nothing has changed\.$/gm)).toHaveLength(2);
});

test('a file that cannot be used ends with 2, and one that services cannot take with 1, naming why', async () => {
  await world.writeConfig({ ...world.config, banana: 1 });
  const unusable = await world.run(['reload']);
  expect(unusable.code).toBe(2);
  expect(unusable.stderr).toContain('banana');
  await world.writeConfig({ ...world.config, durability: 'relaxed' });
  const [refused, json] = [await world.run(['reload']), await world.run(['reload', '--json'])];
  expect([refused.code, json.code]).toEqual([1, 1]);
  expect(refused.stdout).toMatch(/cannot use it, and goes on with the config from before:\n {2}durability: is fixed/);
  expect(documentOf(json).services).toMatchObject([1, 2].map(() => ({ outcome: { kind: 'refused' } })));
  const { stdout } = await world.run(['doctor']);
  expect(
    stdout.match(/^WRONG {2}service \S+ \(pid \d+\): the config file cannot be used, .*durability: is fixed/gm),
  ).toHaveLength(2);
});

test('SIGHUP has one service read its config again, and the service goes on', async () => {
  await world.writeConfig({ ...world.config, reconcile_every: '3s' });
  const [service] = services;
  service?.kill('SIGHUP');
  await until(
    'it is reloaded',
    () => service !== undefined && linesOf(service, 'the config was reloaded').length === 2,
  );
  expect((await reloads()).at(-1)).toMatchObject({
    type: 'config.reloaded',
    reason: 'SIGHUP',
    data: { changes: ['reconcile_every'] },
  });
});

test('without a service there is nothing to ask', async () => {
  for (const service of services) {
    service.kill('SIGTERM');
    expect((await service.ended).code).toBe(0);
  }
  const asked = await world.run(['reload']);
  expect(asked, asked.stderr).toMatchObject({ code: 0, stdout: expect.stringContaining('No service runs.') });
});

const HAS_TERMINAL = spawnSync('script', ['--version']).status === 0;

test.runIf(HAS_TERMINAL)('on a terminal SIGHUP drains, as SIGTERM does', async () => {
  const config = await world.writeConfig(world.config);
  const command = `echo pid=$$; exec ${process.execPath} ${join(import.meta.dirname, '../../src/cli.ts')} start --no-http`;
  const child = spawn('script', ['-qec', command, '/dev/null'], {
    cwd: world.dir,
    env: { PATH: process.env.PATH, ...COMPILED, ...world.secrets, REKEYD_CONFIG: config, REKEYD_LOG_FORMAT: 'json' },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  let shown = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    shown += text;
  });
  await until('it has started', () => shown.includes('"msg":"started"'));
  process.kill(Number(/pid=(\d+)/.exec(shown)?.[1]), 'SIGHUP');
  const [code] = await once(child, 'close');
  expect(code, shown).toBe(0);
  expect(shown).toMatch(/"signal":"SIGHUP".*"msg":"stopping"/);
  expect(shown).toContain('"msg":"stopped"');
});
