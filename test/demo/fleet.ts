/** The demo's clients: what each of them is, and how it looked before rekeyd came. */

import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import type { Algorithm } from '../../src/core/keys.ts';
import { CHANGE } from '../emulator/fault-rules.ts';
import type { Emulator } from '../emulator/server.ts';
import type { Selection } from '../emulator/state.ts';

export const DEPLOYMENT = '185019846023';
export const API_KEY = 'demo-api-key';

/** One app per way in which servers pick keys. */
export const APPS = {
  'first-pem': { fqdn: 'auth.first-pem.example', selection: 'first_pem' },
  'by-kid': { fqdn: 'auth.by-kid.example', selection: 'jwks_kid' },
} as const satisfies Record<string, { fqdn: string; selection: Selection }>;

export type AppSlug = keyof typeof APPS;

export interface DemoClient {
  readonly app: AppSlug;
  /** Name of a policy in the demo's config. */
  readonly policy: string;
  readonly before: Algorithm;
  readonly registered: 'jwks' | 'pem';
  /** What is special about it, for the table. */
  readonly note: string;
  readonly mishap?: 'refused' | 'hiccup';
}

export const CLIENTS: readonly DemoClient[] = [
  { app: 'by-kid', policy: 'overlap-es256', before: 'ES256', registered: 'jwks', note: '' },
  {
    app: 'by-kid',
    policy: 'overlap-es256',
    before: 'ES256',
    registered: 'jwks',
    note: 'API answered 503 once',
    mishap: 'hiccup',
  },
  { app: 'by-kid', policy: 'overlap-rs256', before: 'RS256', registered: 'jwks', note: '' },
  { app: 'by-kid', policy: 'overlap-eddsa', before: 'EdDSA', registered: 'jwks', note: '' },
  {
    app: 'by-kid',
    policy: 'overlap-es256',
    before: 'ES256',
    registered: 'jwks',
    note: 'API refuses its PATCH',
    mishap: 'refused',
  },
  { app: 'first-pem', policy: 'cutover-es256', before: 'ES256', registered: 'jwks', note: '' },
  { app: 'first-pem', policy: 'cutover-rs256', before: 'RS256', registered: 'jwks', note: '' },
  { app: 'first-pem', policy: 'cutover-pem', before: 'ES256', registered: 'pem', note: '' },
  { app: 'first-pem', policy: 'cutover-rs256-pem', before: 'RS256', registered: 'pem', note: '' },
  { app: 'first-pem', policy: 'cutover-es256', before: 'RS256', registered: 'jwks', note: 'changes its algorithm' },
];

/** A client as it stands on the local Wacht, with the private key that its application signs with. */
export interface RegisteredClient extends DemoClient {
  readonly id: string;
  readonly clientId: string;
  readonly ref: string;
  readonly privateKeyPem: string;
}

export function register(emulator: Emulator, client: DemoClient): RegisteredClient {
  const { publicKey, privateKey } = keyPair(client.before);
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const jwk = { ...publicKey.export({ format: 'jwk' }), use: 'sig', alg: client.before, public_key_pem: pem };
  const material = client.registered === 'pem' ? { public_key_pem: pem } : { jwks: { keys: [jwk] } };
  const { id, client_id: clientId } = emulator.addClient({
    deployment: DEPLOYMENT,
    app: client.app,
    alg: client.before,
    ...material,
  });
  const privateKeyPem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  return { ...client, id, clientId, ref: `${DEPLOYMENT}/${client.app}/${id}`, privateKeyPem };
}

function keyPair(alg: Algorithm): { publicKey: KeyObject; privateKey: KeyObject } {
  if (alg === 'ES256') return generateKeyPairSync('ec', { namedCurve: 'P-256' });
  if (alg === 'EdDSA') return generateKeyPairSync('ed25519');
  return generateKeyPairSync('rsa', { modulusLength: 2048 });
}

/** What goes wrong on purpose. */
export function arrangeMishaps(emulator: Emulator, clients: readonly RegisteredClient[]): void {
  for (const { id, mishap } of clients) {
    const match = { ...CHANGE, client: id };
    if (mishap === 'hiccup') emulator.faults.add({ kind: 'status', status: 503, when: 'after', match });
    if (mishap === 'refused') {
      const message = 'OAuth client is locked by an administrator';
      emulator.faults.add({ kind: 'status', status: 400, message, match, times: Number.POSITIVE_INFINITY });
    }
  }
}
