import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { makeReference } from '../../src/core/client.ts';
import { generateKey } from '../../src/keys/generate.ts';
import { createWachtClient } from '../../src/wacht/client.ts';
import { createProver } from '../../src/wacht/proof.ts';
import { came, fuzz } from './cases.ts';

const API_KEY = 'wk_live_not_a_real_one';
const CLIENT = '{"id":"1","client_id":"c","client_auth_method":"private_key_jwt","is_active":true,"updated_at":"x"}';
const answer = (status: string, headers: string, body: string) =>
  `HTTP/1.1 ${status}\r\n${headers}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

/** Bytes as latin1 text. The server closes the connection behind them. */
const CORPUS = [
  '',
  'HTTP/1.1 200 OK\r\n\r\n',
  'HTTP/0.9 200 OK\r\n\r\n{}',
  'HTTP/1.1 99999 OK\r\n\r\n',
  'HTTP/1.1 100 Continue\r\n\r\n'.repeat(50),
  'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef',
  'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}',
  `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(100_000)}\r\n\r\n`,
  answer('200 OK', 'Date: nonsense\r\nRetry-After: -1\r\n', CLIENT),
  answer('200 OK', '', `{"data":${CLIENT}}`),
  answer('200 OK', '', '\xff\xfe{}'),
  answer('200 OK', '', '{"clients":[],"apps":[]}'),
  answer('302 Found', 'Location: http://127.0.0.1:1/\r\n', ''),
  answer('400 Bad Request', '', `{"errors":[{"message":"Bearer ${API_KEY}"}]}`),
  answer('429 Too Many', `Retry-After: ${'9'.repeat(300)}\r\n`, ''),
  answer('401 No', 'WWW-Authenticate: Bearer\r\n', '\0\u001b[31m'),
  answer('204 No Content', '', ''),
  answer('200 OK', '', '{"active":true}'),
  `${answer('200 OK', '', '{}')}${answer('200 OK', '', '{}')}`,
];

const piece = fc.constantFrom(
  'HTTP/1.1 ',
  '200',
  '204',
  '429',
  '500',
  ' OK',
  '\r\n',
  '\r\n\r\n',
  'Content-Length: ',
  'Transfer-Encoding: chunked',
  '5',
  '0',
  '{}',
  CLIENT,
  'Date: ',
  'Retry-After: ',
  '\0',
  '\xff',
  ':',
  'x'.repeat(9_000),
  API_KEY,
);
const bytes = fc.oneof(
  fc.array(piece, { maxLength: 14 }).map((pieces) => pieces.join('')),
  fc
    .tuple(fc.integer({ min: 0, max: 999 }), fc.string({ maxLength: 60 }), fc.string({ maxLength: 60 }))
    .map(([status, head, body]) => answer(`${status} x`, `X: ${head.replaceAll(/[^ -~]/g, '')}\r\n`, body)),
  fc
    .tuple(fc.constantFrom(...CORPUS), fc.nat(60), fc.nat(12), fc.string({ maxLength: 4 }))
    .map(([text, at, length, put]) => text.slice(0, at) + put + text.slice(at + length)),
);

/** Says to each request what `saying` is then, and hangs up. */
async function bluntServer() {
  const state = { saying: '' };
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('data', () => socket.end(Buffer.from(state.saying, 'latin1')));
    socket.on('close', () => sockets.delete(socket));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // listens on TCP
  afterAll(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { state, origin: `http://127.0.0.1:${port}` };
}

const { state, origin } = await bluntServer();
const wacht = createWachtClient({
  deployment: 'd',
  apiUrl: origin,
  urlStyle: 'flat',
  apiKey: { reveal: () => API_KEY },
  timeoutMs: 20_000,
  connections: 2,
  clock: { now: () => 0 },
});
const prover = createProver({ resolve: { 'auth.example.com': origin }, timeoutMs: 20_000, generateKey });
afterAll(async () => {
  await wacht.close();
  await prover.close();
});
const { privateKey, thumbprint: kid } = await generateKey('ES256');
const ref = makeReference('d', 'a', '1');

test('the API client makes something of any bytes, shows no API key, and takes nothing for done that is not a client', async () => {
  await fuzz(bytes, CORPUS, async (text) => {
    state.saying = text;
    const reply = await wacht.patchClient(ref, { public_key_pem: 'x', token_endpoint_auth_signing_alg: 'ES256' });
    if (reply.class === 'done') expect([reply.client.clientId, text.includes('"client_id"')]).toEqual(['c', true]);
    else expect(reply.message).not.toContain(API_KEY);
    const listed = await came(() => wacht.listClients('a'), [API_KEY]);
    if ('error' in listed) expect(listed.error).toMatchObject({ code: 'api_failed' });
    else expect(text).toContain('clients');
  });
});

test('a proof of any bytes is a verdict, and none but active: true or false means accepted', async () => {
  await fuzz(bytes, CORPUS, async (text) => {
    state.saying = text;
    const request = { issuer: 'http://auth.example.com', clientId: 'c', alg: 'ES256', kid, nowMs: 0 } as const;
    const { verdict } = await prover.prove({ ...request, privateKey: privateKey.keyObject() });
    if (verdict === 'accepted') expect(text).toMatch(/"active":(?:true|false)/);
    if (verdict === 'refused') expect(text).toMatch(/invalid_/);
  });
});
