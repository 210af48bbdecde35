/** The bare limits: loops that do nothing but what cannot be left out, with the same libraries and the same bytes. */

import { randomUUID } from 'node:crypto';
import { WachtClient } from '@wacht/backend';
import {
  type CryptoKey,
  calculateJwkThumbprint,
  exportJWK,
  exportSPKI,
  generateKeyPair,
  type JWK,
  SignJWT,
} from 'jose';
import { Pool } from 'undici';
import { type BareApi, type BareApiOrder, openBareApi } from './bare-api.ts';
import { orderOf, serveParent, usage } from './child.ts';
import { type BareResult, type Loop, timed } from './lanes.ts';

type Jwk = JWK & { readonly kty: string };

const order = orderOf<BareApiOrder>();
const { url, deployment, app, apiKey } = order;
/** As the local Wacht names the domain of that app. */
const issuer = `https://${app}.example.com`;
const published = new Map<string, Jwk>();

async function makeJwk(alg: string): Promise<Jwk> {
  const { publicKey } = await generateKeyPair(alg, { modulusLength: 2048, extractable: true });
  return jwkOf(publicKey, alg);
}

async function jwkOf(publicKey: CryptoKey, alg: string): Promise<Jwk> {
  const jwk = await exportJWK(publicKey);
  const kid = await calculateJwkThumbprint(jwk);
  const pem = await exportSPKI(publicKey);
  return { ...jwk, kty: jwk.kty ?? '', kid, use: 'sig', alg, ...{ public_key_pem: pem } };
}

function patch(api: BareApi, client: string, keys: readonly Jwk[], alg: string): Promise<string> {
  return api.patch(client, { jwks: { keys }, token_endpoint_auth_signing_alg: alg });
}

/** The PATCHes of a rotation: an overlap publishes both keys and then the new one alone, a cutover only that. */
async function patches({ clients, lanes, alg, strategy }: Loop): Promise<BareResult> {
  const api = openBareApi(order, lanes);
  const result = await timed(clients, lanes, async (client) => {
    const fresh = await makeJwk(alg);
    const old = published.get(client) ?? fresh;
    if (strategy === 'overlap') await patch(api, client, [old, fresh], alg);
    await patch(api, client, [fresh], alg);
    published.set(client, fresh);
  });
  await api.close();
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

/** Reads the client list of every app once, as JSON. */
async function lists(apps: readonly string[]): Promise<BareResult> {
  const pool = new Pool(url, { connections: 1 });
  const headers = { authorization: `Bearer ${apiKey}`, accept: 'application/json' };
  const result = await timed(apps, 1, async (slug) => {
    const path = `/deployments/${deployment}/oauth/apps/${slug}/clients`;
    await (await pool.request({ method: 'GET', path, headers })).body.json();
  });
  await pool.close();
  return result;
}

/** What takes a key out of use where another one is ready: one PATCH, the new key is accepted, and the old one refused. No key is made on the way. */
async function replace({ clients, lanes, alg }: Loop): Promise<BareResult> {
  ready ??= Promise.all([makePair(alg), makePair(alg)]);
  const [old, fresh] = await ready;
  const api = openBareApi(order, lanes);
  const host = new URL(issuer).host;
  const audience = `${issuer}/oauth/introspect`;
  const result = await timed(clients, lanes, async (client) => {
    const { client_id: clientId } = JSON.parse(await patch(api, client, [fresh.jwk], alg));
    const claims = () =>
      new SignJWT({ jti: randomUUID() }).setIssuer(clientId).setSubject(clientId).setAudience(audience);
    const signed = ({ jwk: { kid = '' }, privateKey }: Pair) =>
      claims().setIssuedAt().setExpirationTime('60s').setProtectedHeader({ alg, kid }).sign(privateKey);
    if (!(await api.accepts(host, clientId, await signed(fresh)))) throw new Error('the new key is refused');
    if (await api.accepts(host, clientId, await signed(old))) throw new Error('the old key is accepted');
  });
  ready = Promise.resolve([fresh, old]);
  await api.close();
  return result;
}

interface Pair {
  readonly jwk: Jwk;
  readonly privateKey: CryptoKey;
}

let ready: Promise<readonly [Pair, Pair]> | undefined;

async function makePair(alg: string): Promise<Pair> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { modulusLength: 2048, extractable: true });
  return { jwk: await jwkOf(publicKey, alg), privateKey };
}

serveParent(null, { patches, replace, keys, script, lists, usage }, () => {});
