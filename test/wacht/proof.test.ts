import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { getCACertificates, setDefaultCACertificates, type TLSSocket } from 'node:tls';
import { inspect } from 'node:util';
import { decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import type { Algorithm } from '../../src/core/keys.ts';
import { generateKey } from '../../src/keys/generate.ts';
import { createProver, type ProofRequest, type ProverOptions } from '../../src/wacht/proof.ts';
import { expectNothingOf } from '../support/hidden.ts';
import { deadOrigin, type Handler, json, type SeenRequest, serve } from './serve.ts';

/** For auth.example.com, 2020 to 2120, self-signed. Made for this test, and used nowhere else. */
const TLS_KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgq5vmfUjkKXHmXjo5
JvN9QJpE7yoowowAZqO5N8q6qCShRANCAAQWrQ4ZtrjM6qxhdPs1CCF9XQZA9OyM
ZFUJRLyGhW/vdmOvmiBt/soQU7oIqgYruKfQI0fsPpf5A13c0LrqKCTo
-----END PRIVATE KEY-----`;
const TLS_CERT = `-----BEGIN CERTIFICATE-----
MIIBcjCCARmgAwIBAgIBATAKBggqhkjOPQQDAjAbMRkwFwYDVQQDDBBhdXRoLmV4
YW1wbGUuY29tMCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAbMRkw
FwYDVQQDDBBhdXRoLmV4YW1wbGUuY29tMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcD
QgAEFq0OGba4zOqsYXT7NQghfV0GQPTsjGRVCUS8hoVv73Zjr5ogbf7KEFO6CKoG
K7in0CNH7D6X+QNd3NC66igk6KNMMEowGwYDVR0RBBQwEoIQYXV0aC5leGFtcGxl
LmNvbTAMBgNVHRMEBTADAQH/MB0GA1UdDgQWBBTq5MZr/eMA8O87mhE9YRRKnBu2
gzAKBggqhkjOPQQDAgNHADBEAiArkGnFvAMHodKKbxR6dEMG3ib9aiZ6U0eXCyp2
faBt7AIgLF2wqIOHFqyewUSmX+gLxCQToQzaI5XgWDyzxRu1lV4=
-----END CERTIFICATE-----`;

const ISSUER = 'http://auth.example.com';
const NOW = Date.UTC(2026, 10, 5, 12, 0, 0);
const HOUR = 3_600_000;
const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });

function requestOf(more: Partial<ProofRequest> = {}): ProofRequest {
  return {
    issuer: ISSUER,
    clientId: 'oc_1',
    alg: 'ES256',
    kid: 'k1',
    privateKey: pair.privateKey,
    nowMs: NOW,
    ...more,
  };
}

function proverOf(options: Partial<ProverOptions>) {
  const prover = createProver({ resolve: {}, timeoutMs: 30_000, generateKey, ...options });
  onTestFinished(() => prover.close());
  return prover;
}

async function proverWith(handler: Handler, options: Partial<ProverOptions> = {}) {
  const server = await serve(handler);
  return { server, prover: proverOf({ resolve: { 'auth.example.com': server.origin }, ...options }) };
}

/** Checks an assertion as Wacht does, on the clock given in ms since the epoch, and shows that clock in \`Date\`. */
function authorizationServer(publicKey: KeyObject, clock: () => number): Handler {
  return async (request, response) => {
    const currentDate = new Date(clock());
    const date = currentDate.toUTCString();
    const audience = `http://${request.headers.host}${request.url}`;
    try {
      await jwtVerify(assertionOf(request), publicKey, {
        issuer: 'oc_1',
        subject: 'oc_1',
        audience,
        requiredClaims: ['iat', 'exp', 'jti'],
        currentDate,
        clockTolerance: 60,
        maxTokenAge: 300,
      });
      json(response, 200, { active: false }, { date });
    } catch (error) {
      if (inspect(error).includes('ERR_JWS_SIGNATURE')) {
        json(
          response,
          400,
          { error: 'invalid_request', error_description: 'Invalid token: InvalidSignature' },
          { date },
        );
      } else json(response, 401, { error: 'invalid_client' }, { date });
    }
  };
}

/** The same for an issuer that is not asked whether it refuses a key that nobody registered: it does. */
function unlessThrownAway(handler: Handler): Handler {
  return (request, response) => {
    if (decodeProtectedHeader(assertionOf(request)).kid === 'k1') return handler(request, response);
    json(response, 400, { error: 'invalid_request', error_description: 'Invalid token: InvalidSignature' });
  };
}

const accepting = unlessThrownAway((_, response) => json(response, 200, { active: false }));

/** Without the one with a throw-away key. */
function proofsOf({ requests }: { readonly requests: readonly SeenRequest[] }): readonly SeenRequest[] {
  return requests.filter((request) => decodeProtectedHeader(assertionOf(request)).kid === 'k1');
}

function assertionOf(request: SeenRequest): string {
  return new URLSearchParams(request.body).get('client_assertion') ?? '';
}

describe('the assertion', () => {
  test('says what RFC 7523 asks for, in a form, to the introspection endpoint', async () => {
    const { prover, server } = await proverWith(authorizationServer(pair.publicKey, () => NOW));
    expect(await prover.prove(requestOf())).toEqual({ verdict: 'accepted' });
    const [request] = server.requests;
    if (request === undefined) return expect.unreachable();
    expect(request).toMatchObject({
      method: 'POST',
      url: '/oauth/introspect',
      headers: { host: 'auth.example.com', 'content-type': 'application/x-www-form-urlencoded' },
    });
    expect(Object.fromEntries(new URLSearchParams(request.body))).toEqual({
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: expect.any(String),
      client_id: 'oc_1',
      token: expect.stringMatching(/^[0-9a-f-]{36}$/),
    });
    expect(decodeProtectedHeader(assertionOf(request))).toEqual({ alg: 'ES256', kid: 'k1', typ: 'JWT' });
    const iat = NOW / 1000;
    expect(decodeJwt(assertionOf(request))).toEqual({
      iss: 'oc_1',
      sub: 'oc_1',
      aud: 'http://auth.example.com/oauth/introspect',
      jti: expect.any(String),
      iat: expect.toSatisfy((value: number) => value >= iat && value < iat + 60),
      exp: expect.any(Number),
    });
    const { exp = 0, iat: issued = 0 } = decodeJwt(assertionOf(request));
    expect(exp - issued).toBe(60);
  });

  test('is a fresh one each time', async () => {
    const { prover, server } = await proverWith(authorizationServer(pair.publicKey, () => NOW));
    await prover.prove(requestOf());
    await prover.prove(requestOf());
    expect(new Set(proofsOf(server).map((request) => decodeJwt(assertionOf(request)).jti)).size).toBe(2);
  });

  const keys: [Algorithm, () => { publicKey: KeyObject; privateKey: KeyObject }][] = [
    ['RS256', () => generateKeyPairSync('rsa', { modulusLength: 2048 })],
    ['PS512', () => generateKeyPairSync('rsa', { modulusLength: 2048 })],
    ['ES384', () => generateKeyPairSync('ec', { namedCurve: 'P-384' })],
    ['ES512', () => generateKeyPairSync('ec', { namedCurve: 'P-521' })],
    ['EdDSA', () => generateKeyPairSync('ed25519')],
  ];
  test.each(keys)('is signed with %s', async (alg, generate) => {
    const { publicKey, privateKey } = generate();
    const { prover } = await proverWith(authorizationServer(publicKey, () => NOW));
    expect(await prover.prove(requestOf({ alg, privateKey }))).toEqual({ verdict: 'accepted' });
  });

  test('another key is refused, and not for its claims', async () => {
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const { prover, server } = await proverWith(authorizationServer(publicKey, () => NOW));
    const message = 'invalid_request: Invalid token: InvalidSignature';
    expect(await prover.prove(requestOf())).toEqual({ verdict: 'refused', status: 400, claims: false, message });
    expect(server.requests.length).toBe(1);
  });

  test.each<[string, Partial<ProofRequest>]>([
    ['of another kind', { alg: 'RS256' }],
    ['that is public', { privateKey: pair.publicKey }],
  ])('a key %s is an error that shows no key', async (_, more) => {
    const { prover, server } = await proverWith(authorizationServer(pair.publicKey, () => NOW));
    const error: unknown = await prover.prove(requestOf(more)).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'key_invalid', message: expect.stringContaining('Key k1 cannot sign with') });
    const shown = inspect(error, { depth: Infinity, showHidden: true });
    expectNothingOf(pair.privateKey, shown);
    expect(shown).not.toContain('KeyObject');
    expect(inspect(new Error('planted', { cause: pair }), { depth: Infinity })).toContain('KeyObject');
    expect(server.requests).toEqual([]);
  });
});

describe('where it goes', () => {
  test('straight to the issuer, under its path, when nothing is mapped', async () => {
    const server = await serve(accepting);
    const issuer = `${server.origin}/tenant/`;
    expect(await proverOf({}).prove(requestOf({ issuer }))).toEqual({ verdict: 'accepted' });
    const [request] = server.requests;
    if (request === undefined) return expect.unreachable();
    expect(request).toMatchObject({ url: '/tenant/oauth/introspect', headers: { host: `127.0.0.1:${server.port}` } });
    expect(decodeJwt(assertionOf(request)).aud).toBe(`${server.origin}/tenant/oauth/introspect`);
  });

  test('an https issuer mapped to an http origin keeps its audience and Host', async () => {
    const { prover, server } = await proverWith(accepting);
    expect(await prover.prove(requestOf({ issuer: 'https://auth.example.com' }))).toEqual({ verdict: 'accepted' });
    const [request] = server.requests;
    if (request === undefined) return expect.unreachable();
    expect(request.headers.host).toBe('auth.example.com');
    expect(decodeJwt(assertionOf(request)).aud).toBe('https://auth.example.com/oauth/introspect');
  });

  test('two issuers behind one address are told apart', async () => {
    const server = await serve(accepting);
    const prover = proverOf({ resolve: { 'a.example': server.origin, 'b.example:8443': server.origin } });
    await prover.prove(requestOf({ issuer: 'http://a.example' }));
    await prover.prove(requestOf({ issuer: 'http://b.example:8443' }));
    expect(proofsOf(server).map((request) => request.headers.host)).toEqual(['a.example', 'b.example:8443']);
  });

  test('over TLS the name asked for, and the name on the certificate, is the issuer’s', async () => {
    const before = getCACertificates('default');
    setDefaultCACertificates([...before, TLS_CERT]);
    onTestFinished(() => setDefaultCACertificates(before));
    const seen: unknown[] = [];
    const server = createServer({ key: TLS_KEY, cert: TLS_CERT }, (request, response) => {
      const { servername } = request.socket as TLSSocket; // an https server's sockets are
      seen.push({ servername, host: request.headers.host });
      const refusal = { error: 'invalid_request', error_description: 'Invalid token: InvalidSignature' };
      json(response, seen.length === 1 ? 200 : 400, seen.length === 1 ? { active: false } : refusal);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    const { port } = server.address() as AddressInfo; // listens on TCP
    const origin = `https://127.0.0.1:${port}`;
    const prover = proverOf({ resolve: { 'auth.example.com': origin, 'other.example.com': origin } });
    expect(await prover.prove(requestOf({ issuer: 'https://auth.example.com' }))).toEqual({ verdict: 'accepted' });
    const name = { servername: 'auth.example.com', host: 'auth.example.com' };
    expect(seen).toEqual([name, name]);
    const other = await prover.prove(requestOf({ issuer: 'https://other.example.com' }));
    expect(other).toMatchObject({
      verdict: 'unknown',
      status: null,
      message: expect.stringContaining('other.example.com'),
    });
  });
});

describe('a key that nobody registered', () => {
  test('is shown again after an hour: an issuer that has begun to accept everything proves nothing any more', async () => {
    let acceptsAll = false;
    const all: Handler = (_, response) => json(response, 200, { active: false });
    const { prover, server } = await proverWith((request, response) =>
      (acceptsAll ? all : accepting)(request, response),
    );
    expect(await prover.prove(requestOf())).toEqual({ verdict: 'accepted' });
    expect(await prover.prove(requestOf())).toEqual({ verdict: 'accepted' });
    expect(server.requests).toHaveLength(3);
    acceptsAll = true;
    const later = performance.now() + HOUR;
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => later);
    onTestFinished(() => clock.mockRestore());
    expect(await prover.prove(requestOf())).toMatchObject({ verdict: 'unknown' });
  });

  test('is shown to each issuer once, before anything counts as proven there', async () => {
    const { prover, server } = await proverWith(authorizationServer(pair.publicKey, () => NOW));
    for (let proof = 0; proof < 3; proof += 1) expect(await prover.prove(requestOf())).toEqual({ verdict: 'accepted' });
    expect([server.requests.length, proofsOf(server).length]).toEqual([4, 3]);
  });

  test('is accepted: then nothing is proven', async () => {
    const { prover, server } = await proverWith((_, response) => json(response, 200, { active: false }));
    for (const requests of [2, 4]) {
      const message = expect.stringContaining('accepts a key that nobody registered');
      expect(await prover.prove(requestOf())).toEqual({ verdict: 'unknown', status: null, message });
      expect(server.requests.length).toBe(requests);
    }
  });

  test('gets no answer: then nothing is proven yet', async () => {
    let isAway = true;
    const { prover } = await proverWith((request, response) => {
      const isOurs = decodeProtectedHeader(assertionOf(request)).kid === 'k1';
      if (isOurs || !isAway) return unlessThrownAway(accepting)(request, response);
      json(response, 503, {});
    });
    expect(await prover.prove(requestOf())).toMatchObject({ verdict: 'unknown', status: 503 });
    isAway = false;
    expect(await prover.prove(requestOf())).toEqual({ verdict: 'accepted' });
  });

  test('meets a 429: the proof waits', async () => {
    const { prover } = await proverWith((request, response) => {
      if (decodeProtectedHeader(assertionOf(request)).kid === 'k1') return accepting(request, response);
      json(response, 429, {}, { 'retry-after': '3' });
    });
    expect(await prover.prove(requestOf())).toMatchObject({ verdict: 'throttled', retryAfterMs: 3_000 });
  });

  test('is of the alg that is proven', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
    const { prover, server } = await proverWith(authorizationServer(publicKey, () => NOW));
    await prover.prove(requestOf({ alg: 'ES384', privateKey }));
    const algs = server.requests.map((request) => decodeProtectedHeader(assertionOf(request)).alg);
    expect(algs).toEqual(['ES384', 'ES384']);
  });

  test('is as urgent as the proof', async () => {
    const asked: unknown[] = [];
    const { prover } = await proverWith(
      authorizationServer(pair.publicKey, () => NOW),
      {
        generateKey(alg, options) {
          asked.push(options?.urgent);
          return generateKey(alg, options);
        },
      },
    );
    await prover.prove(requestOf({ urgent: true }));
    await prover.prove(requestOf({ issuer: `${ISSUER}/other` }));
    expect(asked).toEqual([true, false]);
  });
});

describe('a clock that is wrong', () => {
  test('is corrected by the server’s Date and tried once more, and then known', async () => {
    const { prover, server } = await proverWith(authorizationServer(pair.publicKey, () => NOW + HOUR));
    expect(prover.serverClockSkewMs(ISSUER)).toBeNull();
    expect(await prover.prove(requestOf())).toEqual({ verdict: 'accepted' });
    expect(proofsOf(server).length).toBe(2);
    expect(Math.abs((prover.serverClockSkewMs(ISSUER) ?? 0) - HOUR)).toBeLessThan(60_000);
    expect(await prover.prove(requestOf())).toEqual({ verdict: 'accepted' });
    expect(proofsOf(server).length).toBe(3);
  });

  test('and set right later does not stay corrected', async () => {
    const { prover, server } = await proverWith(authorizationServer(pair.publicKey, () => NOW + HOUR));
    await prover.prove(requestOf());
    expect(await prover.prove(requestOf({ nowMs: NOW + HOUR }))).toEqual({ verdict: 'accepted' });
    expect(proofsOf(server).length).toBe(4);
  });

  test('a client that is refused for another reason is not tried again', async () => {
    const { prover, server } = await proverWith(authorizationServer(pair.publicKey, () => NOW));
    const verdict = await prover.prove(requestOf({ clientId: 'oc_2' }));
    expect(verdict).toEqual({ verdict: 'refused', status: 401, claims: true, message: 'invalid_client' });
    expect(server.requests.length).toBe(1);
  });

  test('is tried again once only', async () => {
    const { prover, server } = await proverWith((_, response) =>
      json(
        response,
        401,
        { error: 'invalid_client' },
        { date: new Date(NOW + HOUR * server.requests.length).toUTCString() },
      ),
    );
    expect(await prover.prove(requestOf())).toMatchObject({ verdict: 'refused', claims: true });
    expect(server.requests.length).toBe(2);
  });
});

describe('a server that says nothing about the key', () => {
  test.each<[string, Handler]>([
    ['no headers', () => {}],
    ['a body that stalls', (_, response) => void response.writeHead(200).write('{"active":')],
  ])('%s: the deadline ends it', async (_, handler) => {
    const { prover } = await proverWith(handler, { timeoutMs: 250 });
    expect(await prover.prove(requestOf())).toMatchObject({
      verdict: 'unknown',
      message: 'no complete answer within 250 ms',
    });
  });

  test.each<[string, Handler, number | null, string]>([
    [
      'an answer over 64 KiB',
      (_, response) => json(response, 200, { active: false, x: 'x'.repeat(65_536) }),
      200,
      'larger than 65536',
    ],
    ['a redirect', (_, response) => json(response, 302, {}, { location: '/oauth/introspect' }), 302, '{}'],
    ['a dropped connection', (_, response) => void response.destroy(), null, ''],
  ])('%s', async (_, handler, status, text) => {
    const { prover, server } = await proverWith(handler);
    const message = expect.stringContaining(text);
    expect(await prover.prove(requestOf())).toEqual({ verdict: 'unknown', status, message });
    expect(server.requests.length).toBe(1);
  });

  test('nobody listens', async () => {
    const prover = proverOf({ resolve: { 'auth.example.com': await deadOrigin() } });
    expect(await prover.prove(requestOf())).toMatchObject({ verdict: 'unknown', status: null });
  });

  test('the caller aborts', async () => {
    const abort = new AbortController();
    const { prover } = await proverWith(() => abort.abort());
    expect(await prover.prove(requestOf(), abort.signal)).toEqual({
      verdict: 'unknown',
      status: null,
      message: 'aborted by the caller',
    });
  });

  test('throttled', async () => {
    const { prover } = await proverWith((_, response) => json(response, 429, {}, { 'retry-after': '3' }));
    expect(await prover.prove(requestOf())).toMatchObject({ verdict: 'throttled', retryAfterMs: 3_000 });
  });

  test('an error page that repeats the assertion', async () => {
    const { prover, server } = await proverWith((request, response) => {
      response.writeHead(400).end(`bad form: ${assertionOf(request)}`);
    });
    const verdict = await prover.prove(requestOf());
    expect(verdict).toEqual({ verdict: 'unknown', status: 400, message: 'bad form: [client assertion]' });
    expect(server.requests.length).toBe(1);
  });
});
