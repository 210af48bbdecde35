/** The clients of a run: registered with the server, and most of them with keys that rekeyd was given. */
import { type JsonWebKey, type KeyObject, randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { makeReference } from '../../../src/core/client.ts';
import type { Algorithm } from '../../../src/core/keys.ts';
import { importKey } from '../../../src/rotation/import.ts';
import { keksOf } from '../../../src/rotation/policy.ts';
import type { Resources } from '../../../src/rotation/resources.ts';
import type { Emulator } from '../../emulator/server.ts';
import { makeKey, withPem } from '../../emulator/testing.ts';
import { HOOK_SECRET } from '../actors/receiver.ts';
import type { JwkMembers } from '../evidence/history.ts';
import { API_KEY, DEPLOYMENT, KEK, KEYS_HOST } from '../names.ts';
import type { AppSetting, FleetSetting, NewClient } from './apps.ts';

export { API_KEY, DEPLOYMENT, KEYS_HOST };

/** Where an application finds the key that it signs with: `own, then folder` while somebody moves it over. */
export type Signing = 'own' | 'folder' | 'own, then folder';

export interface FaultClient {
  readonly ref: string;
  /** Row id. */
  readonly id: string;
  readonly clientId: string;
  readonly app: AppSetting;
  /** As its policy has it: for how long the server takes a key that is no longer used. */
  readonly overlap: string;
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
  /** Where its application reports to; null: to rekeyd. */
  readonly outbox: string | null;
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
  /** Where its HTTP API is, on loopback. */
  readonly port?: number | undefined;
}

/** @param redis the section of that name */
export function configFile({ dir, dataDir, port }: Home, redis: object, apiUrl: string, setting: FleetSetting): object {
  const { apps } = setting;
  return {
    data_dir: join(dir, dataDir),
    redis,
    encryption: { keks: [{ id: 'kek-1', key: 'env:KEK' }] },
    sinks: [{ kind: 'directory', path: keysIn(dir) }],
    reconcile_every: '1s',
    publish: { path: join(dir, 'public'), base_url: `https://${KEYS_HOST}` },
    ...(port !== undefined && { http: { listen: `127.0.0.1:${port}`, rate_limit: { max: 10_000 } } }),
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
        // Nobody gives up while things break: what is looked for is what was lost, not what was abandoned.
        { schedule: '0 0 1 1 *', ...QUICK, attempts: 1000, ...setting.policy, ...policy },
      ]),
    ),
  };
}

function overlapOf(app: AppSetting, { policy }: FleetSetting): string {
  return `${app.policy.overlap ?? policy?.overlap ?? QUICK.overlap}`;
}

/** The folder of all key folders. */
function keysIn(dir: string): string {
  return join(dir, 'keys');
}

export const ENVIRONMENT = { KEK: KEK.toString('base64url'), API_KEY, HOOK_SECRET };

/** Makes the apps and their clients, and gives the keys of most to rekeyd. */
export async function buildFleet(
  dir: string,
  emulator: Emulator,
  resources: Resources,
  setting: FleetSetting,
): Promise<FaultClient[]> {
  const clients: FaultClient[] = [];
  for (const app of setting.apps) {
    emulator.addApp({ deployment: DEPLOYMENT, slug: app.slug, selection: app.selection });
    if (app.believed !== undefined) await believe(app, app.believed, resources);
    for (const one of app.clients) {
      const client = registerClient(dir, emulator, { app, overlap: overlapOf(app, setting) }, one);
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
export function registerClient(
  dir: string,
  emulator: Emulator,
  { app, overlap }: Pick<FaultClient, 'app' | 'overlap'>,
  setting: NewClient,
): FaultClient {
  const { alg, foreign = false, twice = false, enrolment = 'enrolled', reportsApart = false } = setting;
  const key = makeKey(alg);
  const otherNames = twice ? [randomUUID()] : [];
  const again = otherNames.map((kid) => ({ ...withPem(key), kid }));
  const others = foreign ? [withPem(makeKey(alg))] : [];
  const keys = [withPem(key), ...again, ...others];
  const made = emulator.addClient({ deployment: DEPLOYMENT, app: app.slug, alg, jwks: { keys } });
  const outbox = reportsApart ? join(dir, 'outbox', made.id) : null;
  // What cannot be written is written half a minute later.
  if (outbox !== null) mkdirSync(outbox, { recursive: true });
  return {
    ref: makeReference(DEPLOYMENT, app.slug, made.id),
    id: made.id,
    clientId: made.client_id,
    app,
    overlap,
    enrolment,
    // The JWK is of jose's type, and the same object.
    initial: { kid: key.kid, otherNames, alg, jwk: key.jwk as JsonWebKey, privateKey: key.privateKey },
    foreign: (made.jwks?.keys ?? []).slice(1 + again.length).map((jwk) => ({ ...jwk })),
    // What rekeyd offers stands beside it: it is a key of somebody else, and stays.
    visitors: enrolment === 'found' && app.policy.adopt === 'overlap' ? [{ ...key.jwk }] : [],
    folder: join(keysIn(dir), DEPLOYMENT, app.slug, made.id),
    host: hostOf(app.slug),
    outbox,
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
