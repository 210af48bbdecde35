import { get } from 'node:https';
import { listenAddressOf } from '../config/listen.ts';
import { messageOf, RekeydError } from '../errors.ts';
import { exchange } from '../net/exchange.ts';
import { openPool } from '../net/pool.ts';
import { systemClock } from '../time.ts';
import type { Globals } from './open.ts';
import { note, print } from './output.ts';

/** A worker that is alive answers at once. */
const PATIENCE_MS = 3_000;

const MOST_BYTES = 64 * 1024;

/**
 * Asks the worker of this config, on this machine, whether it lives: for the health check of a container, whatever port it listens on.
 * @returns 0 when it answers, else 1
 */
export async function health({ file }: Globals): Promise<number> {
  const { host, port, setting, isTls } = await listenAddressOf(file);
  if (port === 0)
    throw new RekeydError(
      'config',
      `${file}: ${setting} leaves the port open, so that it is not known where to ask. Name one.`,
    );
  const url = `${isTls ? 'https' : 'http'}://${reachable(host)}:${port}`;
  const why = await (isTls ? obstacleOverTls(url) : obstacle(url));
  if (why === null) print(`The worker at ${url} lives.`);
  else note(`No healthy worker answers at ${url}: ${why}. \`rekeyd start\` says why it does not start.`);
  return why === null ? 0 : 1;
}

/** Null: it lives. */
async function obstacle(url: string): Promise<string | null> {
  const pool = openPool(url, { connections: 1, timeoutMs: PATIENCE_MS });
  try {
    const answer = await exchange(pool, {
      ...{ method: 'GET', path: '/livez', headers: {}, body: null, signal: undefined },
      ...{ timeoutMs: PATIENCE_MS, maxBytes: MOST_BYTES, now: systemClock.now },
    });
    if (answer.kind === 'lost') return answer.message;
    return answer.status === 200 ? null : `it answers ${answer.status}`;
  } finally {
    await pool.close();
  }
}

/** The certificate is for the name by which others call, and this asks no more than whether somebody answers. */
async function obstacleOverTls(url: string): Promise<string | null> {
  const { promise, resolve } = Promise.withResolvers<string | null>();
  const asked = get(`${url}/livez`, { rejectUnauthorized: false, timeout: PATIENCE_MS }, (answer) => {
    answer.resume();
    resolve(answer.statusCode === 200 ? null : `it answers ${answer.statusCode}`);
  });
  asked.on('timeout', () => asked.destroy(new Error(`no answer within ${PATIENCE_MS} ms`)));
  asked.on('error', (error) => resolve(messageOf(error)));
  return promise;
}

/** Who listens on every address also listens on this one. */
function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  if (host === '::') return '[::1]';
  return host.includes(':') ? `[${host}]` : host;
}
