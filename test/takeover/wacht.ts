/** The server's side of a fixture: an emulator that holds the recorded clients. */
import type { StoredClient } from '../emulator/clients.ts';
import { type Emulator, startEmulator } from '../emulator/server.ts';
import { readJwks } from '../emulator/wire.ts';
import { LATENCY_MS } from '../support/slowness.ts';
import type { Fixture, ServerClient } from './restore.ts';

/** @param keysAt origin of the web server that shows the public sets */
export async function restoreWacht({ server }: Fixture, keysAt: string): Promise<Emulator> {
  const emulator = await startEmulator({ latencyMs: LATENCY_MS, resolve: { 'keys.example.com': keysAt } });
  for (const { deployment, apiKey, accepted, apps } of server) {
    if (accepted) emulator.setApiKey(deployment, apiKey);
    for (const { slug, selection, fqdn, clients } of apps) {
      emulator.addApp({ deployment, slug, selection, fqdn });
      for (const client of clients) emulator.restoreClient(deployment, slug, storedClient(client));
    }
  }
  return emulator;
}

/** Members that are null were left out. */
function storedClient({ jwks, ...client }: ServerClient): StoredClient {
  const absent = { client_name: null, token_endpoint_auth_signing_alg: null, jwks_uri: null, public_key_pem: null };
  const keys = jwks === undefined ? null : readJwks(jwks);
  return { ...absent, ...client, jwks: keys } as StoredClient; // as the emulator held it
}
