/** What `npm run emulator` holds when it starts: a small fleet to try things on, or what the recorded calls need. */
import type { KeyObject } from 'node:crypto';
import type { StoredClient } from './clients.ts';
import type { Emulator } from './server.ts';
import type { App } from './state.ts';
import { makeKey } from './testing.ts';

export const DEPLOYMENT = '185019846023';
const OTHER_DEPLOYMENT = '185019846024';

export interface Fleet {
  readonly apiKey: string;
  readonly clients: readonly FleetMember[];
}

export interface FleetMember {
  readonly app: App;
  readonly client: StoredClient;
  /** Null: nobody has it. */
  readonly privateKey: KeyObject | null;
}

/**
 * Two apps: the real server, whose clients have a PEM, and a variant that picks keys by `kid`, whose clients have a JWK Set. Apps, ids and `client_id`s are
 * those of the commands in README.md, docs/quick-start.md and docs/enrolment.md, which can be typed as they are.
 */
export function seedFleet(wacht: Emulator): Fleet {
  const apiKey = 'emulator-api-key';
  wacht.setApiKey(DEPLOYMENT, apiKey);
  const real = wacht.addApp({ deployment: DEPLOYMENT, slug: 'mcp-auth', fqdn: 'auth.example.com' });
  const byKid = { deployment: DEPLOYMENT, slug: 'mcp-rfc', fqdn: 'rfc.example.com', selection: 'jwks_kid' } as const;
  const other = wacht.addApp(byKid);
  const clients = [
    seedClient(wacht, real, '4711'),
    seedClient(wacht, real, '4712'),
    { ...seedClient(wacht, real, '4713'), privateKey: null },
    seedClient(wacht, other, '4714'),
    seedClient(wacht, other, '4715'),
  ];
  return { apiKey, clients };
}

function seedClient(wacht: Emulator, app: App, id: string): FleetMember {
  const { alg, jwk, pem, privateKey } = makeKey('ES256');
  wacht.restoreClient(DEPLOYMENT, app.slug, {
    id,
    client_id: `oc_${id}`,
    client_name: `application ${id}`,
    client_auth_method: 'private_key_jwt',
    grant_types: ['authorization_code', 'refresh_token'],
    redirect_uris: ['https://client.example.com/callback'],
    token_endpoint_auth_signing_alg: alg,
  });
  const material = app.selection === 'jwks_kid' ? { jwks: { keys: [jwk] } } : { public_key_pem: pem };
  return { app, client: wacht.edit(DEPLOYMENT, app.slug, id, material), privateKey };
}

/** Keys of the recorded calls, in the form that the platform gives them. */
export const REPLAY_KEYS = {
  /** An API key. */
  key: `sk_test_${'k'.repeat(43)}`,
  /** The other deployment's API key. */
  other: `sk_test_${'o'.repeat(43)}`,
  /** An OAuth access token. */
  token: `oat_${'t'.repeat(43)}`,
  /** An OAuth access token that may only read. */
  reader: `oat_${'r'.repeat(43)}`,
} as const;

/** The apps that the recorded server held, with their ids, in the order in which it lists them. */
export function seedReplay({ addApp, setApiKey }: Emulator): void {
  const app = (id: string, slug: string, name: string, fqdn: string, isActive = true) =>
    addApp({ deployment: DEPLOYMENT, id, slug, name, fqdn, isActive });
  app('185019846023000002', 'second', 'Second', 'second.example.com');
  app('185019846023000001', 'mcp-auth', 'MCP', 'auth.example.com');
  app('185019846023000003', 'off', 'Off', 'off.example.com', false);
  addApp({ deployment: OTHER_DEPLOYMENT, slug: 'other' });
  setApiKey(DEPLOYMENT, REPLAY_KEYS.key, 'write', 'api_key');
  setApiKey(OTHER_DEPLOYMENT, REPLAY_KEYS.other, 'write', 'api_key');
  setApiKey(DEPLOYMENT, REPLAY_KEYS.token, 'write', 'access_token');
  setApiKey(DEPLOYMENT, REPLAY_KEYS.reader, 'read', 'access_token');
}
