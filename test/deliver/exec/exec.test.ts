/** Keys for a program: real ones, run as they would be. */
import { execFileSync, spawnSync } from 'node:child_process';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ExecSinkConfig } from '../../../src/config/sinks/model.ts';
import { execSink } from '../../../src/deliver/exec/sink.ts';
import { printable } from '../../../src/deliver/redact.ts';
import type { SinkKey } from '../../../src/deliver/sink.ts';
import { findNeedles, needlesOf } from '../../support/secrets.ts';
import { until } from '../../support/until.ts';
import { contents, holds, message, SET_FILES, sinkKey } from '../contents.ts';

let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'rekeyd-exec-'));
  chmodSync(dir, 0o755);
});

afterEach(() => rmSync(dir, { recursive: true }));

/** A shell script, and how it is run. */
function program(script: string, more: Partial<ExecSinkConfig> = {}): ExecSinkConfig {
  const path = join(dir, 'deliver');
  writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  const env = { PATH: process.env.PATH ?? '', OUT: join(dir, 'out') };
  return { kind: 'exec', program: path, args: [], user: null, group: null, env, timeoutMs: 20_000, ...more };
}

const isRoot = process.geteuid?.() === 0;
const SINK = new URL('../../../src/deliver/exec/sink.ts', import.meta.url).href;
const NOT_ROOT = 'only root can run a program as another user';

test('the program gets the whole set, its arguments and its environment, and nothing else', async () => {
  const sink = execSink(
    program('cat > "$OUT"; echo "$@" >> "$OUT.args"; env | sort > "$OUT.env"; pwd > "$OUT.pwd"', {
      args: ['a b', '$c'],
    }),
  );
  const [a, b] = [await sinkKey(), await sinkKey()];
  await sink.deliver(contents({ current: a, next: b }, { epoch: 4 }));
  const { files, ...told } = JSON.parse(readFileSync(join(dir, 'out'), 'utf8'));
  expect(told).toEqual({
    ...{ v: 1, client: '185019846023/mcp-auth/4711', client_id: 'client-4711', issuer: 'https://auth.example.com' },
    ...{ alg: 'ES256', current: a.kid, next: b.kid, previous: null, updated_at: '2026-11-23T03:00:00.000Z', epoch: 4 },
  });
  expect(Object.keys(files).sort()).toEqual(SET_FILES);
  expect([holds(a, files['current.pem']), holds(b, files['next.jwk.json'])]).toEqual([true, true]);
  expect(readFileSync(join(dir, 'out.args'), 'utf8')).toBe('a b $c\n');
  const names = readFileSync(join(dir, 'out.env'), 'utf8')
    .split('\n')
    .map((line) => line.split('=')[0]);
  expect(names.filter((name) => !['PWD', 'SHLVL', '_', 'OLDPWD', ''].includes(name ?? ''))).toEqual(['OUT', 'PATH']);
  expect(readFileSync(join(dir, 'out.pwd'), 'utf8')).toBe('/\n');
  expect([sink.sets, sink.reports]).toEqual([null, null]);
});

test('it runs as another user, without our groups', async ({ skip }) => {
  skip(!isRoot, NOT_ROOT);
  chmodSync(dir, 0o777);
  const sink = execSink(program('id -u > "$OUT"; id -G >> "$OUT"; cat > /dev/null', { user: 65534, group: 65534 }));
  await sink.deliver(contents({ current: await sinkKey() }));
  expect(readFileSync(join(dir, 'out'), 'utf8')).toBe('65534\n65534\n');
});

test('as another user without the right to, it says so, and so does the check', async ({ skip }) => {
  skip(!isRoot, NOT_ROOT);
  // A child that is not root opens the sink.
  const config = program('cat > /dev/null', { user: 1, group: 1 });
  const [, open = '', look = ''] = `
    const { execSink } = await import(${JSON.stringify(SINK)});
    console.log(await execSink(${JSON.stringify(config)}).check());`.split('\n');
  const env = { PATH: process.env.PATH };
  const child = join(dir, 'child.mjs');
  // Modules are read before it gives its rights away: the folder may be closed to others.
  const drop = 'process.setgroups([]); process.setgid(65534); process.setuid(65534);';
  writeFileSync(child, [open, drop, look].join('\n'));
  const told = execFileSync(process.execPath, [child], { env, encoding: 'utf8' });
  expect(told).toMatch(/EPERM: to run it as another user, rekeyd must run as root/);
});

describe('a program that', () => {
  test('fails tells why by what it printed last', async () => {
    const sink = execSink(program('cat > /dev/null; echo "step 1"; echo "no such vault" >&2; exit 3'));
    expect(await message(sink.deliver(contents({ current: await sinkKey() })))).toMatch(
      /exec .*deliver: it ended with 3 \(step 1 no such vault\).*run again/,
    );
  });

  test('ends before it has read its input fails by its exit code alone', async () => {
    const sink = execSink(program('exec <&-; exit 7'));
    expect(await message(sink.deliver(contents({ current: await sinkKey() })))).toContain('it ended with 7.');
    await execSink(program('exec <&-; exit 0')).deliver(contents({ current: await sinkKey() }));
  });

  test('hangs is killed with all that it started', async () => {
    const sink = execSink(
      program('cat > /dev/null; echo waiting; sleep 600 & echo $! > "$OUT"; wait', { timeoutMs: 3_000 }),
    );
    expect(await message(sink.deliver(contents({ current: await sinkKey() })))).toMatch(
      /did not end within 3 s and was killed \(waiting\).*raise timeout/,
    );
    const pid = readFileSync(join(dir, 'out'), 'utf8').trim();
    await until(
      'what it started has ended',
      () => !existsSync(`/proc/${pid}`) || /\nState:\tZ/.test(readFileSync(`/proc/${pid}/status`, 'utf8')),
    );
  });

  test('cannot be killed is not waited for', async ({ skip }) => {
    skip(!isRoot, NOT_ROOT);
    // As `sudo` does for a rekeyd that is not root, it becomes root.
    const path = join(dir, 'of-root');
    execFileSync('cp', ['-L', execFileSync('which', ['setpriv'], { encoding: 'utf8' }).trim(), path]);
    chmodSync(path, 0o4755);
    const { status } = spawnSync(path, ['--reuid=0', 'true'], { uid: 65534, gid: 65534 });
    skip(status !== 0, 'programs of root are not run as such here');
    const pid = join(dir, 'pid');
    const args = ['--reuid=0', '--clear-groups', 'sh', '-c', `echo $$ > ${pid}; exec sleep 30`];
    const config = { kind: 'exec', program: path, args, user: null, group: null, env: {}, timeoutMs: 300 };
    const script = join(dir, 'child.mjs');
    writeFileSync(
      script,
      `const { execSink } = await import(${JSON.stringify(SINK)});
      process.setgroups([]); process.setgid(65534); process.setuid(65534);
      const none = { current: null, next: null, previous: null, issuer: null, alg: null };
      const contents = { ref: '1/a/b', clientId: 'c', updatedAt: 0, epoch: 1, ...none };
      await execSink(${JSON.stringify(config)}).deliver(contents).catch(({ message }) => console.log(message));
      process.exit();`,
    );
    try {
      const told = execFileSync(process.execPath, [script], { env: { PATH: process.env.PATH }, encoding: 'utf8' });
      expect(told).toMatch(/did not end within 300 ms and goes on: rekeyd may not kill it/);
    } finally {
      process.kill(Number(readFileSync(pid, 'utf8')), 'SIGKILL');
    }
  });

  test('prints much is told by the last of it', async () => {
    const sink = execSink(
      program('cat > /dev/null; head -c 100000 /dev/zero | tr "\\0" "\\n"; echo "the disk is full"; exit 1'),
    );
    expect(await message(sink.deliver(contents({ current: await sinkKey() })))).toContain(
      'it ended with 1 (the disk is full)',
    );
  });

  test('leaves something in the background is not waited for', async () => {
    const sink = execSink(program('cat > /dev/null; setsid sleep 600 & echo $! > "$OUT"; exit 0'));
    await sink.deliver(contents({ current: await sinkKey() }));
    // It is there to be ended.
    process.kill(Number(readFileSync(join(dir, 'out'), 'utf8')));
  });

  test('prints without end is read to its end, and told in one line', async () => {
    const sink = execSink(program('cat > /dev/null; head -c 3000000 /dev/zero | tr "\\0" x; exit 1'));
    const told = await message(sink.deliver(contents({ current: await sinkKey() })));
    expect(told).toContain('it ended with 1 (xxx');
    expect(told.length).toBeLessThan(1_000);
  });

  test('is not there, or cannot be run, is found by the check', async () => {
    const missing = execSink({ ...program(''), program: '/no/such/program' });
    for (const told of [await missing.check(), await message(missing.deliver(contents({})))])
      expect(told).toMatch(/ENOENT.*Check command/);
    const config = program('');
    chmodSync(config.program, 0o644);
    expect(await execSink(config).check()).toContain('EACCES');
    chmodSync(config.program, 0o755);
    expect(await execSink(config).check()).toBeNull();
    chmodSync(dir, 0o777);
    expect(await execSink(config).check()).toContain('others than its owner can replace it');
  });
});

describe('a private key that it prints is in no message:', () => {
  const pairs = new Map<string, KeyObject>([
    ['EC', generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey],
    ['RSA', generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey],
    ['Ed25519', generateKeyPairSync('ed25519').privateKey],
  ]);
  const keyOf = (privateKey: KeyObject): SinkKey => ({
    kid: 'kid',
    alg: 'ES256',
    jwk: { kty: 'EC' },
    privateKey: { keyObject: () => privateKey },
  });
  const pemOf = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'pem' }).toString();

  const middleOf = (lines: readonly string[]) => lines[lines.length >> 1] ?? '';

  const forms: [string, (key: KeyObject) => string | Buffer][] = [
    ['a PEM', pemOf],
    ['a PEM on one line', (key) => JSON.stringify(pemOf(key))],
    ['a line of a PEM', (key) => middleOf(pemOf(key).trim().split('\n').slice(1, -1))],
    ['a JWK', (key) => JSON.stringify(key.export({ format: 'jwk' }), null, 2)],
    ['DER', (key) => key.export({ type: 'pkcs8', format: 'der' })],
    ['DER in hex', (key) => key.export({ type: 'pkcs8', format: 'der' }).toString('hex')],
    [
      'a number as OpenSSL prints it',
      (key) =>
        Buffer.from(key.export({ format: 'jwk' }).d ?? '', 'base64url')
          .toString('hex')
          .replaceAll(/(..)(?=.)/g, '$1:'),
    ],
    [
      'bytes as JavaScript prints them',
      (key) => `[ ${[...Buffer.from(key.export({ format: 'jwk' }).d ?? '', 'base64url')].join(', ')} ]`,
    ],
  ];

  test.each([...pairs].flatMap(([kind, key]) => forms.map(([form, print]) => [kind, form, key, print] as const)))(
    '%s, %s',
    (_, __, key, print) => {
      const printed = Buffer.concat([
        Buffer.from('error: '),
        Buffer.from(print(key) as string),
        Buffer.from('\ngiving up\n'),
      ]); // bytes too
      expect(printable(printed, contents({ previous: keyOf(key) }))).toBeNull();
    },
  );

  test('what is public may be printed', () => {
    for (const key of pairs.values()) {
      const { n = '', x = '' } = key.export({ format: 'jwk' });
      const text = `cannot write public ${n}${x} kid 7ae1; -----BEGIN PRIVATE KEY-----`;
      expect(printable(Buffer.from(text), contents({ current: keyOf(key) }))).toContain('cannot write public');
    }
  });

  test('by a program that echoes its input', async () => {
    const key = await sinkKey();
    const told = await message(execSink(program('cat; exit 1')).deliver(contents({ current: key })));
    expect(told).toContain('printed a part of a private key');
    expect(findNeedles(needlesOf(key.kid, key.privateKey.keyObject()), Buffer.from(told))).toEqual([]);
  });
});
