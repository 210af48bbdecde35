/** What a caller can do to a listener without a token: send slowly, send much, hold many connections. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type HttpServer, startHttp } from '../../src/http/server.ts';
import { createLog } from '../../src/runtime/log.ts';
import { until } from '../support/until.ts';

const LIMITS = { headersMs: 400, requestMs: 800 };
let server: HttpServer;
const sockets: Socket[] = [];

beforeAll(async () => {
  const log = createLog({ level: 'silent' });
  const config = { listen: { host: '127.0.0.1', port: 0 }, publicListen: null, tls: null };
  server = await startHttp({ config, ready: async () => null, log, limits: LIMITS });
});
afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  await server.close();
});

function open(): Socket {
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
  socket.on('error', () => {}); // that it is cut off is what a test looks for
  sockets.push(socket);
  return socket;
}

async function answerTo(socket: Socket): Promise<string> {
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk;
  });
  await once(socket, 'close');
  return text;
}

function isProblem(answer: string, status: number): boolean {
  const [head = '', body = ''] = answer.split('\r\n\r\n');
  return head.includes('content-type: application/problem+json') && JSON.parse(body).status === status;
}

test.each([
  ['its headers', 'GET /livez HTTP/1.1\r\nhost: x\r\n'],
  ['its body', 'POST /livez HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 100\r\n\r\nabc'],
  ['nothing at all', ''],
])('a client that is slow with %s is cut off', async (_, sent) => {
  const socket = open();
  socket.write(sent);
  const text = await answerTo(socket);
  expect(text === '' || (text.startsWith('HTTP/1.1 408') && isProblem(text, 408))).toBe(true);
});

test.each([
  ['headers larger than the limit', `GET /livez HTTP/1.1\r\nhost: x\r\nx-long: ${'x'.repeat(17 * 1024)}\r\n\r\n`, 431],
  ['what is no HTTP', 'hello\r\n\r\n', 400],
])('%s are refused with a problem document', async (_, sent, status) => {
  const socket = open();
  socket.write(sent);
  const text = await answerTo(socket);
  expect(text).toContain(`HTTP/1.1 ${status}`);
  expect(isProblem(text, status), text).toBe(true);
});

test('a thousand connections that say nothing keep nobody else from an answer, and are cut off', async () => {
  const idle = Array.from({ length: 1_000 }, open);
  await Promise.all(idle.map((socket) => once(socket, 'connect')));
  for (const socket of idle) socket.resume();
  const response = await fetch(`${server.url}/livez`);
  expect(response.status).toBe(200);
  await until('all are cut off', () => idle.every(({ closed }) => closed), 20_000);
});
