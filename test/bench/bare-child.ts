/** The bare limits: loops that do nothing but what cannot be left out, with the same libraries and the same bytes. */
import { WachtClient } from '@wacht/backend';
import { calculateJwkThumbprint, exportJWK, exportSPKI, generateKeyPair, type JWK } from 'jose';
import { Pool } from 'undici';
import { type BareApi, type BareApiOrder, openBareApi } from './bare-api.ts';
import { orderOf, serveParent, usage } from './child.ts';
import { type BareResult, type Loop, timed } from './lanes.ts';

type Jwk = JWK & { readonly kty: string };

const order = orderOf<BareApiOrder>();
const { url, deployment, app, apiKey } = order;
const published = new Map<string, Jwk>();

async function makeJwk(alg: string): Promise<Jwk> {
  const { publicKey } = await generateKeyPair(alg, { modulusLength: 2048, extractable: true });
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

serveParent(null, { patches, keys, script, lists, usage }, () => {});
