import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv } from 'ajv';
import { describe, expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import type { Status } from '../../src/status/views.ts';
import { openTerminal } from '../readme/terminal.ts';
import { until } from '../support/patient.ts';

const repository = join(import.meta.dirname, '../..');

function readCompose(): Record<string, unknown> {
  return parse(readFileSync(join(repository, 'docker-compose.yml'), 'utf8'), { merge: true });
}

/** The Compose specification's JSON Schema, as the linter dclint ships it. */
function composeSchema(): Record<string, unknown> {
  const folder = fileURLToPath(new URL('.', import.meta.resolve('dclint/package.json')));
  const { $schema: _, ...schema } = JSON.parse(readFileSync(join(folder, 'schemas/compose.schema.json'), 'utf8'));
  return schema;
}

/** What the tests below hold on to. */
const Service = z.looseObject({
  image: z.string(),
  build: z.unknown().optional(),
  command: z.array(z.string()).default([]),
  cap_drop: z.array(z.string()),
  cap_add: z.undefined().optional(),
  privileged: z.undefined().optional(),
  security_opt: z.array(z.string()),
  read_only: z.boolean(),
  init: z.boolean(),
  ulimits: z.object({ core: z.number() }),
  user: z.string().optional(),
  healthcheck: z.looseObject({ test: z.array(z.string()).default([]) }).optional(),
  stop_grace_period: z.string(),
  environment: z.record(z.string(), z.string()).default({}),
  entrypoint: z.array(z.string()).default([]),
  volumes: z.array(z.string()).default([]),
  tmpfs: z.array(z.string()).default([]),
  networks: z.array(z.string()).default([]),
  ports: z.undefined().optional(),
  profiles: z.array(z.string()).default([]),
  depends_on: z.record(z.string(), z.object({ condition: z.string() })).default({}),
});

const compose = z
  .looseObject({
    services: z.record(z.string(), Service),
    configs: z.object({ demo: z.object({ content: z.string() }) }),
    networks: z.record(z.string(), z.object({ internal: z.boolean() }).nullable()),
  })
  .parse(readCompose());
const { services, networks } = compose;

function service(name: string): z.infer<typeof Service> {
  const found = services[name];
  if (found === undefined) throw new Error(`no service ${name}`);
  return found;
}

describe('docker-compose.yml and the Compose specification', () => {
  // The schema's own formats (ports, durations) are Docker's and not known to JSON Schema.
  const validate = new Ajv({ strict: false, validateFormats: false }).compile(composeSchema());

  test('agree', () => {
    validate(readCompose());
    expect(validate.errors).toBeNull();
  });

  test.each<[string, object]>([
    ['an unknown setting of a service', { services: { a: { image: 'a', restrat: 'always' } } }],
    ['a value of the wrong type', { services: { a: { image: 'a', read_only: 7 } } }],
    ['an unknown condition', { services: { a: { depends_on: { b: { condition: 'healthy' } } } } }],
    ['an unknown section', { service: {} }],
  ])('disagree on %s', (_, planted) => {
    expect(validate({ ...readCompose(), ...planted })).toBe(false);
  });
});

test.each(Object.keys(services))('%s has no more rights than it needs', (name) => {
  const { cap_drop, security_opt, read_only, user, build } = service(name);
  expect(cap_drop).toEqual(['ALL']);
  expect(security_opt).toContain('no-new-privileges:true');
  expect(read_only).toBe(true);
  // Our own images name their user in the Dockerfile.
  expect(user !== undefined || build !== undefined).toBe(true);
});

test.each(Object.keys(services))('%s leaves no core dump, which would hold keys', (name) => {
  expect(service(name).ulimits.core).toBe(0);
});

test.each(Object.keys(services))('%s is watched and has time to stop', (name) => {
  const { healthcheck, build, stop_grace_period } = service(name);
  expect(healthcheck !== undefined || build !== undefined).toBe(true);
  expect(stop_grace_period).toMatch(/^\d+s$/);
});

test('Valkey keeps every write, and nobody but the workers reaches it', () => {
  const { command, volumes, networks: joined } = service('valkey');
  expect(command.join(' ')).toBe('valkey-server --appendonly yes --appendfsync always --maxmemory-policy noeviction');
  expect(volumes).toEqual(['valkey:/data']);
  expect(joined).toEqual(['store']);
  expect(networks.store).toEqual({ internal: true });
});

/** The config that the workers read, where the compose file mounts it. */
const config = parse(readFileSync(join(repository, 'compose/rekeyd.yaml'), 'utf8'));
const WORKERS = ['rekeyd-1', 'rekeyd-2'];

test.each(WORKERS)('%s waits for Valkey and for what a person has to make', (name) => {
  const { depends_on, environment } = service(name);
  expect(depends_on).toEqual({
    preflight: { condition: 'service_completed_successfully' },
    valkey: { condition: 'service_healthy' },
  });
  expect(environment).toEqual({ REDIS_URL: 'redis://valkey:6379' });
});

test('each worker has a data_dir of its own, and all share the folders of the keys and of the audit log', () => {
  const [first = [], second = []] = WORKERS.map((name) => service(name).volumes);
  const targetsOf = (volumes: readonly string[]) => volumes.map((volume) => volume.split(':')[1]);
  const { data_dir: data, sinks, audit } = config;
  expect(targetsOf(first)).toEqual(['/etc/rekeyd', '/run/secrets', data, sinks[0].path, audit.export]);
  expect(targetsOf(second)).toEqual(targetsOf(first));
  expect(first.filter((volume) => !second.includes(volume))).toEqual(['data-1:/data']);
  const named = [...first, ...second]
    .map((volume) => volume.split(':')[0])
    .filter((source) => !source?.startsWith('.'));
  expect(Object.keys(Object(compose.volumes)).toSorted()).toEqual([...new Set([...named, 'valkey'])].toSorted());
});

describe('secrets', () => {
  const HEADER = readFileSync(join(repository, 'docker-compose.yml'), 'utf8').split('\nname:')[0] ?? '';
  const README = readFileSync(join(repository, 'README.md'), 'utf8');

  test('are files in a folder that git takes nothing from, and that config, README and compose file call the same', () => {
    const names = [config.encryption.keks[0].key, config.deployments[0].api_key].map((reference: string) =>
      reference.replace('file:/run/secrets/', 'secrets/'),
    );
    expect(names).toEqual(['secrets/rekeyd_kek', 'secrets/wacht_api_key']);
    expect(README).toContain(`key: file:./${names[0]} `);
    for (const name of names) for (const text of [HEADER, README]) expect(text).toContain(`> ${name}`);
    expect(service('preflight').volumes).toEqual(['./secrets:/run/secrets:ro']);
    expect(readFileSync(join(repository, '.gitignore'), 'utf8').split('\n')).toContain('secrets/*');
  });

  /** The check before the start, with another folder in the place of the mounted one. */
  function preflight(files: Readonly<Record<string, string>>) {
    const folder = mkdtempSync(join(tmpdir(), 'rekeyd-secrets-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    const [shell = '', ...args] = service('preflight').entrypoint;
    // Compose reads $$ as $.
    const line = args.map((text) => text.replaceAll('$$', '$').replaceAll('/run/secrets', folder));
    const { status, stdout, stderr } = spawnSync(shell, line, { encoding: 'utf8' });
    expect(stderr).toBe('');
    return { status, stdout };
  }

  test('that are missing or empty are named before anything starts, with the command that makes them', () => {
    const { status, stdout } = preflight({ wacht_api_key: '' });
    expect(status).toBe(1);
    const [kek = '', key = '', ...others] = stdout.trim().split('\n');
    expect(others).toEqual([]);
    expect(kek).toMatch(/^secrets\/rekeyd_kek does not exist\. .*Put back the one/);
    expect(key).toMatch(/^secrets\/wacht_api_key is empty\./);
    // As the README has it.
    for (const line of [kek, key]) expect(README).toContain(/(?:make it|there): (.*)$/.exec(line)?.[1]);
  });

  test('that are there are passed over in silence', () => {
    expect(preflight({ wacht_api_key: 'a', rekeyd_kek: 'b' })).toEqual({ status: 0, stdout: '' });
  });
});

test('the demo keeps nothing and starts only when it is asked for', () => {
  const demo = Object.entries(services).filter(([, { profiles }]) => profiles.includes('demo'));
  expect(demo.map(([name]) => name)).toEqual(['demo-valkey', 'wacht', 'demo']);
  for (const [, { volumes }] of demo) expect(volumes).toEqual([]);
});

test('the demo rotates all clients of its local Wacht', { timeout: 60_000 }, async () => {
  const terminal = await openTerminal();
  const wacht = await terminal.leave('npm run emulator -- --port 0', 'Stop it with');
  const [, url = ''] = /listens on (\S+)/.exec(wacht.printed()) ?? [];
  // In the place of the containers: a port of this Wacht, a store of its own, and a wait that a test can sit out.
  const demo = compose.configs.demo.content
    .replaceAll('http://127.0.0.1:8787', url)
    .replace('data_dir: /data', 'data_dir: ./data')
    .replace(/^redis: .*\n/m, '')
    .replace('propagation: 5s', 'propagation: 200ms');
  writeFileSync(join(terminal.dir, 'rekeyd.yaml'), `${demo}http: { listen: "127.0.0.1:0" }\n`);
  Object.assign(terminal.env, service('demo').environment);
  await terminal.leave('rekeyd start', '"msg":"started"');
  await until('each client has a key of ours', async (saw) => {
    const { clients }: Status = JSON.parse((await terminal.type('rekeyd status --json')).stdout);
    const enrolled = saw(clients.map(({ enrolment }) => enrolment)).filter((enrolment) => enrolment === 'enrolled');
    return enrolled.length === 5;
  });
});
