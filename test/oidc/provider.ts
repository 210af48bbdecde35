/** A verifier that is not ours: oidc-provider on loopback, in front of a store of clients that a test changes. */
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
  /** Fetches the set behind the client's `jwks_uri`, if it has one, and from now on keeps such sets for this long, instead of a minute. */
  cacheFor(ms: number, clientId: string): Promise<void>;
}

export interface ProviderOptions {
  /** Where clients are kept; in memory, by {@link OidcProvider.register}, when absent. */
  readonly find?: (clientId: string) => OidcClient | undefined;
  /** Fetches what a `jwks_uri` names. */
  readonly fetch?: (url: string) => Promise<Response>;
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

const ALGS = ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'];

/** Stops when the test ends. */
export async function startProvider({ find, fetch = globalThis.fetch }: ProviderOptions = {}): Promise<OidcProvider> {
  const registered = new Map<string, OidcClient>();
  const answers: number[] = [];
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => new Promise((resolve) => server.close(() => resolve()).closeAllConnections()));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`; // listening on TCP: it has such an address
  const clients: Adapter = {
    ...inMemory(),
    async find(id) {
      const client = find?.(id) ?? registered.get(id);
      return client && { client_id: id, ...USUAL, ...client };
    },
  };
  const provider = new Provider(issuer, {
    adapter: (model: string) => (model === 'Client' ? clients : inMemory()),
    fetch,
    routes: ROUTES,
    features: {
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      devInteractions: { enabled: false },
    },
    enabledJWA: { clientAuthSigningAlgValues: ALGS },
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
    register: (clientId, client) => void registered.set(clientId, client),
    async cacheFor(ms, clientId) {
      const client = await provider.Client.find(clientId);
      if (client === undefined) throw new Error(`${clientId} is not registered`);
      // It counts in whole seconds, and asks again once this is not in the future: so the moment itself is kept beside it.
      const until = new WeakMap<object, number>();
      Object.defineProperty(Object.getPrototypeOf(client.asymmetricKeyStore), 'freshUntil', {
        configurable: true,
        get(this: object) {
          return Date.now() < (until.get(this) ?? 0) ? Number.POSITIVE_INFINITY : 0;
        },
        set(this: object) {
          until.set(this, Date.now() + ms);
        },
      });
      await client.asymmetricKeyStore.refresh();
    },
  };
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
