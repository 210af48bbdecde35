/** The bare limits: loops that do nothing but what cannot be left out, with the same libraries and the same bytes. */
import { WachtClient } from '@wacht/backend';
import { calculateJwkThumbprint, exportJWK, exportSPKI, generateKeyPair, type JWK } from 'jose';
import { Pool } from 'undici';
import { inParallel } from '../../src/parallel.ts';
import { orderOf, serveParent, usage } from './child.ts';

export interface BareOrder {
  readonly url: string;
  readonly deployment: string;
  readonly app: string;
  readonly apiKey: string;
}

export interface Loop {
  readonly clients: readonly string[];
  /** How many at once. */
  readonly lanes: number;
  readonly alg: string;
  readonly strategy: 'overlap' | 'cutover';
}

export interface BareResult {
  readonly seconds: number;
  /** From the generation of a key to its last answer, the slowest but 1 %. */
  readonly p99Ms: number;
}

type Jwk = JWK & { readonly kty: string };

const { url, deployment, app, apiKey } = orderOf<BareOrder>();
const headers = { authorization: `Bearer ${apiKey}`, accept: 'application/json', 'content-type': 'application/json' };
const published = new Map<string, Jwk>();

async function makeJwk(alg: string): Promise<Jwk> {
  const { publicKey } = await generateKeyPair(alg, { modulusLength: 2048, extractable: true });
  const jwk = await exportJWK(publicKey);
  const kid = await calculateJwkThumbprint(jwk);
  const pem = await exportSPKI(publicKey);
  return { ...jwk, kty: jwk.kty ?? '', kid, use: 'sig', alg, ...{ public_key_pem: pem } };
}

async function patch(pool: Pool, client: string, keys: readonly Jwk[], alg: string): Promise<void> {
  const path = `/deployments/${deployment}/oauth/apps/${app}/clients/${client}`;
  const body = JSON.stringify({ jwks: { keys }, token_endpoint_auth_signing_alg: alg });
  const answer = await pool.request({ method: 'PATCH', path, headers, body });
  await answer.body.text();
  if (answer.statusCode !== 200) throw new Error(`PATCH answered ${answer.statusCode}`);
}

/** The PATCHes of a rotation: an overlap publishes both keys and then the new one alone, a cutover only that. */
async function patches({ clients, lanes, alg, strategy }: Loop): Promise<BareResult> {
  const pool = new Pool(url, { connections: lanes });
  const result = await timed(clients, lanes, async (client) => {
    const fresh = await makeJwk(alg);
    const old = published.get(client) ?? fresh;
    if (strategy === 'overlap') await patch(pool, client, [old, fresh], alg);
    await patch(pool, client, [fresh], alg);
    published.set(client, fresh);
  });
  await pool.close();
  return result;
}

async function keys({ clients, lanes, alg }: Loop): Promise<BareResult> {
  return timed(clients, lanes, async () => void (await generateKeyPair(alg, { modulusLength: 2048 })));
}

/** What somebody would write in an evening. */
async function script({ clients, alg }: Loop): Promise<BareResult> {
  const sdk = new WachtClient({ baseUrl: url, apiKey });
  return timed(clients, 1, async (client) => {
    const jwks = { keys: [await makeJwk(alg)] };
    await sdk.oauth.updateOAuthClient(app, client, { jwks, token_endpoint_auth_signing_alg: alg });
  });
}

async function timed(
  clients: readonly string[],
  lanes: number,
  one: (client: string) => Promise<void>,
): Promise<BareResult> {
  const took: number[] = [];
  const startedAt = performance.now();
  await inParallel(clients, lanes, async (client) => {
    const at = performance.now();
    await one(client);
    took.push(performance.now() - at);
  });
  const seconds = (performance.now() - startedAt) / 1000;
  took.sort((a, b) => a - b);
  return { seconds, p99Ms: took[Math.ceil(took.length * 0.99) - 1] ?? 0 };
}

/** Reads the client list of every app once, as JSON. */
async function lists(apps: readonly string[]): Promise<BareResult> {
  const pool = new Pool(url, { connections: 1 });
  const result = await timed(apps, 1, async (slug) => {
    const path = `/deployments/${deployment}/oauth/apps/${slug}/clients`;
    await (await pool.request({ method: 'GET', path, headers })).body.json();
  });
  await pool.close();
  return result;
}

serveParent(null, { patches, keys, script, lists, usage }, () => {});
