/** A verifier that is not ours: oidc-provider on loopback, in front of a store of clients that a test changes. */
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import Provider, { type Adapter, type ClientKeys } from 'oidc-provider';

/** As the store has it: RFC 7591 metadata. */
export interface OidcClient {
  readonly jwks?: { readonly keys: readonly object[] };
  readonly jwks_uri?: string;
  readonly token_endpoint_auth_signing_alg: string;
}

export interface OidcOptions {
  /** The store: asked for each request. */
  readonly clientOf: (clientId: string) => OidcClient | undefined;
  /** Gets what a client's `jwks_uri` shows; absent: as the URL says. */
  readonly fetch?: (url: string, options: RequestInit) => Promise<Response>;
  /** How long a set from `jwks_uri` is kept, in ms, for who cannot wait. Absent: as oidc-provider has it, a minute at least. */
  readonly keepSetsMs?: number;
}

export interface OidcProvider {
  readonly issuer: string;
  /** What came to the token endpoint so far: the status of each answer. */
  readonly answers: readonly number[];
  /** Sets that were fetched before, and those that will be, are kept for this long, in ms. Has no effect where `keepSetsMs` was absent. */
  keepSetsFor(ms: number): void;
  close(): Promise<void>;
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

export async function openProvider({ clientOf, fetch: get, keepSetsMs }: OidcOptions): Promise<OidcProvider> {
  const answers: number[] = [];
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`; // listening on TCP: it has such an address
  const clients: Adapter = {
    ...inMemory(),
    async find(id) {
      const client = clientOf(id);
      return client && { client_id: id, ...USUAL, ...client };
    },
  };
  const provider = new Provider(issuer, {
    adapter: (model: string) => (model === 'Client' ? clients : inMemory()),
    routes: ROUTES,
    features: {
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      devInteractions: { enabled: false },
    },
    clientAuthSigningAlgValues: ALGS,
    enabledJWA: { clientAuthSigningAlgValues: ALGS },
    ttl: { ClientCredentials: 60 },
    jwks: { keys: [generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' })] },
    ...(get !== undefined && { fetch: get }),
  });
  let keptMs = keepSetsMs ?? 0;
  if (keepSetsMs !== undefined) {
    const { Client } = provider;
    const find = Client.find.bind(Client);
    Client.find = async (id) => {
      const client = await find(id);
      if (client !== undefined) keepFor(() => keptMs, client.asymmetricKeyStore);
      return client;
    };
  }
  const answer = provider.callback();
  server.on('request', (request, response) => {
    if (request.url === ROUTES.token) response.on('finish', () => answers.push(response.statusCode));
    answer(request, response);
  });
  return {
    issuer,
    answers,
    keepSetsFor(ms) {
      keptMs = ms;
    },
    close: () => new Promise((resolve) => server.close(() => resolve()).closeAllConnections()),
  };
}

/** The minute becomes another time; all else stays as it is. */
function keepFor(ms: () => number, keys: ClientKeys): void {
  if (Object.hasOwn(keys, 'fresh')) return;
  let fetchedAt = Number.NEGATIVE_INFINITY;
  Object.defineProperty(keys, 'freshUntil', {
    set: () => {
      fetchedAt = Date.now();
    },
  });
  keys.fresh = () => keys.jwksUri === undefined || Date.now() < fetchedAt + ms();
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
