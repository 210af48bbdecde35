import { spawn } from 'node:child_process';
import { createPrivateKey } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import { startEmulator } from './server.ts';

const MAIN = fileURLToPath(new URL('main.ts', import.meta.url));

/** What `npm run emulator` with these arguments prints until it ends by itself. */
async function ended(args: readonly string[]) {
  const child = spawn(process.execPath, [MAIN, ...args]);
  onTestFinished(() => void child.kill('SIGKILL'));
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { code, stdout, stderr };
}

/** Starts `npm run emulator` on a free port and ends it with `signal` when `use` is done with what it printed. */
async function whileItRuns(signal: 'SIGTERM' | 'SIGINT', args: string[], use: (printed: string) => Promise<void>) {
  const child = spawn(process.execPath, [MAIN, '--port', '0', ...args]);
  const ended = once(child, 'exit');
  try {
    const lines: string[] = [];
    for await (const line of createInterface(child.stdout)) {
      lines.push(line);
      if (line.startsWith('Stop it')) break;
    }
    await use(lines.join('\n'));
    child.kill(signal);
    expect(await ended).toEqual([0, null]);
  } finally {
    child.kill('SIGKILL');
  }
}

async function appsOf(url: string | undefined, key: string | undefined): Promise<unknown> {
  const response = await fetch(`${url}/oauth/apps`, { headers: { authorization: `Bearer ${key}` } });
  return response.json();
}

test.each(['SIGTERM', 'SIGINT'] as const)('npm run emulator prints what to try, and %s ends it with 0', (signal) =>
  whileItRuns(signal, [], async (printed) => {
    const [, url] = /listens on (\S+)/.exec(printed) ?? [];
    const [, key] = /API key +(\S+)/.exec(printed) ?? [];
    expect(await appsOf(url, key)).toMatchObject({ apps: [{ slug: 'mcp-rfc' }, { slug: 'mcp-auth' }] });
  }),
);

test('with --keys it prints a config that rekeyd takes, and writes the private keys of its clients', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'rekeyd-emulator-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  await whileItRuns('SIGTERM', ['--keys', dir], async (printed) => {
    const [, yaml = ''] = /in the environment:\n\n([\s\S]*?)\n\ncurl/.exec(printed) ?? [];
    const env = { KEK: Buffer.alloc(32, 7).toString('base64url'), API_KEY: 'emulator-api-key' };
    const { deployments } = await parseConfig(yaml, { file: join(dir, 'rekeyd.yaml'), env });
    expect(deployments[0]?.apps.map(({ slug }) => slug)).toEqual(['mcp-auth', 'mcp-rfc']);
    const shown = [...printed.matchAll(/client +\d+\/(\S+)\/\d+ +(\S+) +(\S+\.pem)/g)];
    expect(shown).toHaveLength(4);
    for (const [, app = '', clientId, path = ''] of shown) {
      expect(path).toBe(join(dir, app, `${clientId}.pem`));
      expect(createPrivateKey(await readFile(path, 'utf8')).asymmetricKeyType).toBe('ec');
      expect((await stat(path)).mode & 0o777).toBe(0o600);
    }
  });
});

test('with --replay it holds what the recorded calls need, and prints where and with which keys to make them', () =>
  whileItRuns('SIGTERM', ['--replay'], async (printed) => {
    const [, url, key, other] =
      /--api (\S+) --key (\S+) --other-key (\S+) --dep-key \S+ --dep-ro-key \S+/.exec(printed) ?? [];
    expect(await appsOf(url, key)).toMatchObject({ apps: [{ slug: 'off' }, { slug: 'mcp-auth' }, { slug: 'second' }] });
    expect(await appsOf(url, other)).toMatchObject({ apps: [{ slug: 'other' }] });
  }));

test.each<[string, readonly string[], number, RegExp]>([
  ['an option that it does not have', ['--prot', '9000'], 2, /Unknown option '--prot'[\s\S]*--port N/],
  ['a port that is none', ['--port', 'http'], 2, /--port http is no port: give a number/],
  ['a port beyond the last', ['--port', '65536'], 2, /--port 65536 is no port/],
  [
    'a folder that is a file',
    ['--port', '0', '--keys', MAIN],
    1,
    /cannot be written to .*main\.ts.* Give another folder/,
  ],
])('%s is refused in plain words', async (_what, args, code, told) => {
  expect(await ended(args)).toEqual({ code, stdout: '', stderr: expect.stringMatching(told) });
});

test('--help says what the options are, and a port that is taken is named, with what to do', async () => {
  expect(await ended(['--help'])).toEqual({ code: 0, stdout: expect.stringMatching(/--keys DIR .*\n/), stderr: '' });
  const other = await startEmulator();
  onTestFinished(() => other.close());
  const { port } = new URL(other.url);
  const { code, stderr } = await ended(['--port', port]);
  expect(code).toBe(1);
  expect(stderr).toBe(
    `The emulator cannot listen on port ${port} of 127.0.0.1: another program listens there, perhaps another emulator. Stop that program, or choose another port: \`npm run emulator -- --port 0\` takes any free one.\n`,
  );
});
