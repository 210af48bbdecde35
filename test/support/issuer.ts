/** An issuer of another make: it reads what the local Wacht has stored, and picks keys in its own way. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { decodeProtectedHeader, jwtVerify } from 'jose';
import type { StoredClient } from '../emulator/clients.ts';
import type { LogEntry } from '../emulator/log.ts';
import type { Emulator } from '../emulator/server.ts';
import type { StoredJwk } from '../emulator/wire.ts';
import { DEPLOYMENT } from './fleet.ts';
import { listening } from './listening.ts';

export interface IssuerOptions {
  /** The keys that an assertion under that `kid` may be signed with. */
  readonly choose: (keys: readonly StoredJwk[], kid: string | undefined) => readonly StoredJwk[];
  /** How long a change takes to get here, in ms. */
  readonly delayMs?: number;
}

export interface Issuer {
  readonly origin: string;
  /** To be told of each call that the local Wacht has answered. */
  onAnswered(call: LogEntry): void;
}

/** Stops when the test ends. */
export async function startIssuer(
  emulator: Emulator,
  app: string,
  { choose, delayMs = 0 }: IssuerOptions,
): Promise<Issuer> {
  /** What each client was made to be, the latest last, and from when on that is seen here. */
  const seen = new Map<string, { readonly client: StoredClient; readonly from: number }[]>();

  function onAnswered({ api, method }: LogEntry): void {
    if (api !== 'management' || method === 'GET') return;
    for (const client of emulator.clients(DEPLOYMENT, app)) {
      const known = seen.get(client.client_id) ?? [];
      if (known.at(-1)?.client === client) continue;
      seen.set(client.client_id, [...known, { client, from: performance.now() + (known.length === 0 ? 0 : delayMs) }]);
    }
  }

  function read(clientId: string): StoredClient | undefined {
    return seen.get(clientId)?.findLast(({ from }) => from <= performance.now())?.client;
  }

  async function isAccepted(form: URLSearchParams): Promise<boolean> {
    const client = read(form.get('client_id') ?? '');
    const assertion = form.get('client_assertion') ?? '';
    const { kid } = decodeProtectedHeader(assertion);
    for (const jwk of choose(client?.jwks?.keys ?? [], kid)) {
      const algorithms = [client?.token_endpoint_auth_signing_alg ?? 'RS256'];
      const verified = await jwtVerify(assertion, keyOf(jwk), { algorithms }).catch(() => null);
      if (verified !== null) return true;
    }
    return false;
  }

  const server = createServer(async (request, response) => {
    const isIn = await isAccepted(new URLSearchParams(await text(request)));
    const refusal = { error: 'invalid_request', error_description: 'Invalid token: InvalidSignature' };
    response.writeHead(isIn ? 200 : 400, { 'content-type': 'application/json', connection: 'close' });
    response.end(JSON.stringify(isIn ? { active: false } : refusal));
  });
  return { origin: `http://127.0.0.1:${await listening(server)}`, onAnswered };
}

function keyOf(jwk: StoredJwk): KeyObject {
  if (jwk.public_key_pem !== null) return createPublicKey(jwk.public_key_pem);
  return createPublicKey({ key: Object.fromEntries(Object.entries(jwk)), format: 'jwk' });
}
