import { copyFile, mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { configSchema, loadConfig } from '../../src/config/load.ts';
import { API_KEY, folder, inDeployment, inPolicy, read, useFolder, write } from './write.ts';

useFolder();

describe('rekeyd.example.yaml', () => {
  const example = join(import.meta.dirname, '../../rekeyd.example.yaml');
  /** The same file with its optional settings, which are commented out, in force. */
  const uncommented = (text: string) =>
    text.replaceAll(
      /^( *)# ?((redis|resolve|queue|publish):| {2,}(url|replicas|requests|producers|siem|may|only|path|base_url):)/gm,
      '$1$2',
    );

  async function place(text: string): Promise<string> {
    const home = await mkdtemp(join(folder, 'example-'));
    await mkdir(join(home, 'secrets'));
    await copyFile(join(folder, 'kek'), join(home, 'secrets/rekeyd_kek'));
    await writeFile(join(home, 'rekeyd.yaml'), text);
    return join(home, 'rekeyd.yaml');
  }

  test('is accepted without a warning, and its default policy is the default', async () => {
    const config = await loadConfig(await place(await readFile(example, 'utf8')), { WACHT_API_KEY: API_KEY });
    expect(config.warnings).toEqual([]);
    expect(config.deployments[0]?.apiKey.reveal()).toBe(API_KEY);
    const minimal = await read(write());
    expect(config.policies.default).toEqual(minimal.policies.default);
    for (const key of ['redis', 'durability', 'reconcileEveryMs', 'shutdownGraceMs', 'queue', 'publish'] as const) {
      expect(config[key]).toEqual(minimal[key]);
    }
    for (const key of ['apiUrl', 'urlStyle', 'rateLimit', 'timeoutMs', 'backoff', 'concurrency'] as const) {
      expect(config.deployments[0]?.[key]).toEqual(minimal.deployments[0]?.[key]);
    }
  });

  test('is accepted with its commented settings in force', async () => {
    const text = uncommented(await readFile(example, 'utf8'));
    const config = await loadConfig(await place(text), { WACHT_API_KEY: API_KEY, REDIS_URL: 'rediss://r:6379' });
    const { server } = config.redis;
    expect(server.kind === 'url' && server.url.reveal()).toBe('rediss://r:6379');
    expect(config.publish?.baseUrl).toBe('https://keys.example.com/jwks');
    expect(config.queue.producers).toEqual({
      siem: { may: ['rotate', 'compromise'], only: ['185019846023/mcp-auth'] },
    });
    expect(config.deployments[0]?.apps[0]?.resolve).toEqual({ 'auth.example.com': 'http://127.0.0.1:8443' });
  });

  test('shows every setting that the schema knows', async () => {
    const text = await readFile(example, 'utf8');
    const names = [...JSON.stringify(configSchema()).matchAll(/"([a-z_]+)":\{[^{}]*"description"/g)].map(
      ([, name]) => name,
    );
    expect(names.length).toBeGreaterThan(40);
    expect(names.filter((name) => name !== 'items' && !new RegExp(`\\b${name}:`).test(text))).toEqual([]);
  });

  test('agrees with the JSON Schema, and a mistake does not', async () => {
    const validate = new Ajv2020({ strict: true, strictTypes: false }).compile(configSchema());
    const input: unknown = parse(uncommented(await readFile(example, 'utf8')));
    expect(validate(input) || validate.errors).toBe(true);
    expect(validate({ ...parse(write()), redsi: {} })).toBe(false);
    expect(validate(parse(inPolicy({ rotate_every: '30 days' })))).toBe(false);
    expect(validate(parse(inDeployment({ api_key: API_KEY })))).toBe(false);
  });
});
