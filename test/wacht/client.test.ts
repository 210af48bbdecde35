import { inspect } from 'node:util';
import { describe, expect, onTestFinished, test } from 'vitest';
import { parseReference } from '../../src/core/client.ts';
import type { PatchBody, PublicJwk, PublishedKey } from '../../src/core/document.ts';
import { RekeydError } from '../../src/errors.ts';
import { systemClock } from '../../src/time.ts';
import { ApiError } from '../../src/wacht/api-error.ts';
import { createWachtClient, type RequestInfo, type WachtClientOptions } from '../../src/wacht/client.ts';
import { deadOrigin, type Handler, json, serve } from './serve.ts';

const API_KEY = 'wacht_sk_0123456789abcdef';
const REF = parseReference('185019846023/mcp-auth/9007199254740993');
const DOCUMENT: PatchBody = {
  jwks: { keys: [{ kty: 'EC', crv: 'P-256', x: 'x', y: 'y', kid: 'k1' }] },
  token_endpoint_auth_signing_alg: 'ES256',
};

function row(more: Record<string, unknown> = {}) {
  return {
    id: '9007199254740993',
    oauth_app_id: '17',
    client_id: 'oc_1',
    client_auth_method: 'private_key_jwt',
    grant_types: ['authorization_code'],
    redirect_uris: ['https://a.example/cb'],
    token_endpoint_auth_signing_alg: 'ES256',
    jwks_uri: null,
    jwks: { keys: [{ ...DOCUMENT.jwks?.keys[0], n: null, e: null }] },
    public_key_pem: null,
    is_active: true,
    created_at: '2026-01-01T00:00:00Z',
    updated_at: '2026-11-05T12:00:00Z',
    ...more,
  };
}

/** A key of which nothing can be read. */
function shown(jwk: PublicJwk): PublishedKey {
  return { jwk, ids: [], pemId: null };
}

const OBSERVED = {
  id: '9007199254740993',
  clientId: 'oc_1',
  authMethod: 'private_key_jwt',
  alg: 'ES256',
  jwksUri: null,
  keys: [shown({ kty: 'EC', crv: 'P-256', x: 'x', y: 'y', kid: 'k1' })],
  active: true,
  updatedAt: '2026-11-05T12:00:00Z',
};

function clientOf(apiUrl: string, more: Partial<WachtClientOptions> = {}) {
  const client = createWachtClient({
    deployment: '185019846023',
    apiUrl,
    urlStyle: 'deployment',
    apiKey: { reveal: () => API_KEY },
    timeoutMs: 30_000,
    connections: 2,
    clock: systemClock,
    ...more,
  });
  onTestFinished(() => client.close());
  return client;
}

async function clientWith(handler: Handler, more: Partial<WachtClientOptions> = {}) {
  const server = await serve(handler);
  return { server, client: clientOf(server.origin, more) };
}

async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => expect.unreachable('it should have been refused'),
    (error: unknown) => error,
  );
}

describe('what goes over the wire', () => {
  test.each([
    ['deployment', '', '/deployments/185019846023/oauth/apps'],
    ['flat', '', '/oauth/apps'],
    ['deployment', '/base/', '/base/deployments/185019846023/oauth/apps'],
  ] as const)('URL style %s under "%s"', async (urlStyle, base, expected) => {
    const server = await serve((_, response) => json(response, 200, row()));
    const client = clientOf(server.origin + base, { urlStyle });
    await client.patchClient(REF, DOCUMENT);
    expect(server.requests[0]?.url).toBe(`${expected}/mcp-auth/clients/9007199254740993`);
  });

  test.each(['deployment', 'flat'] as const)('the URL style is found out: %s', async (style) => {
    const { client, server } = await clientWith(
      ({ url = '', method }, response) => {
        const isThere = url.startsWith('/deployments/') === (style === 'deployment');
        if (!isThere) return json(response, 404, { errors: [{ message: 'Not found', code: 404 }] });
        json(response, 200, method === 'PATCH' ? row() : { clients: [row()] });
      },
      { urlStyle: 'auto' },
    );
    expect(client.urlStyle()).toBeNull();
    expect(await client.patchClient(REF, DOCUMENT)).toMatchObject({ class: 'done' });
    expect(client.urlStyle()).toBe(style);
    const tried = server.requests.length;
    expect(tried).toBe(style === 'flat' ? 2 : 1);
    await client.listClients('mcp-auth');
    expect(server.requests.length).toBe(tried + 1);
  });

  test('the URL style stays unknown while nothing is found', async () => {
    let status = 404;
    const { client } = await clientWith((_, response) => json(response, status, {}), { urlStyle: 'auto' });
    expect(await client.patchClient(REF, DOCUMENT)).toMatchObject({ class: 'refused', status: 404 });
    status = 503;
    expect(await client.patchClient(REF, DOCUMENT)).toMatchObject({ class: 'unknown', status: 503 });
    expect(client.urlStyle()).toBeNull();
  });

  test('a look is a PATCH without members', async () => {
    const { client, server } = await clientWith((_, response) => json(response, 200, row()));
    expect(await client.lookAtClient(REF)).toEqual({ class: 'done', status: 200, client: OBSERVED });
    expect(server.requests[0]).toMatchObject({ method: 'PATCH', body: '{}' });
  });

  test('a PATCH has the key, JSON, and the same bytes each time', async () => {
    const { client, server } = await clientWith((_, response) => json(response, 200, row()));
    await client.patchClient(REF, DOCUMENT);
    await client.patchClient(REF, structuredClone(DOCUMENT));
    const [first, second] = server.requests;
    expect(first).toMatchObject({
      method: 'PATCH',
      headers: { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' },
      body: JSON.stringify(DOCUMENT),
    });
    expect(second?.body).toBe(first?.body);
  });

  test('path segments are encoded', async () => {
    const { client, server } = await clientWith((_, response) => json(response, 200, { clients: [] }));
    await client.listClients('a/b?c#d');
    expect(server.requests[0]?.url).toBe('/deployments/185019846023/oauth/apps/a%2Fb%3Fc%23d/clients');
  });

  test('a client of another deployment is not touched', async () => {
    const { client, server } = await clientWith((_, response) => json(response, 200, row()));
    await expect(client.patchClient(parseReference('other/mcp-auth/1'), DOCUMENT)).rejects.toThrow('other/mcp-auth/1');
    expect(server.requests).toEqual([]);
  });

  test('one connection serves call after call', async () => {
    const ports = new Set<number | undefined>();
    const { client } = await clientWith(
      (_, response) => {
        ports.add(response.socket?.remotePort);
        json(response, 200, row());
      },
      { connections: 1 },
    );
    for (let call = 0; call < 5; call++) await client.patchClient(REF, DOCUMENT);
    expect(ports.size).toBe(1);
  });
});

describe('answers', () => {
  test.each([
    ['bare', row()],
    ['wrapped', { data: row() }],
  ])('%s', async (_, body) => {
    const { client } = await clientWith((_request, response) => json(response, 200, body));
    expect(await client.patchClient(REF, DOCUMENT)).toEqual({ class: 'done', status: 200, client: OBSERVED });
  });

  test('a list, with what a server can show for keys', async () => {
    const clients = [
      row(),
      row({ id: 12, jwks: null, token_endpoint_auth_signing_alg: null, jwks_uri: 'https://a.example/jwks' }),
      row({ id: '13', jwks: { keys: [{ kty: 'PEM', kid: null, public_key_pem: 'PEM' }] } }),
      row({ id: '14', jwks: null, public_key_pem: 'PEM' }),
      row({ id: '15', jwks: { keys: [{ z: { deep: null }, kty: 'odd', a: 1 }] }, is_active: false }),
    ];
    const { client } = await clientWith((_, response) => json(response, 200, { clients }));
    const { clients: list, unreadable } = await client.listClients('mcp-auth');
    expect(unreadable.size).toBe(0);
    expect(list).toEqual([
      OBSERVED,
      { ...OBSERVED, id: '12', keys: [], alg: null, jwksUri: 'https://a.example/jwks' },
      { ...OBSERVED, id: '13', keys: [shown({ kty: 'PEM', public_key_pem: 'PEM' })] },
      { ...OBSERVED, id: '14', keys: [shown({ kty: 'PEM', public_key_pem: 'PEM' })] },
      { ...OBSERVED, id: '15', keys: [shown({ z: { deep: null }, kty: 'odd', a: 1 })], active: false },
    ]);
    expect(JSON.stringify(list[4]?.keys.map(({ jwk }) => jwk))).toBe('[{"z":{"deep":null},"kty":"odd","a":1}]');
  });

  test('apps', async () => {
    const app = {
      id: '17',
      slug: 'mcp-auth',
      name: 'MCP',
      fqdn: 'auth.example.com',
      is_active: true,
      supported_scopes: [],
    };
    const { client, server } = await clientWith((_, response) => json(response, 200, { apps: [app] }));
    expect(await client.listApps()).toEqual([
      { id: '17', slug: 'mcp-auth', name: 'MCP', fqdn: 'auth.example.com', active: true },
    ]);
    expect(server.requests[0]).toMatchObject({ method: 'GET', url: '/deployments/185019846023/oauth/apps' });
  });

  test('create and deactivate', async () => {
    const { client, server } = await clientWith((request, response) => {
      if (request.method === 'POST') json(response, 201, row({ client_secret: 's' }));
      else response.writeHead(204).end();
    });
    expect(await client.createClient('mcp-auth', { client_auth_method: 'private_key_jwt' })).toEqual(OBSERVED);
    await client.deactivateClient(REF);
    expect(server.requests.map(({ method, url, body }) => `${method} ${url} ${body}`)).toEqual([
      'POST /deployments/185019846023/oauth/apps/mcp-auth/clients {"client_auth_method":"private_key_jwt"}',
      'DELETE /deployments/185019846023/oauth/apps/mcp-auth/clients/9007199254740993 ',
    ]);
  });

  test('a numeric id that JavaScript would round is refused', async () => {
    const { client } = await clientWith((_, response) => {
      response.end(JSON.stringify(row()).replace('"9007199254740993"', '9007199254740993'));
    });
    expect(await client.patchClient(REF, DOCUMENT)).toMatchObject({
      class: 'unknown',
      status: 200,
      message: expect.stringContaining('id: expected an id'),
    });
  });

  test.each([
    ['nothing', null],
    ['no clients', {}],
    ['rows that are no objects', { clients: [row(), 7] }],
    ['a row that does not say whose it is', { clients: [row(), row({ id: undefined })] }],
    ['a row whose id JavaScript has rounded', { clients: [row({ id: 2 ** 53 })] }],
  ])('a list that is not as documented is an error, never a shorter list: %s', async (_, body) => {
    const { client } = await clientWith((_request, response) => json(response, 200, body));
    expect(await rejection(client.listClients('mcp-auth'))).toMatchObject({
      code: 'api_failed',
      reply: { class: 'unknown', status: 200 },
    });
  });

  test.each<[string, Record<string, unknown>, string]>([
    ['a key without kty', { jwks: { keys: [{ x: 1 }] } }, 'jwks.keys.0: expected a JSON Web Key with a kty'],
    ['no client_id', { client_id: undefined }, 'client_id: '],
    ['an empty client_id', { client_id: '' }, 'client_id: '],
    ['an alg that is no text', { token_endpoint_auth_signing_alg: 7 }, 'token_endpoint_auth_signing_alg: '],
    ['a state that is no boolean', { is_active: 'yes' }, 'is_active: '],
    ['an id that leads elsewhere', { id: '../13' }, 'id: '],
  ])('a row that is not as documented hides no other: %s', async (_, odd, problem) => {
    const clients = [row(), row({ id: '13', ...odd })];
    const { client } = await clientWith((_request, response) => json(response, 200, { clients }));
    const list = await client.listClients('mcp-auth');
    expect(list.clients).toEqual([OBSERVED]);
    expect([...list.unreadable]).toEqual([[odd.id ?? '13', expect.stringContaining(problem)]]);
  });

  test('a redirect is refused and not followed', async () => {
    const { client, server } = await clientWith((_, response) => json(response, 307, {}, { location: '/elsewhere' }));
    expect(await client.patchClient(REF, DOCUMENT)).toMatchObject({ class: 'refused', status: 307 });
    expect(server.requests.length).toBe(1);
  });

  test('Retry-After is read', async () => {
    const { client } = await clientWith((_, response) => json(response, 429, {}, { 'retry-after': '17' }));
    expect(await client.patchClient(REF, DOCUMENT)).toMatchObject({ class: 'throttled', retryAfterMs: 17_000 });
  });

  test('a failed list throws with the classified reply', async () => {
    const { client } = await clientWith((_, response) =>
      json(response, 403, { errors: [{ message: 'No permission' }] }),
    );
    const error = await rejection(client.listClients('mcp-auth'));
    expect(error).toBeInstanceOf(ApiError);
    expect(error).toBeInstanceOf(RekeydError);
    expect(error).toMatchObject({
      code: 'api_failed',
      reply: { class: 'forbidden', status: 403, message: 'No permission' },
      message: expect.stringContaining('Listing the clients of 185019846023/mcp-auth failed with HTTP 403'),
    });
  });
});

describe('a server or network that misbehaves', () => {
  test.each<[string, Handler]>([
    ['no headers', () => {}],
    ['headers and no body', (_, response) => void response.writeHead(200).flushHeaders()],
    [
      'a body that drips',
      (_, response) => {
        response.writeHead(200);
        const drip = setInterval(() => response.write(' '), 5);
        response.on('close', () => clearInterval(drip));
      },
    ],
  ])('%s: the deadline ends it', async (_, handler) => {
    const { client } = await clientWith(handler, { timeoutMs: 250 });
    const reply = { class: 'unknown', message: 'no complete answer within 250 ms' };
    expect(await client.patchClient(REF, DOCUMENT)).toMatchObject(reply);
    expect(await rejection(client.listApps())).toMatchObject({ reply });
  });

  test.each<[string, Handler]>([
    ['no headers', () => {}],
    ['headers and no body', (_, response) => void response.writeHead(200).flushHeaders()],
    ['a body that stalls', (_, response) => void response.writeHead(200).write('{"clients":[')],
  ])('a list with %s ends when nothing comes any more', async (_, handler) => {
    const { client } = await clientWith(handler, { timeoutMs: 250 });
    const reply = { class: 'unknown', message: 'nothing arrived for 250 ms' };
    expect(await rejection(client.listClients('mcp-auth'))).toMatchObject({ reply });
  });

  test('a list may take longer than the deadline of a call, as long as something arrives', async () => {
    const text = JSON.stringify({ clients: [row()] });
    const { client } = await clientWith(
      (_, response) => {
        response.writeHead(200);
        let at = 0;
        const drip = setInterval(() => {
          at += 1;
          if (at > text.length) response.end();
          else response.write(text.slice(at - 1, at));
        }, 2);
        response.on('close', () => clearInterval(drip));
      },
      { timeoutMs: 500 },
    );
    expect((await client.listClients('mcp-auth')).clients).toEqual([OBSERVED]);
  });

  test('of an error page no more is read than says what it is', async () => {
    let written = 0;
    const { client } = await clientWith((_, response) => {
      response.writeHead(502, { 'content-type': 'text/html' });
      const page = Buffer.alloc(64 * 1024, '<p>Bad gateway</p>');
      const more = () => {
        while (!response.destroyed) {
          written += page.length;
          if (!response.write(page)) return void response.once('drain', more);
        }
      };
      more();
    });
    expect(await client.patchClient(REF, DOCUMENT)).toMatchObject({ class: 'unknown', status: 502 });
    expect(written).toBeLessThan(64 * 1024 * 1024);
  });

  test.each<[string, Handler, string]>([
    [
      'a page',
      (_, response) => void response.end('<html><title>Log in</title>'),
      'the answer is a page, and no JSON: Log in',
    ],
    ['nothing', (_, response) => void response.end(), 'the answer is empty'],
    ['an error', (_, response) => json(response, 200, { errors: [{ message: 'no' }] }), 'the answer is an error: no'],
    [
      'something encoded',
      (_, response) => void response.writeHead(200, { 'content-encoding': 'compress' }).end(JSON.stringify(row())),
      'the answer is encoded as compress, which rekeyd does not read',
    ],
  ])('a success that is %s is none', async (_, handler, message) => {
    const { client } = await clientWith(handler);
    expect(await client.patchClient(REF, DOCUMENT)).toMatchObject({ class: 'unknown', message });
  });

  test('waiting for a free connection counts', async () => {
    const { client } = await clientWith(() => {}, { timeoutMs: 250, connections: 1 });
    const replies = await Promise.all([client.patchClient(REF, DOCUMENT), client.patchClient(REF, DOCUMENT)]);
    expect(replies.map((reply) => reply.class)).toEqual(['unknown', 'unknown']);
  });

  test('a status that says no counts even when its body is cut off', async () => {
    const { client } = await clientWith((_, response) => {
      response.writeHead(400, { 'content-length': '1000' });
      response.write('bad alg', () => response.destroy());
    });
    expect(await client.patchClient(REF, DOCUMENT)).toEqual({ class: 'refused', status: 400, message: 'bad alg' });
  });

  test('a document over 1 MiB is cut off; a list may be larger', async () => {
    const clients = [row({ jwks: { keys: [{ kty: 'odd', x: 'x'.repeat(1024 * 1024) }] } })];
    const { client } = await clientWith((request, response) =>
      json(response, 200, request.method === 'PATCH' ? clients[0] : { clients }),
    );
    expect(await client.patchClient(REF, DOCUMENT)).toEqual({
      class: 'unknown',
      status: 200,
      message: 'the answer is larger than 1048576 bytes',
    });
    expect((await client.listClients('mcp-auth')).clients).toHaveLength(1);
  });

  test('a body that is not UTF-8: no document, but still an error text', async () => {
    const { client } = await clientWith(({ method }, response) => {
      response.writeHead(method === 'PATCH' ? 200 : 400).end(Buffer.from([0x22, 0xff, 0x22]));
    });
    const message = 'the answer is not UTF-8';
    expect(await client.patchClient(REF, DOCUMENT)).toEqual({ class: 'unknown', status: 200, message });
    expect(await rejection(client.listApps())).toMatchObject({ reply: { class: 'refused', message: '"\ufffd"' } });
  });

  test.each<[string, Handler, number | null]>([
    ['before the answer', (_, response) => void response.destroy(), null],
    [
      'in the body',
      (_, response) => {
        response.writeHead(200, { 'content-length': '1000' });
        response.write('{', () => response.destroy());
      },
      200,
    ],
  ])('a connection dropped %s', async (_, handler, status) => {
    const { client } = await clientWith(handler);
    expect(await client.patchClient(REF, DOCUMENT)).toMatchObject({ class: 'unknown', status });
  });

  test('nobody listens', async () => {
    const client = clientOf(await deadOrigin());
    expect(await client.patchClient(REF, DOCUMENT)).toMatchObject({
      class: 'unknown',
      status: null,
      message: expect.stringContaining('ECONNREFUSED'),
    });
  });

  test('the caller aborts a call under way, or before it', async () => {
    const abort = new AbortController();
    const { client, server } = await clientWith(() => abort.abort(new Error(`not ${API_KEY}`)));
    const aborted = { class: 'unknown', status: null, message: 'aborted by the caller' };
    expect(await client.patchClient(REF, DOCUMENT, abort.signal)).toEqual(aborted);
    expect(await client.patchClient(REF, DOCUMENT, abort.signal)).toEqual(aborted);
    expect(server.requests.length).toBe(1);
  });
});

describe('the clock', () => {
  test.each([
    'Thu, 05 Nov 2026 12:01:30 GMT',
    // Obsolete, and a recipient has to read them (RFC 9110 section 5.6.7).
    'Thursday, 05-Nov-26 12:01:30 GMT',
    'Thu Nov  5 12:01:30 2026',
  ])('skew is the server’s Date against ours: %s', async (date) => {
    const clock = { now: () => Date.UTC(2026, 10, 5, 12, 0, 0) };
    const { client } = await clientWith((_, response) => json(response, 500, {}, { date }), { clock });
    expect(client.clockSkewMs()).toBeNull();
    await client.patchClient(REF, DOCUMENT);
    expect(client.clockSkewMs()).toBe(90_500);
  });
});

test('every request is told to the observer', async () => {
  const seen: RequestInfo[] = [];
  const { client } = await clientWith((_, response) => json(response, 409, {}), {
    onRequest: (info) => seen.push(info),
  });
  await client.patchClient(REF, DOCUMENT);
  const path = '/deployments/185019846023/oauth/apps/mcp-auth/clients/9007199254740993';
  expect(seen).toEqual([{ method: 'PATCH', path, status: 409, durationMs: expect.any(Number) }]);
});

describe('the API key stays out of sight', () => {
  const everything = (value: unknown) =>
    inspect(value, { depth: Infinity, showHidden: true, maxStringLength: Infinity });
  const echo = (status: number, text: (key: string) => string): Handler => {
    return ({ headers }, response) => void response.writeHead(status).end(text(headers.authorization ?? ''));
  };
  test.each<[string, Handler]>([
    ['an error that repeats it', echo(400, (key) => JSON.stringify({ errors: [{ message: `bad ${key}` }] }))],
    ['an error page that repeats it where the message is cut', echo(502, (key) => `${'x'.repeat(280)} ${key}`)],
    ['a page with 200', echo(200, (key) => `<html>${key}</html>`)],
    ['a client with an odd id', echo(200, (key) => JSON.stringify(row({ id: { key } })))],
    ['a dropped connection', (_, response) => void response.destroy()],
    ['silence', () => {}],
  ])('%s', async (_, handler) => {
    const { client } = await clientWith(handler, { timeoutMs: 250 });
    const failures = [await client.patchClient(REF, DOCUMENT), await rejection(client.listClients('mcp-auth')), client];
    expect(everything(failures)).not.toMatch(/wacht_sk|0123/);
  });

  test.each([
    ['a line break at its end', `${API_KEY}\n`],
    ['a space', `${API_KEY} x`],
    ['not ASCII', `${API_KEY}é`],
    ['empty', ''],
  ])('%s: refused at once, and not shown', (_, key) => {
    let error: unknown;
    try {
      clientOf('http://127.0.0.1:1', { apiKey: { reveal: () => key } });
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({ code: 'config' });
    expect(everything(error)).not.toMatch(/wacht_sk|0123/);
  });
});
