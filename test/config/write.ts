/** Config texts for tests: a minimal one, with the part that a test is about on top. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import { ConfigError } from '../../src/config/problems.ts';

export const KEK = Buffer.alloc(32, 0xa7).toString('base64url');
export const API_KEY = 'wk_live_not_a_real_one';
export const env = {
  KEK,
  API_KEY,
  SHORT: 'c2hvcnQ',
  EMPTY: '',
  BLANKS: 'two words',
  REDIS: 'redis://user:hidden@redis:6379/1',
  WEB: 'http://x',
};

/** Where the config files of a test file live, with a few files that secrets refer to. See {@link useFolder}. */
export let folder = '';

/** Makes {@link folder} for the tests of one file, and removes it after them. */
export function useFolder(): void {
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'rekeyd-config-'));
    await writeFile(join(folder, 'kek'), `${KEK}\r\n`);
    await writeFile(join(folder, 'empty'), '\n');
  });
  afterAll(() => rm(folder, { recursive: true }));
}

type Input = Record<string, unknown>;

/** A minimal config with other top-level settings on top. JSON is YAML. */
export function write(top: Input = {}): string {
  return JSON.stringify({ encryption: { keks: [{ id: 'k1', key: 'env:KEK' }] }, deployments: [deployment()], ...top });
}

export function deployment(over: Input = {}): Input {
  return { id: '1', api_key: 'env:API_KEY', apps: [app()], ...over };
}

export function app(over: Input = {}): Input {
  return { slug: 'mcp-auth', ...over };
}

export const inDeployment = (over: Input) => write({ deployments: [deployment(over)] });
export const inApp = (over: Input) => inDeployment({ apps: [app(over)] });
export const inPolicy = (over: Input, top: Input = {}) => write({ policies: { default: over }, ...top });

type Env = Readonly<Record<string, string>>;

export const read = (text: string, variables: Env = env) =>
  parseConfig(text, { file: join(folder, 'rekeyd.yaml'), env: variables });

/** The error with which `text` is refused; throws when it is accepted. */
export async function refusal(text: string, variables: Env = env): Promise<ConfigError> {
  try {
    await read(text, variables);
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error('the config was accepted');
}
