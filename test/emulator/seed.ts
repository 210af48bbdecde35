/** What `npm run emulator` holds when it starts: a small fleet to try things on, or what the recorded calls need. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import type { StoredClient } from './clients.ts';
import type { Emulator } from './server.ts';
import type { App } from './state.ts';

export const DEPLOYMENT = '185019846023';
const OTHER_DEPLOYMENT = '185019846024';

export interface Fleet {
  readonly apiKey: string;
  readonly clients: readonly { readonly app: App; readonly client: StoredClient; readonly privateKey: KeyObject }[];
}

/** Two apps with two clients each: the real server, and a variant that picks keys by `kid`. */
export function seedFleet({ addApp, addClient, setApiKey }: Emulator): Fleet {
  const apiKey = 'emulator-api-key';
  setApiKey(DEPLOYMENT, apiKey);
  const apps = [
    addApp({ deployment: DEPLOYMENT, slug: 'mcp-auth', fqdn: 'auth.example.com' }),
    addApp({ deployment: DEPLOYMENT, slug: 'mcp-rfc', fqdn: 'rfc.example.com', selection: 'jwks_kid' }),
  ];
  const clients = apps.flatMap((app) =>
    ['one', 'two'].map((name) => {
      const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
      const members = { deployment: DEPLOYMENT, app: app.slug, client_name: name, alg: 'ES256', public_key_pem: pem };
      return { app, client: addClient(members), privateKey };
    }),
  );
  return { apiKey, clients };
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
