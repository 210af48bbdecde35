/** Clients as Wacht stores them, for a server that reads RFC 7591 metadata: a thin Wacht in front of its client store. */
import type { Emulator } from '../emulator/server.ts';
import type { OidcClient } from './provider.ts';

/** @param apps slugs of the deployment's apps that the server is for */
export function registeredIn(emulator: Emulator, deployment: string, apps: readonly string[]) {
  return (clientId: string): OidcClient | undefined => {
    const clients = apps.flatMap((app) => emulator.clients(deployment, app));
    const client = clients.find((one) => one.client_id === clientId && one.is_active);
    if (client === undefined) return undefined;
    const { jwks, jwks_uri: uri, token_endpoint_auth_signing_alg: alg } = client;
    return {
      token_endpoint_auth_signing_alg: alg ?? 'RS256',
      // A `jwks_uri` once set stays beside the set, and a server that follows RFC 7591 section 2 takes one of them.
      ...(uri === null ? { jwks: { keys: (jwks?.keys ?? []).map(withoutNulls) } } : { jwks_uri: uri }),
    };
  };
}

/** Wacht answers each member that it knows; oidc-provider takes no null for a text. */
function withoutNulls(key: object): object {
  return Object.fromEntries(Object.entries(key).filter(([, value]) => value !== null));
}
