/** Wrong usage, wrong configs, and what answers without any store. */
import { execFile, execFileSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Command, Option } from 'commander';
import { afterAll, beforeAll, expect, test } from 'vitest';
import packageFile from '../../package.json' with { type: 'json' };
import { commandLine } from '../../src/commands/line.ts';
import { COMPILED } from '../support/compiled.ts';
import { CLI, documentOf, openWorld, type World } from './fixture.ts';

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.close());

test('the help names every command, the exit codes and the environment', async () => {
  const [help, version] = await Promise.all([world.run(['--help']), world.run(['--version'])]);
  expect(help.code).toBe(0);
  const names = [
    ...['start', 'rotate', 'plan', 'status', 'enroll', 'rollback', 'abandon', 'approve', 'pause', 'resume', 'release'],
    ...['drift', 'identify', 'probe', 'audit', 'keys', 'store', 'token', 'webhooks', 'doctor', 'reload', 'health'],
    ...['config', 'completion', 'help'],
  ];
  const shown = /^Commands:\n(.*?)\n\n/ms.exec(help.stdout)?.[1] ?? '';
  expect([...shown.matchAll(/^ {2}([a-z]+)/gm)].map(([, name]) => name)).toEqual(names);
  for (const name of names) {
    expect(help.stdout).toMatch(new RegExp(`^  ${name}\\b.*\\S$`, 'm'));
  }
  expect(help.stdout).toMatch(/Exit codes:\n {2}0 .*\n {2}1 .*\n {2}2 .*\n {2}3 /);
  expect(help.stdout).toContain('REKEYD_CONFIG');
  expect(version).toEqual({ code: 0, stdout: `${packageFile.version}\n`, stderr: '' });
});

/** As an older Node.js would start: its version is an older one, and the packages cannot be imported. */
const OLDER_NODE = `import { registerHooks } from 'node:module';
Object.defineProperty(process.versions, 'node', { value: '20.20.0' });
registerHooks({ resolve: (name, context, next) => {
  if (/^(undici|commander)/.test(name)) throw new Error('it is imported');
  return next(name, context);
} });`;

test('a Node.js that is too old is told before any package is imported', async () => {
  const [, least = ''] = /^>=(\d+\.\d+)/.exec(packageFile.engines.node) ?? [];
  const imported = `--import=data:text/javascript,${encodeURIComponent(OLDER_NODE)}`;
  const ended = await world.run(['status'], { NODE_OPTIONS: imported });
  const stderr = `rekeyd needs Node.js ${least} or newer; this is 20.20.\n`;
  expect(ended).toEqual({ code: 2, stdout: '', stderr });
});

test.each<[string, string[], RegExp]>([
  ['an unknown command', ['rotat'], /unknown command 'rotat'\n\(Did you mean rotate\?\)/],
  ['the help of an unknown command', ['rotat', '--help'], /unknown command 'rotat' Did you mean "rotate"\?/],
  ['the same in other words', ['help', 'rotat'], /unknown command 'rotat'/],
  ['the help of an unknown one below another', ['audit', 'tial', '-h'], /unknown command 'tial' Did you mean "tail"\?/],
  ['an unknown option', ['status', '--jsn'], /unknown option '--jsn'\n\(Did you mean --json\?\)/],
  ['a number that is none', ['audit', 'tail', '-n', 'many'], /Give a whole number/],
  [
    'a private key for the audit trail',
    ['rotate', '--all', '--reason', '-----BEGIN PRIVATE KEY-----MIGHAgEA'],
    /^(?!.*MIGH).*--reason holds a private key/s,
  ],
  ['a document without end', ['status', '--json', '--watch'], /take one of them/],
  ['a number that is none', ['audit', 'tail', '--after', '-1'], /Give the number of an audit entry/],
  ['no client', ['rotate'], /Say which clients to rotate/],
  ['an app to probe that the config does not have', ['probe', '1/nope'], /has no app "1\/nope"/],
  ['an alg to try on clients that nobody names', ['rotate', '--all', '--try-alg'], /name them/],
  ['an unknown app', ['plan', '--app', '185019846023/nope'], /has no app .* It has: 185019846023\/pem-app/],
  ['another end to wait for', ['rotate', '--all', '--wait', 'soon'], /--wait goes alone or with "finished"/],
  ['a reference that is none', ['status', '4711'], /not a client reference/],
  ['an unknown alg', ['keys', 'import', '1/a/2', '--file', 'x', '--alg', 'HS256'], /no algorithm/],
  ['nothing to import', ['keys', 'import'], /CLIENT --file FILE, --dir DIR or --map FILE/],
  ['a file of nobody', ['keys', 'import', '--file', 'x'], /CLIENT --file FILE, --dir DIR or --map FILE/],
  ['a client and a folder', ['keys', 'import', '1/a/2', '--dir', '.'], /CLIENT --file FILE, --dir DIR or --map FILE/],
  ['a dry run of one file', ['keys', 'import', '1/a/2', '--file', 'x', '--dry-run'], /goes with --dir or --map/],
  ['a key folder that is not there', ['keys', 'import', '--dir', 'nowhere'], /The folder .*nowhere cannot be read/],
  ['a map that is not there', ['keys', 'import', '--map', 'nowhere.csv'], /The map nowhere\.csv cannot be read/],
  [
    'a folder to verify that is not there',
    ['audit', 'verify', 'nowhere'],
    /'nowhere'\. Nothing was verified: name folders/,
  ],
  [
    'a key to verify by that is not there',
    ['audit', 'verify', '.', '--public-key', 'no.pem'],
    /'no\.pem'\. Nothing was/,
  ],
  [
    'a token whose name comes after its scope',
    ['token', 'create', '--scope', 'read', 'siem'],
    /argument 'siem' is invalid\. The scopes are .*: write the name of the token before it/,
  ],
  ['nobody to enroll', ['enroll'], /missing required argument 'client'/],
  ['nothing to abandon', ['abandon'], /missing required argument 'client'/],
  ['a client to enroll that is none', ['enroll', '4711'], /not a client reference/],
  ['an unknown store command', ['store', 'delete'], /unknown command 'delete'/],
  ['a key file that is not there', ['keys', 'import', '1/a/2', '--file', 'nowhere.pem'], /cannot be read/],
  ['an unknown log level', ['start'], /REKEYD_LOG_LEVEL is "loud"/],
  ['a config file that is not there', ['status', '--config', 'nowhere.yaml'], /nowhere\.yaml does not exist/],
])('%s is wrong usage', async (_, args, message) => {
  const ended = await world.run(args, { REKEYD_LOG_LEVEL: 'loud' });
  expect(ended.code, ended.stderr).toBe(2);
  expect(ended.stderr).toMatch(message);
});

test('no option but --scope takes the words after it, and --public-key may come before the folders', async () => {
  const line = commandLine(
    () => Object(null),
    () => {},
  );
  expect(optionsOf(line).filter(({ variadic }) => variadic)).toMatchObject([{ long: '--scope' }]);
  const ended = await world.run(['audit', 'verify', '--public-key', 'no.pem', '.']);
  expect(ended).toMatchObject({ code: 2, stderr: expect.stringMatching(/'no\.pem'\. Nothing was verified/) });
});

function optionsOf(command: Command): readonly Option[] {
  return [...command.options, ...command.commands.flatMap(optionsOf)];
}

test('a config that comes by a pipe is read; where a file is a pipe that no program writes to, no command waits for ever', async () => {
  const pipe = join(world.dir, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const withPipe = { encryption: { keks: [{ id: 'kek-1', key: `file:${pipe}` }] } };
  const config = await world.writeConfig({ ...world.config, ...withPipe }, 'pipe.yaml');
  const piped = 'cat rekeyd.yaml | "$0" "$1" config check --config /dev/stdin';
  const [sent, ...ended] = await Promise.all([
    promisify(execFile)('sh', ['-c', piped, process.execPath, CLI], {
      cwd: world.dir,
      env: { ...process.env, ...COMPILED, ...world.secrets },
    }),
    world.run(['status', '--config', pipe]),
    world.run(['status', '--config', config]),
    world.run(['keys', 'import', '185019846023/pem-app/4711', '--file', pipe]),
    world.run(['keys', 'import', '--map', pipe]),
    world.run(['identify', pipe]),
  ]);
  expect(sent.stdout).toContain('can be used');
  for (const { code, stderr } of ended) {
    expect(stderr).toContain('it is a pipe, and no program has written to it');
    expect(code).toBe(2);
  }
});

test('with --json an error is a document too', async () => {
  const [usage, config] = await Promise.all([
    world.run(['rotate', '--all', '--jso', '--json']),
    world.run(['plan', '--json', '--config', 'nowhere.yaml']),
  ]);
  expect([usage.code, documentOf(usage).error.code]).toEqual([2, 'usage']);
  expect([config.code, documentOf(config).error.code]).toEqual([2, 'config']);
});

test('config check reports every problem with its place, and warnings beside a config that can be used', async () => {
  const bad = await world.writeConfig({ ...world.config, durability: 'maybe', http: { listn: '' } }, 'bad.yaml');
  const odd = await world.writeConfig(
    { ...world.config, policies: { ...Object(world.config.policies), idle: {} } },
    'odd.yaml',
  );
  const [broken, doubtful, listed] = await Promise.all([
    world.run(['config', 'check', '--config', bad]),
    world.run(['config', 'check', '--config', odd]),
    world.run(['config', 'check', '--json', '--config', bad]),
  ]);
  expect(broken.code).toBe(2);
  expect(broken.stdout).toMatch(/^error {4}durability \(line 1\): /m);
  expect(broken.stdout).toMatch(/^error {4}http\.listn .* Did you mean "listen"\?$/m);
  expect(doubtful).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^warning {2}policies\.idle .*\n(?:warning .*\n)*.*can be used/),
  });
  expect(
    documentOf(listed)
      .problems.map(({ path }: { path: string }) => path)
      .sort(),
  ).toEqual(['durability', 'http.listn']);
});

test('output that cannot be written ends with 1 and says so; a reader that stops early is no failure', async () => {
  const into = (command: string) =>
    promisify(execFile)('sh', ['-c', `"$0" "$1" ${command}`, process.execPath, CLI], {
      env: { ...process.env, ...COMPILED },
    });
  const message = expect.stringContaining('The output could not be written: ENOSPC');
  await expect(into('config schema > /dev/full')).rejects.toMatchObject({ code: 1, stderr: message });
  expect(await into('config schema | head -n 1')).toEqual({ stdout: '{\n', stderr: '' });
});

test('the schemas are printed, and the published one of the on-demand job is up to date', async () => {
  const [config, request] = await Promise.all([
    world.run(['config', 'schema']),
    world.run(['config', 'schema', '--request']),
  ]);
  expect(documentOf(config).properties).toHaveProperty('deployments');
  const published = join(import.meta.dirname, '../../docs/request.schema.json');
  expect(JSON.parse(await readFile(published, 'utf8'))).toEqual(documentOf(request));
});

test('Redis or an API that cannot be reached end with 3', async () => {
  const gone = 'http://127.0.0.1:1';
  const [deployment] = Object(world.config.deployments);
  const noRedis = await world.writeConfig({ ...world.config, redis: { url: 'redis://127.0.0.1:1' } }, 'no-redis.yaml');
  const noApi = await world.writeConfig(
    { ...world.config, deployments: [{ ...deployment, api_url: gone }] },
    'no-api.yaml',
  );
  const client = '185019846023/pem-app/4711';
  const commands = [
    ['status'],
    ['rotate', client],
    ['enroll', client],
    ['abandon', client],
    ['rollback', client],
    ['pause', '--all', '--reason', 'x'],
    ['release', client],
    ['probe', '185019846023/pem-app'],
    ['store', 'status'],
    ['store', 'declare-loss'],
  ];
  const [plan, ...others] = await Promise.all([
    world.run(['plan', '--config', noApi]),
    ...commands.map((command) => world.run([...command, '--json', '--config', noRedis])),
  ]);
  for (const [index, ended] of others.entries()) {
    expect([ended.code, documentOf(ended).error.code], `${commands[index]}`).toEqual([3, 'redis_unreachable']);
  }
  expect(plan).toMatchObject({ code: 3, stdout: '' });
  expect(plan.stderr).toMatch(/ECONNREFUSED/);
});
