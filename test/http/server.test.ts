import { afterAll, beforeAll, expect, test } from 'vitest';
import { type HttpServer, startHttp } from '../../src/http/server.ts';
import { createLog } from '../../src/runtime/log.ts';

let server: HttpServer;
let ready: () => Promise<string | null> = async () => null;
const lines: string[] = [];
const log = createLog({ level: 'debug', destination: { write: (line: string) => void lines.push(line) } });
const HERE = { publicListen: null, tls: null };
const ANYWHERE = { host: '127.0.0.1', port: 0 };

beforeAll(async () => {
  server = await startHttp({ config: { ...HERE, listen: ANYWHERE }, ready: () => ready(), log });
});
afterAll(() => server.close());

async function ask(path: string, init?: RequestInit) {
  const response = await fetch(`${server.url}${path}`, init);
  const type = response.headers.get('content-type')?.replace('; charset=utf-8', '');
  return { status: response.status, type, body: await response.json() };
}

/** RFC 9457: about:blank says no more than the status does, and so does its title (section 4.2.1). */
const problem = (status: number, title: string, detail: unknown = expect.any(String)) => ({
  status,
  type: 'application/problem+json',
  body: { type: 'about:blank', title, status, detail },
});

test.each(['/livez', '/readyz'])('%s of a service that works', async (path) => {
  expect(await ask(path)).toMatchObject({ status: 200, body: { status: 'ok' } });
});

test.each<[what: string, path: string, init: RequestInit, status: number, title: string]>([
  ['an unknown path', '/nowhere', {}, 404, 'Not Found'],
  ['an unknown method', '/livez', { method: 'DELETE' }, 404, 'Not Found'],
  ['a URL that cannot be decoded', '/%zz', {}, 400, 'Bad Request'],
  [
    'a body that is too large',
    '/livez',
    { method: 'POST', headers: { 'content-type': 'application/json' }, body: '0'.repeat((1 << 20) + 1) },
    413,
    'Payload Too Large',
  ],
])('%s is answered with a problem document', async (_what, path, init, status, title) => {
  expect(await ask(path, init)).toEqual(problem(status, title));
});

test('what stands in the way is the detail of a service that is not ready', async () => {
  ready = async () => 'Redis does not answer.';
  expect(await ask('/readyz')).toEqual(problem(503, 'Service Unavailable', 'Redis does not answer.'));
});

test.each([
  ['an error', new Error('connect to 10.0.0.7 with hunter2')],
  ['an error with a status of its own', Object.assign(new Error('hunter2'), { statusCode: 404, code: 'E' })],
  ['no error at all', 'hunter2'],
])('%s that is thrown is told to the log, and not to who asked', async (_what, thrown) => {
  ready = () => Promise.reject(thrown);
  const answer = await ask('/readyz');
  expect(answer).toEqual(problem(500, 'Internal Server Error'));
  expect(JSON.stringify(answer)).not.toContain('hunter2');
  expect(lines.at(-1)).toContain('a request failed');
});

test.each([
  [
    'a port that is taken',
    () => ({ port: Number(new URL(server.url).port) }),
    /another process listens there.*EADDRINUSE/,
  ],
  ['an address of another machine', () => ({ host: '192.0.2.1' }), /this machine has no such address.*EADDRNOTAVAIL/],
])('%s is told with what to do', async (_what, where, message) => {
  const options = { config: { ...HERE, listen: { ...ANYWHERE, ...where() } }, ready: async () => null, log };
  await expect(startHttp(options)).rejects.toMatchObject({ code: 'config', message: expect.stringMatching(message) });
});
