/** The demo's config: a real one, with delays of seconds instead of minutes. */
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { API_KEY, APPS, DEPLOYMENT, type RegisteredClient } from './fleet.ts';

const COMMON = { schedule: '0 3 * * *', rotate_every: '30d', propagation: '500ms', overlap: '2s', attempts: 5 };
const RSA = { alg: 'RS256', modulus_length: 2048 };

const POLICIES = {
  default: COMMON,
  'overlap-es256': { ...COMMON, strategy: 'overlap', alg: 'ES256' },
  'overlap-rs256': { ...COMMON, ...RSA, strategy: 'overlap' },
  'overlap-eddsa': { ...COMMON, strategy: 'overlap', alg: 'EdDSA' },
  'cutover-es256': { ...COMMON, strategy: 'cutover', alg: 'ES256' },
  'cutover-rs256': { ...COMMON, ...RSA, strategy: 'cutover' },
  'cutover-pem': { ...COMMON, strategy: 'cutover', alg: 'ES256', format: 'pem' },
  'cutover-rs256-pem': { ...COMMON, ...RSA, strategy: 'cutover', format: 'pem' },
};

export interface DemoConfig {
  /** Of the local Wacht. */
  readonly origin: string;
  readonly clients: readonly Pick<RegisteredClient, 'app' | 'id' | 'policy'>[];
  /** Laid over the config, and over its policies. */
  readonly more?: Readonly<Record<string, unknown>>;
  readonly policies?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

/** Writes config and secrets into `dir`. Returns the config's path. */
export async function writeConfig(dir: string, demo: DemoConfig): Promise<string> {
  await mkdir(dir, { recursive: true });
  await writeSecret(join(dir, 'kek'), randomBytes(32).toString('base64url'));
  await writeSecret(join(dir, 'api-key'), API_KEY);
  const file = join(dir, 'rekeyd.yaml');
  await writeFile(file, configText(demo));
  return file;
}

export function configText({ origin, clients, more = {}, policies = {} }: DemoConfig): string {
  const laidOver = Object.entries(policies).map(([name, members]) => [
    name,
    { ...COMMON, ...policyOf(name), ...members },
  ]);
  return stringify({
    data_dir: '.',
    encryption: { keks: [{ id: 'demo', key: 'file:kek' }] },
    deployments: [
      {
        id: DEPLOYMENT,
        api_url: origin,
        api_key: 'file:api-key',
        rate_limit: { max: 50, per: '1s' },
        timeout: '1s',
        backoff: { base: '200ms', max: '2s' },
        apps: Object.entries(APPS).map(([slug, { fqdn }]) => ({
          slug,
          issuer: `https://${fqdn}`,
          resolve: { [fqdn]: origin },
          clients: clients.filter(({ app }) => app === slug).map(({ id, policy }) => ({ id, policy })),
        })),
      },
    ],
    policies: { ...POLICIES, ...Object.fromEntries(laidOver) },
    sinks: [{ kind: 'directory', path: './keys' }],
    ...more,
  });
}

function policyOf(name: string): Readonly<Record<string, unknown>> {
  return Object.entries(POLICIES).find(([known]) => known === name)?.[1] ?? {};
}

async function writeSecret(file: string, text: string): Promise<void> {
  await writeFile(file, `${text}\n`, { mode: 0o600 });
  await chmod(file, 0o600);
}
