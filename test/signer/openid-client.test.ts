/** The signer in the clients that applications have, against oidc-provider, which is not ours. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as oauth from 'oauth4webapi';
import * as client from 'openid-client';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { directorySink } from '../../src/deliver/directory.ts';
import type { SinkContents, SinkKey } from '../../src/deliver/sink.ts';
import { clientAuth, openSigner, type Signer, type SignerOptions, signingFetch } from '../../src/signer/index.ts';
import { contents, sinkKey } from '../deliver/contents.ts';
import { type OidcClient, type OidcProvider, openProvider } from '../oidc/provider.ts';

const CLIENT = 'client-4711';
let root: string;
let a: SinkKey;
let b: SinkKey;
let server: OidcProvider;
const clients = new Map<string, OidcClient>();

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'rekeyd-clients-'));
  onTestFinished(() => rm(root, { recursive: true, force: true }));
  [a, b] = await Promise.all([sinkKey(), sinkKey()]);
  clients.clear();
  server = await openProvider({ clientOf: (id) => clients.get(id) });
  onTestFinished(() => server.close());
});

const deliver = (keys: Partial<Pick<SinkContents, 'current' | 'next' | 'previous'>>) =>
  directorySink(root).deliver(contents(keys));

function publish(...keys: readonly SinkKey[]): void {
  const jwks = { keys: keys.map(({ jwk, kid, alg }) => ({ ...jwk, kid, alg, use: 'sig' })) };
  clients.set(CLIENT, { jwks, token_endpoint_auth_signing_alg: 'ES256' });
}

async function open(options?: SignerOptions): Promise<Signer> {
  const signer = await openSigner(join(root, '185019846023', 'mcp-auth', '4711'), options);
  onTestFinished(() => signer.close());
  return signer;
}

/** An application's code, and each way of it to get a token. */
const CLIENTS: Readonly<Record<string, (signer: Signer) => Promise<() => Promise<unknown>>>> = {
  async 'openid-client'(signer) {
    const execute = [client.allowInsecureRequests]; // loopback
    const issuer = new URL(server.issuer);
    const config = await client.discovery(issuer, signer.clientId, undefined, clientAuth(signer), { execute });
    config[client.customFetch] = signingFetch(signer);
    return async () => (await client.clientCredentialsGrant(config)).access_token;
  },
  async oauth4webapi(signer) {
    const options = { [oauth.customFetch]: signingFetch(signer), [oauth.allowInsecureRequests]: true };
    const issuer = new URL(server.issuer);
    const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, options));
    const of = { client_id: signer.clientId };
    return async () => {
      const response = await oauth.clientCredentialsGrantRequest(as, of, clientAuth(signer), {}, options);
      return (await oauth.processClientCredentialsResponse(as, of, response)).access_token;
    };
  },
  async fetch(signer) {
    const fetch = signingFetch(signer);
    return async () => {
      const body = new URLSearchParams({ grant_type: 'client_credentials' });
      const response = await fetch(`${server.issuer}/oauth/token`, { method: 'POST', body });
      if (response.status !== 200) throw new Error(await response.text());
      return (await response.text()).includes('access_token') ? 'a token' : null;
    };
  },
};

describe.each(Object.entries(CLIENTS))('%s', (_, connect) => {
  test('signs in at the first try through an overlap, and after one more through a cutover', async () => {
    publish(a);
    await deliver({ current: a });
    const signIn = await connect(await open());
    expect(await signIn()).toEqual(expect.any(String));
    // An overlap: the server takes both before the folder has the new one as current, and the old one goes last.
    await deliver({ current: a, next: b });
    publish(a, b);
    await signIn();
    await deliver({ current: b, previous: a });
    await signIn();
    publish(b);
    await signIn();
    expect(server.answers).toEqual([200, 200, 200, 200]);
    // A cutover: the server has the new one before the folder says so.
    const c = await sinkKey();
    await deliver({ current: b, next: c });
    publish(c);
    await signIn();
    await signIn();
    expect(server.answers.slice(4)).toEqual([401, 200, 200]);
    await deliver({ current: c, previous: b });
    await signIn();
    expect(server.answers.slice(7)).toEqual([200]);
  });

  test('hears of a refusal that is for good, after two tries', async () => {
    publish(await sinkKey());
    await deliver({ current: a, next: b });
    const signIn = await connect(await open());
    await expect(signIn()).rejects.toThrow();
    expect(server.answers).toEqual([401, 401]);
  });
});

test('a clock that is ten minutes behind is told, and no reason to try another key', async () => {
  publish(a);
  await deliver({ current: a, next: b });
  const told: unknown[] = [];
  const options = { clock: () => Date.now() - 600_000, onClockError: (error: unknown) => told.push(error) };
  const signIn = await CLIENTS.fetch?.(await open(options));
  await signIn?.();
  await signIn?.();
  expect(server.answers).toEqual([401, 200, 200]);
  expect(told).toMatchObject([{ code: 'clock', message: expect.stringContaining('10 min behind the server’s') }]);
});

test('a request as another client than that of the key folder is not made', async () => {
  publish(a);
  await deliver({ current: a });
  const signer = await open();
  const execute = [client.allowInsecureRequests];
  const config = await client.discovery(new URL(server.issuer), 'another', undefined, clientAuth(signer), { execute });
  await expect(client.clientCredentialsGrant(config)).rejects.toMatchObject({ cause: { code: 'other_client' } });
  expect(server.answers).toEqual([]);
});

test('requests that carry no form are made as they are', async () => {
  await deliver({ current: a });
  const fetch = signingFetch(await open());
  const discovery = await fetch(`${server.issuer}/.well-known/openid-configuration`);
  expect(await discovery.json()).toMatchObject({ issuer: server.issuer });
});

test('a form that openid-client posts to an API with a token is sent once, and carries no assertion', async () => {
  await deliver({ current: a, next: b });
  const signer = await open();
  const posted: unknown[] = [];
  const config = new client.Configuration({ issuer: server.issuer }, signer.clientId, undefined, clientAuth(signer));
  config[client.customFetch] = signingFetch(signer, {
    async fetch(_, init) {
      posted.push(String(init?.body));
      return new Response(null, { status: 400 });
    },
  });
  const form = new URLSearchParams({ amount: '1' });
  const api = new URL('https://api.example.com/payments');
  await client.fetchProtectedResource(config, 'a token', api, 'POST', form);
  expect(posted).toEqual(['amount=1']);
});
