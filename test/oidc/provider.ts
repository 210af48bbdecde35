/** A verifier that nobody here wrote: oidc-provider on loopback, in front of a store of clients that a test changes. */
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import Provider, { type Adapter } from 'oidc-provider';
import { onTestFinished } from 'vitest';

/** As the store has it: RFC 7591 metadata. */
export interface OidcClient {
  readonly jwks?: { readonly keys: readonly object[] };
  readonly jwks_uri?: string;
  readonly token_endpoint_auth_signing_alg: string;
}

export interface OidcProvider {
  readonly issuer: string;
  /** Registers the client, or replaces what is registered. */
  register(clientId: string, client: OidcClient): void;
  /** What came to the token endpoint so far: the status of each answer. */
  readonly answers: readonly number[];
}

const USUAL = {
  token_endpoint_auth_method: 'private_key_jwt',
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
  id_token_signed_response_alg: 'ES256',
};

/** Where Wacht has them. */
const ROUTES = { token: '/oauth/token', introspection: '/oauth/introspect', revocation: '/oauth/revoke' };

/** Stops when the test ends. */
export async function startProvider(): Promise<OidcProvider> {
  const clients = new Map<string, object>();
  const answers: number[] = [];
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => new Promise((resolve) => server.close(() => resolve()).closeAllConnections()));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`; // listening on TCP: it has such an address
  const provider = new Provider(issuer, {
    adapter: (model: string) => (model === 'Client' ? readOnly(clients) : inMemory()),
    routes: ROUTES,
    features: {
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      devInteractions: { enabled: false },
    },
    clientAuthSigningAlgValues: ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'],
    enabledJWA: { clientAuthSigningAlgValues: ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'] },
    ttl: { ClientCredentials: 60 },
    jwks: { keys: [generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' })] },
  });
  const answer = provider.callback();
  server.on('request', (request, response) => {
    if (request.url === ROUTES.token) response.on('finish', () => answers.push(response.statusCode));
    answer(request, response);
  });
  return {
    issuer,
    answers,
    register: (clientId, client) => void clients.set(clientId, { client_id: clientId, ...USUAL, ...client }),
  };
}

function readOnly(clients: ReadonlyMap<string, object>): Adapter {
  return { ...inMemory(), find: async (id) => clients.get(id) };
}

function inMemory(): Adapter {
  const stored = new Map<string, object>();
  const none = async () => undefined;
  return {
    find: async (id) => stored.get(id),
    upsert: async (id, payload) => void stored.set(id, payload),
    destroy: async (id) => void stored.delete(id),
    findByUid: none,
    findByUserCode: none,
    consume: none,
    revokeByGrantId: none,
  };
}
