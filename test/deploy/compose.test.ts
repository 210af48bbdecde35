import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv } from 'ajv';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';

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
  healthcheck: z.looseObject({ test: z.array(z.string()) }).optional(),
  stop_grace_period: z.string(),
  environment: z.record(z.string(), z.string()).default({}),
  secrets: z.array(z.string()).default([]),
  volumes: z.array(z.string()).default([]),
  tmpfs: z.array(z.string()).default([]),
  networks: z.array(z.string()).default([]),
  ports: z.undefined().optional(),
  profiles: z.array(z.string()).default([]),
  depends_on: z.record(z.string(), z.object({ condition: z.string() })).default({}),
  deploy: z.object({ replicas: z.number() }).optional(),
});

const { services, secrets, networks } = z
  .looseObject({
    services: z.record(z.string(), Service),
    secrets: z.record(z.string(), z.object({ file: z.string() })),
    networks: z.record(z.string(), z.object({ internal: z.boolean() }).nullable()),
  })
  .parse(readCompose());

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

test('two workers wait for Valkey and share what they hand to signers', () => {
  const { deploy, depends_on, environment, volumes } = service('rekeyd');
  expect(deploy).toEqual({ replicas: 2 });
  expect(depends_on).toEqual({ valkey: { condition: 'service_healthy' } });
  expect(environment).toEqual({ REDIS_URL: 'redis://valkey:6379' });
  expect(volumes).toEqual(['data:/data']);
});

test('secrets are files that git does not take', () => {
  expect(service('rekeyd').secrets).toEqual(Object.keys(secrets));
  for (const { file } of Object.values(secrets)) expect(file).toMatch(/^\.\/secrets\//);
  expect(readFileSync(join(repository, '.gitignore'), 'utf8').split('\n')).toContain('secrets/');
});

test('the demo keeps nothing and starts only when it is asked for', () => {
  const demo = Object.entries(services).filter(([, { profiles }]) => profiles.includes('demo'));
  expect(demo.map(([name]) => name)).toEqual(['demo-valkey', 'wacht', 'demo']);
  for (const [, { volumes, secrets: used }] of demo) expect([...volumes, ...used]).toEqual([]);
});
