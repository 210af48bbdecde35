/** Clients of every kind that a policy can make of them: most with keys that rekeyd was given, some that sign in with keys of their own. */
import { type JsonWebKey, type KeyObject, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { makeReference } from '../../src/core/client.ts';
import type { Algorithm } from '../../src/core/keys.ts';
import { importKey } from '../../src/rotation/import.ts';
import { keksOf } from '../../src/rotation/policy.ts';
import type { Resources } from '../../src/rotation/resources.ts';
import type { Emulator } from '../emulator/server.ts';
import { makeKey, withPem } from '../emulator/testing.ts';
import type { JwkMembers } from './history.ts';
import { API_KEY, DEPLOYMENT, KEK, KEYS_HOST } from './names.ts';

export { API_KEY, DEPLOYMENT, KEYS_HOST };

export interface NewClient {
  /** Of the key that it begins with. */
  readonly alg: Algorithm;
  /** A key of somebody else stands beside it. */
  readonly foreign?: boolean;
  /** Its own key is registered twice, under two names. */
  readonly twice?: boolean;
  /**
   * `enrolled` (when absent): rekeyd has its key, and its application takes its keys from its key folder. `held`: rekeyd has a copy of its key. `found`:
   * rekeyd was told nothing. The applications of the last two sign in with keys of their own.
   */
  readonly enrolment?: 'enrolled' | 'held' | 'found';
}

export interface AppSetting {
  readonly slug: string;
  readonly selection: 'first_pem' | 'jwks_kid';
  readonly policy: Readonly<Record<string, unknown>>;
  /** An alg that somebody was seen to sign in with, before the server stopped to verify it. */
  readonly believed?: Algorithm;
  /** How its rotations end when nobody gives up. */
  readonly ends: 'finished' | 'failed' | 'rolled_back';
  /** How many tries a login may take; `none`: nobody signs in. One that signs in with a key of its own takes one. */
  readonly logins: 'one' | 'two' | 'none';
  readonly clients: readonly NewClient[];
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

const ES256: NewClient = { alg: 'ES256' };
const HELD: NewClient = { alg: 'ES256', enrolment: 'held' };
const FOUND: NewClient = { alg: 'ES256', enrolment: 'found' };

/** Of every kind that there is. */
export const APPS: readonly AppSetting[] = [
  {
    slug: 'overlap',
    selection: 'jwks_kid',
    policy: { strategy: 'overlap' },
    ends: 'finished',
    logins: 'one',
    clients: [ES256, { ...ES256, twice: true }, { ...ES256, foreign: true }, HELD, FOUND],
  },
  {
    slug: 'cutover',
    selection: 'first_pem',
    policy: {},
    ends: 'finished',
    logins: 'two',
    clients: [ES256, { alg: 'RS256' }, { ...ES256, foreign: true }, HELD, FOUND],
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
    believed: 'ES512',
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

/** Where an application finds the key that it signs with: `own, then folder` while somebody moves it over. */
export type Signing = 'own' | 'folder' | 'own, then folder';

export interface FaultClient {
  readonly ref: string;
  /** Row id. */
  readonly id: string;
  readonly clientId: string;
  readonly app: AppSetting;
  /** At first. */
  readonly enrolment: 'enrolled' | 'held' | 'found';
  /** The key it began with, and the names that it was published under: `kid`, and others. */
  readonly initial: {
    readonly kid: string;
    readonly otherNames: readonly string[];
    readonly alg: Algorithm;
    readonly jwk: JsonWebKey;
    readonly privateKey: KeyObject;
  };
  /** Somebody else's, as the server showed them. */
  readonly foreign: readonly JwkMembers[];
  /** Keys that people added in the course of the run: they may stand there, and are not ours. */
  readonly visitors: JwkMembers[];
  /** Where its signers find their keys. */
  readonly folder: string;
  readonly host: string;
  signing: Signing;
}

/** Waits that a scenario can sit out. */
const QUICK = { propagation: '100ms', overlap: '400ms' };

const hostOf = (slug: string) => `${slug}.example.com`;

/** Where a fleet lives: what its machines share, and what each has for itself. */
export interface Home {
  readonly dir: string;
  /** The folder of one machine. */
  readonly dataDir: string;
}

/** @param redis the section of that name */
export function configFile({ dir, dataDir }: Home, redis: object, apiUrl: string, setting: FleetSetting): object {
  const { apps } = setting;
  return {
    data_dir: join(dir, dataDir),
    redis,
    encryption: { keks: [{ id: 'kek-1', key: 'env:KEK' }] },
    sinks: [{ kind: 'directory', path: keysIn(dir) }],
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

/** The folder of all key folders. */
function keysIn(dir: string): string {
  return join(dir, 'keys');
}

export const ENVIRONMENT = { KEK: KEK.toString('base64url'), API_KEY };

/** Makes the apps and their clients, and gives the keys of most to rekeyd. */
export async function buildFleet(
  dir: string,
  emulator: Emulator,
  resources: Resources,
  apps: readonly AppSetting[],
): Promise<FaultClient[]> {
  const clients: FaultClient[] = [];
  for (const app of apps) {
    emulator.addApp({ deployment: DEPLOYMENT, slug: app.slug, selection: app.selection });
    if (app.believed !== undefined) await believe(app, app.believed, resources);
    for (const setting of app.clients) {
      const client = registerClient(dir, emulator, app, setting);
      if (client.enrolment !== 'found') await handOver(client, resources);
      clients.push(client);
    }
  }
  return clients;
}

/** Otherwise no key for that alg is made. On disk with the first client that is handed over. */
async function believe({ slug }: AppSetting, alg: Algorithm, { store, facts }: Resources): Promise<void> {
  const app = `${DEPLOYMENT}/${slug}`;
  await store.noteProven(app, alg, makeReference(DEPLOYMENT, slug, '1'));
  await facts.refresh([app]);
}

/** Registers a client with the server; rekeyd is told nothing. */
export function registerClient(dir: string, emulator: Emulator, app: AppSetting, setting: NewClient): FaultClient {
  const { alg, foreign = false, twice = false, enrolment = 'enrolled' } = setting;
  const key = makeKey(alg);
  const otherNames = twice ? [randomUUID()] : [];
  const again = otherNames.map((kid) => ({ ...withPem(key), kid }));
  const others = foreign ? [withPem(makeKey(alg))] : [];
  const keys = [withPem(key), ...again, ...others];
  const made = emulator.addClient({ deployment: DEPLOYMENT, app: app.slug, alg, jwks: { keys } });
  return {
    ref: makeReference(DEPLOYMENT, app.slug, made.id),
    id: made.id,
    clientId: made.client_id,
    app,
    enrolment,
    // The JWK is of jose's type, and the same object.
    initial: { kid: key.kid, otherNames, alg, jwk: key.jwk as JsonWebKey, privateKey: key.privateKey },
    foreign: (made.jwks?.keys ?? []).slice(1 + again.length).map((jwk) => ({ ...jwk })),
    visitors: [],
    folder: join(keysIn(dir), DEPLOYMENT, app.slug, made.id),
    host: hostOf(app.slug),
    signing: enrolment === 'enrolled' ? 'folder' : 'own',
  };
}

async function handOver({ ref, enrolment, initial }: FaultClient, resources: Resources): Promise<void> {
  const { slug, id } = placeOf(ref);
  await importKey(resources, keksOf(resources.config), {
    ref: makeReference(DEPLOYMENT, slug, id),
    text: initial.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
    alg: initial.alg,
    unproven: true,
    enroll: enrolment === 'enrolled',
    cause: { actor: 'faults', reason: 'import', request: null },
  });
}

export function placeOf(ref: string): { readonly slug: string; readonly id: string } {
  const [, slug = '', id = ''] = ref.split('/');
  return { slug, id };
}
