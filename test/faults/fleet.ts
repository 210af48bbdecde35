/** Clients of every kind that a policy can make of them, with keys that rekeyd was given. */
import type { JsonWebKey } from 'node:crypto';
import { join } from 'node:path';
import { makeReference } from '../../src/core/client.ts';
import type { Algorithm } from '../../src/core/record.ts';
import { importKey } from '../../src/rotation/import.ts';
import { keksOf } from '../../src/rotation/policy.ts';
import type { Resources } from '../../src/rotation/resources.ts';
import type { Emulator } from '../emulator/server.ts';
import { makeKey, withPem } from '../emulator/testing.ts';
import { API_KEY, DEPLOYMENT, KEK, KEYS_HOST } from './names.ts';

export { API_KEY, DEPLOYMENT, KEYS_HOST };

export interface AppSetting {
  readonly slug: string;
  readonly selection: 'first_pem' | 'jwks_kid';
  readonly policy: Readonly<Record<string, unknown>>;
  /** How its rotations end when nobody gives up. */
  readonly ends: 'finished' | 'failed' | 'rolled_back';
  /** How many tries a login may take; `none`: nobody signs in. */
  readonly logins: 'one' | 'two' | 'none';
  /** Each app has a client for each: the alg of the key it begins with, and whether somebody else's key stands beside it. */
  readonly clients: readonly { readonly alg: Algorithm; readonly foreign?: boolean }[];
}

/** What is rotated, and how. */
export interface FleetSetting {
  readonly apps: readonly AppSetting[];
  /** Laid over each policy, but for what an app says itself. */
  readonly policy?: Readonly<Record<string, unknown>>;
  /** Laid over the config, and over its deployment. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly deployment?: Readonly<Record<string, unknown>>;
}

const ES256 = { alg: 'ES256' } as const;

/** Of every kind that there is. */
export const APPS: readonly AppSetting[] = [
  {
    slug: 'overlap',
    selection: 'jwks_kid',
    policy: { strategy: 'overlap' },
    ends: 'finished',
    logins: 'one',
    clients: [ES256, ES256, { ...ES256, foreign: true }],
  },
  {
    slug: 'cutover',
    selection: 'first_pem',
    policy: {},
    ends: 'finished',
    logins: 'two',
    clients: [ES256, { alg: 'RS256' }, { ...ES256, foreign: true }],
  },
  {
    slug: 'pem',
    selection: 'first_pem',
    policy: { format: 'pem' },
    ends: 'finished',
    logins: 'two',
    clients: [ES256],
  },
  {
    slug: 'unproven',
    selection: 'jwks_kid',
    policy: { strategy: 'overlap', prove: 'read_back' },
    ends: 'finished',
    logins: 'one',
    clients: [ES256],
  },
  {
    slug: 'served',
    selection: 'jwks_kid',
    policy: { strategy: 'overlap', format: 'jwks_uri' },
    ends: 'finished',
    // Its first rotation moves it from a set on the server to one that is served elsewhere.
    logins: 'one',
    clients: [ES256],
  },
  {
    slug: 'lonely',
    selection: 'jwks_kid',
    policy: { strategy: 'overlap', foreign_keys: 'retire' },
    ends: 'finished',
    logins: 'one',
    clients: [{ ...ES256, foreign: true }],
  },
  // A server that does not verify ES512 takes the key and refuses every login until the old one is back.
  {
    slug: 'refused',
    selection: 'first_pem',
    policy: { alg: 'ES512' },
    ends: 'rolled_back',
    logins: 'none',
    clients: [ES256],
  },
  // An overlap cannot change the alg.
  {
    slug: 'impossible',
    selection: 'jwks_kid',
    policy: { strategy: 'overlap', alg: 'EdDSA' },
    ends: 'failed',
    logins: 'one',
    clients: [ES256],
  },
];

export interface FaultClient {
  readonly ref: string;
  /** Row id. */
  readonly id: string;
  readonly clientId: string;
  readonly app: AppSetting;
  /** The public key it began with, and the kid that it was published under. */
  readonly initial: { readonly kid: string; readonly jwk: JsonWebKey };
  /** Somebody else's, as the server showed them. */
  readonly foreign: readonly { readonly [member: string]: unknown }[];
  /** Keys that people added in the course of the run: they may stand there, and are not ours. */
  readonly visitors: { readonly [member: string]: unknown }[];
  /** Where its signers find their keys. */
  readonly folder: string;
  readonly host: string;
}

/** Waits that a scenario can sit out. */
const QUICK = { propagation: '100ms', overlap: '400ms' };

const hostOf = (slug: string) => `${slug}.example.com`;

/** @param redis the section of that name */
export function configFile(dir: string, redis: object, apiUrl: string, setting: FleetSetting): object {
  const { apps } = setting;
  return {
    data_dir: join(dir, 'data'),
    redis,
    encryption: { keks: [{ id: 'kek-1', key: 'env:KEK' }] },
    reconcile_every: '1s',
    publish: { path: join(dir, 'public'), base_url: `https://${KEYS_HOST}` },
    ...setting.config,
    deployments: [
      {
        id: DEPLOYMENT,
        api_url: apiUrl,
        api_key: 'env:API_KEY',
        rate_limit: { max: 1000, per: '1s' },
        backoff: { base: '40ms', max: '400ms' },
        timeout: '1s',
        concurrency: 8,
        ...setting.deployment,
        apps: apps.map(({ slug }) => ({
          slug,
          issuer: `https://${hostOf(slug)}`,
          resolve: { [hostOf(slug)]: apiUrl },
          policy: slug,
        })),
      },
    ],
    policies: Object.fromEntries(
      apps.map(({ slug, policy }) => [
        slug,
        // Nobody gives up while the world is being broken: what is looked for is what was lost, not what was abandoned.
        { schedule: '0 0 1 1 *', ...QUICK, attempts: 1000, ...setting.policy, ...policy },
      ]),
    ),
  };
}

export const ENVIRONMENT = { KEK: KEK.toString('base64url'), API_KEY };

/** Makes the apps and their clients, and gives their keys to rekeyd. */
export async function buildFleet(
  dir: string,
  emulator: Emulator,
  parts: Resources,
  apps: readonly AppSetting[],
): Promise<readonly FaultClient[]> {
  const clients: FaultClient[] = [];
  for (const app of apps) {
    emulator.addApp({ deployment: DEPLOYMENT, slug: app.slug, selection: app.selection });
    for (const { alg, foreign = false } of app.clients) {
      const key = makeKey(alg);
      const keys = [withPem(key), ...(foreign ? [withPem(makeKey(alg))] : [])];
      const made = emulator.addClient({ deployment: DEPLOYMENT, app: app.slug, alg, jwks: { keys } });
      const ref = makeReference(DEPLOYMENT, app.slug, made.id);
      const pem = key.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
      const cause = { actor: 'faults', reason: 'import', request: null };
      await importKey(parts, keksOf(parts.config), ref, pem, cause, alg);
      clients.push({
        ref,
        id: made.id,
        clientId: made.client_id,
        app,
        initial: { kid: key.kid, jwk: key.jwk as JsonWebKey }, // jose's type of the same object
        foreign: (made.jwks?.keys ?? []).slice(1),
        visitors: [],
        folder: join(dir, 'data', 'keys', DEPLOYMENT, app.slug, made.id),
        host: hostOf(app.slug),
      });
    }
  }
  return clients;
}
