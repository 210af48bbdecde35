import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { execForm, lastOf, parseDockerfile, type Stage } from './dockerfile.ts';
import { cleanEnvironment, Rehearsal, type Rehearsed } from './rehearsal.ts';

const repository = join(import.meta.dirname, '../..');
const stages = parseDockerfile(readFileSync(join(repository, 'Dockerfile'), 'utf8'));
const image = stageOf((stage) => stage === stages.at(-1));
const demo = stageOf((stage) => stage.name === 'demo');

function stageOf(matches: (stage: Stage) => boolean): Stage {
  const stage = stages.find(matches);
  if (stage === undefined) throw new Error('the Dockerfile lacks a stage');
  return stage;
}

function setting(stage: Stage, name: string): string | undefined {
  return lastOf(stages, stage, name)?.rest;
}

describe('the image', () => {
  let folder: string;
  let built: Rehearsed;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'rekeyd-image-'));
    built = new Rehearsal(stages, repository, folder).build(image);
  }, 300_000);

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** Runs the image's entry point with these arguments instead of its command. */
  function start(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const [program = '', ...entry] = execForm(setting(image, 'ENTRYPOINT') ?? '');
    return spawnSync(program, [...entry, ...args], {
      cwd: built.cwd,
      encoding: 'utf8',
      env: { ...cleanEnvironment(), ...built.env, ...env },
    });
  }

  test('is made by commands that this rehearsal ran, but for its folders', () => {
    expect(built.skipped).toEqual(['mkdir -m 0700 /data /keys /audit && chown node:node /data /keys /audit']);
    expect(image.base).toBe('node:24-slim');
    const { devDependencies } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'));
    expect(devDependencies.node, 'what the tests run on').toMatch(/^24\./);
  });

  test('holds the built program and production packages, nothing else', () => {
    expect(readdirSync(built.cwd).sort()).toEqual(['dist', 'node_modules', 'package.json']);
    expect(readdirSync(join(built.cwd, 'dist')).sort()).toEqual(['jobs', 'package.json', 'src']);
    const packages = readdirSync(join(built.cwd, 'node_modules'));
    expect(packages).toEqual(expect.arrayContaining(['bullmq', 'fastify', 'jose']));
    for (const name of ['node', 'typescript', 'vitest', 'knip']) expect(packages).not.toContain(name);
  });

  test('runs Node as the first line of cli.js and `npm start` do', () => {
    const [firstLine = ''] = readFileSync(join(repository, 'src/cli.ts'), 'utf8').split('\n');
    const [malloc = '', ...node] = firstLine.replace('#!/usr/bin/env -S ', '').split(' ');
    expect(execForm(setting(image, 'ENTRYPOINT') ?? '')).toEqual([...node, 'dist/src/cli.js']);
    expect(Object.entries(built.env).map(([name, value]) => `${name}=${value}`)).toContain(malloc);
    const { scripts } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'));
    expect(scripts.start).toBe([malloc, ...node, 'src/cli.ts', 'start'].join(' '));
  });

  test('starts with its production packages alone', () => {
    const { status, stdout, stderr } = start(['--help']);
    expect(stderr).toBe('');
    expect(stdout).toMatch(/Usage: rekeyd/);
    expect(status).toBe(0);
  });

  /** By its name alone, as `docker compose exec` finds it. */
  function onPath(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const { PATH = '', ...clean } = cleanEnvironment();
    const path = `${join(built.root, 'usr/local/bin')}:${PATH}`;
    return spawn('rekeyd', args, { cwd: '/', env: { ...clean, ...built.env, ...env, PATH: path } });
  }

  async function ended(child: ReturnType<typeof onPath>) {
    const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
    return { code, stdout, stderr };
  }

  test('has rekeyd on its PATH', async () => {
    const { code, stdout, stderr } = await ended(onPath(['--help']));
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/Usage: rekeyd/);
  });

  test('is well while the worker answers at the port that the config names, whatever else is wrong with the config', async () => {
    const health = setting(image, 'HEALTHCHECK') ?? '';
    const [program, ...args] = execForm(health.slice(health.indexOf('[')));
    expect(program).toBe('rekeyd');
    let status = 200;
    const server = createServer((request, response) => {
      response.writeHead(request.url === '/livez' ? status : 404).end();
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const file = join(folder, 'listening.yaml');
    // A TCP server's address is an object.
    const { port } = server.address() as AddressInfo;
    writeFileSync(file, `http: { listen: "0.0.0.0:${port}" }\nhttps: unknown\n`);
    const check = () => ended(onPath(args, { REKEYD_CONFIG: file }));
    expect(await check()).toMatchObject({ code: 0, stderr: '' });
    status = 503;
    expect(await check()).toMatchObject({ code: 1, stderr: expect.stringContaining('it answers 503') });
    server.close();
    await once(server, 'close');
    expect(await check()).toMatchObject({ code: 1, stderr: expect.stringContaining('ECONNREFUSED') });
    writeFileSync(file, 'http: { listen: nowhere }\n');
    expect(await check()).toMatchObject({ code: 2, stderr: expect.stringContaining('http.listen is no address') });
  });

  test.each([[execForm(setting(image, 'CMD') ?? '')], [['config', 'check']]])(
    'says which config file is missing on %j',
    (args) => {
      const { status, stdout, stderr } = start(args);
      // What a check finds is its result, and goes to stdout.
      expect(stdout + stderr).toContain('/etc/rekeyd/rekeyd.yaml');
      expect(stdout + stderr).toContain('REKEYD_CONFIG');
      expect(status).toBe(2);
    },
  );

  test('accepts the config of the workers in docker-compose.yml, and says what is missing without secrets', () => {
    const compose = parse(readFileSync(join(repository, 'docker-compose.yml'), 'utf8'), { merge: true });
    const { environment } = compose.services['rekeyd-1'];
    const config = join(repository, 'compose/rekeyd.yaml');
    const missing = start(['--config', config, 'config', 'check'], environment);
    expect(missing.status).toBe(2);
    expect(missing.stdout).toMatch(/rekeyd_kek does not exist.*wacht_api_key does not exist/s);
    const secrets = join(folder, 'secrets');
    mkdirSync(secrets);
    writeFileSync(join(secrets, 'rekeyd_kek'), Buffer.alloc(32, 1).toString('base64url'));
    writeFileSync(join(secrets, 'wacht_api_key'), 'a-key');
    const file = join(folder, 'workers.yaml');
    writeFileSync(file, readFileSync(config, 'utf8').replaceAll('/run/secrets', secrets));
    const checked = start(['--config', file, 'config', 'check'], environment);
    expect(checked, checked.stdout).toMatchObject({ status: 0 });
  });

  test('accepts the config of the demo in docker-compose.yml', () => {
    const compose = parse(readFileSync(join(repository, 'docker-compose.yml'), 'utf8'), { merge: true });
    const file = join(folder, 'demo.yaml');
    writeFileSync(file, compose.configs.demo.content);
    expect(start(['--config', file, 'config', 'check'], compose.services.demo.environment)).toMatchObject({
      status: 0,
    });
  });
});

describe('the image’s settings', () => {
  test.each([
    ['rekeyd', image],
    ['the local Wacht', demo],
  ])('let %s run as an ordinary user and stop on SIGTERM', (_, stage) => {
    expect(setting(stage, 'USER')).toBe('node');
    expect(setting(stage, 'STOPSIGNAL')).toBe('SIGTERM');
  });

  test('keep what is written in one volume', () => {
    expect(setting(image, 'VOLUME')).toBe('/data');
  });

  test('tell whether the local Wacht is well', async () => {
    const health = setting(demo, 'HEALTHCHECK') ?? '';
    const [program = '', ...args] = execForm(health.slice(health.indexOf('[')));
    let status = 200;
    const server = createServer((request, response) => {
      response.writeHead(request.url === '/_emulator/faults' ? status : 404).end();
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    // A TCP server's address is an object.
    const own = String((server.address() as AddressInfo).port);
    expect(args.join(' ')).toContain('127.0.0.1:8787/_emulator/faults');
    const check = async () => {
      const ours = args.map((argument) => argument.replace('8787', own));
      const [code] = await once(spawn(program, ours, { stdio: 'ignore' }), 'exit');
      return code;
    };
    expect(await check()).toBe(0);
    status = 503;
    expect(await check()).toBe(1);
    server.close();
    await once(server, 'close');
    expect(await check()).toBe(1);
  });
});

test('.dockerignore lets through what is copied and nothing else', () => {
  const copied = stages.flatMap(({ instructions }) =>
    instructions
      .filter(({ name, flags }) => name === 'COPY' && flags.from === undefined)
      .flatMap(({ rest }) => rest.split(/\s+/).slice(0, -1)),
  );
  const rules = readFileSync(join(repository, '.dockerignore'), 'utf8')
    .split('\n')
    .filter((line) => /^[^#]/.test(line));
  expect(rules[0]).toBe('*');
  expect(new Set(rules.slice(1))).toEqual(new Set(copied.map((path) => `!${path}`)));
});

describe('a Dockerfile that is read', () => {
  test('gives stages, flags, continued lines and inherited settings', () => {
    const read = parseDockerfile(
      'FROM a AS one\nUSER x\n# note\nRUN b && \\\n  c\nFROM one\nCOPY --from=one --chmod=1 d e/\n',
    );
    expect(read.map(({ name, base }) => [name, base])).toEqual([
      ['one', 'a'],
      [null, 'one'],
    ]);
    expect(read[0]?.instructions[1]?.rest).toMatch(/^b && +c$/);
    const [, last] = read;
    expect(last?.instructions).toEqual([{ name: 'COPY', flags: { from: 'one', chmod: '1' }, rest: 'd e/' }]);
    expect(last && lastOf(read, last, 'USER')?.rest).toBe('x');
  });

  test.each(['USER x', 'FROM a\n???'])('refuses %j', (text) => {
    expect(() => parseDockerfile(text)).toThrow();
  });
});
