/** `npm run demo -- --serve` as a person runs it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json, text } from 'node:stream/consumers';
import { expect, onTestFinished, test } from 'vitest';
import type { ClientStatus } from '../../src/status/model.ts';
import { isAlive } from '../../src/store/embedded/lock.ts';
import { caller } from '../support/api.ts';
import { COMPILED } from '../support/compiled.ts';
import { until } from '../support/patient.ts';

const MAIN = join(import.meta.dirname, 'main.ts');

/** Two processes sign in all the time, and may share two cores with other tests. */
const WHOLE_DEMO_MS = 90_000;

async function start(...args: readonly string[]): Promise<{ readonly dir: string; readonly child: ChildProcess }> {
  const dir = await mkdtemp(join(tmpdir(), 'rekeyd-demo-'));
  const env = { PATH: process.env.PATH, ...COMPILED };
  const child = spawn(process.execPath, [MAIN, ...args], { cwd: dir, env, stdio: ['ignore', 'pipe', 'pipe'] });
  onTestFinished(async () => {
    child.kill('SIGTERM');
    if (child.exitCode === null) await once(child, 'exit');
    await rm(dir, { recursive: true, force: true });
  });
  return { dir, child };
}

/** Of the embedded store. */
async function storePid(dir: string): Promise<number> {
  return JSON.parse(await readFile(join(dir, 'data/demo/redis/server.json'), 'utf8')).serverPid;
}

/** The system takes a moment to forget a process that has ended. */
function ended(pid: number): Promise<boolean> {
  return until('the embedded store has ended', () => !isAlive(pid));
}

test('the demo goes on with its page, has something of everything, and ends whole at Ctrl-C', async () => {
  const { dir, child } = await start('--serve', '--json');
  const { stdout, stderr } = child;
  if (stdout === null || stderr === null) throw new Error('no pipes');
  let said = '';
  stderr.on('data', (chunk) => {
    said += chunk;
  });
  const report = json(stdout);
  const link = await until(
    'it prints its link',
    (saw) => /http:\S+\/sign-in#token=rekeyd_\S+/.exec(saw(said))?.[0],
    WHOLE_DEMO_MS,
  );
  expect(said.match(/http:\S+sign-in/g), 'one link').toHaveLength(1);
  expect(said).toContain('Ctrl-C');

  const { origin, hash } = new URL(link);
  const ask = caller(origin, hash.slice('#token='.length));
  const { body } = await ask('/v1/clients');
  const clients: readonly ClientStatus[] = body.clients;
  const states = new Set(clients.map(({ state }) => state));
  for (const state of ['failed', 'rotating', 'paused', 'due', 'held', 'found', 'healthy'] as const) {
    expect(states, state).toContain(state);
  }
  expect(clients.filter(({ drift }) => drift !== null)).toHaveLength(1);
  // The token may act.
  const request = { select: { clients: [clients.find(({ state }) => state === 'healthy')?.client] }, reason: 'a test' };
  expect((await ask('/v1/rotations', { json: request })).status).toBe(202);

  const pid = await storePid(dir);
  child.kill('SIGINT');
  const [code] = await once(child, 'exit');
  expect(code, said).toBe(0);
  expect(await report, 'the same document as without --serve').toMatchObject({
    clients: Array.from({ length: 10 }, () => expect.objectContaining({ outcome: expect.any(String) })),
    totals: { rotations: 9 },
  });
  await ended(pid);
  await expect(fetch(`${origin}/livez`)).rejects.toThrow();
});

test('a Ctrl-C that comes before there is a page ends it whole, too', async () => {
  const { dir, child } = await start('--serve', '--json');
  if (child.stderr === null) throw new Error('no pipe');
  const said = text(child.stderr);
  const first = await until('its store runs', () => storePid(dir).catch(() => null), WHOLE_DEMO_MS);
  child.kill('SIGINT');
  const [code] = await once(child, 'exit');
  expect([code, await said]).toEqual([0, expect.not.stringContaining('sign-in')]);
  // The service has started one of its own, maybe.
  for (const pid of [first, await storePid(dir).catch(() => first)]) await ended(pid);
});
