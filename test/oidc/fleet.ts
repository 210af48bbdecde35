/** A fleet whose clients sign in at oidc-provider: the local Wacht takes the PATCHes and keeps the clients, and has no other part in it. */
import { join } from 'node:path';
import type { StoredClient } from '../emulator/clients.ts';
import { isChange } from '../emulator/log.ts';
import { DEPLOYMENT, type Fleet, type FleetApp, startFleet } from '../support/fleet.ts';
import { serveFolder } from '../support/key-server.ts';
import { type OidcClient, type OidcProvider, startProvider } from './provider.ts';

const KEYS_HOST = 'https://keys.example.com';

export interface OidcFleet extends Fleet {
  readonly provider: OidcProvider;
  /** A service whose issuers are all that provider. */
  startWorker(): Promise<void>;
  /** By the id of a client: when a PATCH with keys was answered last, by `performance.now()`. A cutover has one such PATCH. */
  readonly cutOverAt: ReadonlyMap<string, number>;
}

export async function startOidcFleet(apps: readonly FleetApp[]): Promise<OidcFleet> {
  const cutOverAt = new Map<string, number>();
  let folder = '';
  const keysAt = await serveFolder(() => folder);
  const fleet = await startFleet({
    apps,
    emulator: {
      onAnswered: (call) => {
        if (isChange(call) && call.client !== null) cutOverAt.set(call.client, performance.now());
      },
    },
    config: { publish: { path: './public', base_url: KEYS_HOST } },
  });
  folder = join(fleet.dir, 'public');
  const provider = await startProvider({
    find: (clientId) => {
      const clients = apps.flatMap(({ slug }) => fleet.emulator.clients(DEPLOYMENT, slug));
      const found = clients.find((client) => client.client_id === clientId);
      return found && metadataOf(found);
    },
    fetch: (url) => fetch(url.replace(KEYS_HOST, keysAt)),
  });
  const file = JSON.parse(JSON.stringify(fleet.file));
  for (const { apps } of file.deployments) {
    for (const app of apps) Object.assign(app, { issuer: provider.issuer, resolve: {} });
  }
  const config = await fleet.configOf(file);
  return {
    ...fleet,
    provider,
    cutOverAt,
    async startWorker() {
      await fleet.start({}, config);
    },
  };
}

/** RFC 7591 knows no members that are null, and either a set or where it is. */
function metadataOf({ jwks, jwks_uri, token_endpoint_auth_signing_alg: alg }: StoredClient): OidcClient {
  const of = { token_endpoint_auth_signing_alg: alg ?? 'RS256' };
  if (jwks_uri !== null) return { ...of, jwks_uri };
  const keys = (jwks?.keys ?? []).map((jwk) => {
    const present = Object.entries(jwk).filter(([name, value]) => value !== null && name !== 'public_key_pem');
    return Object.fromEntries(present);
  });
  return { ...of, jwks: { keys } };
}
