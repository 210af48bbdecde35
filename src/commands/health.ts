import { listenAddressOf } from '../config/listen.ts';
import { RekeydError } from '../errors.ts';
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
  const { host, port } = await listenAddressOf(file);
  if (port === 0)
    throw new RekeydError(
      'config',
      `${file}: http.listen leaves the port open, so that it is not known where to ask. Name one.`,
    );
  const url = `http://${reachable(host)}:${port}`;
  const pool = openPool(url, { connections: 1, timeoutMs: PATIENCE_MS });
  try {
    const answer = await exchange(pool, {
      ...{ method: 'GET', path: '/livez', headers: {}, body: null, signal: undefined },
      ...{ timeoutMs: PATIENCE_MS, maxBytes: MOST_BYTES, now: systemClock.now },
    });
    if (answer.kind === 'answered' && answer.status === 200) {
      print(`The worker at ${url} lives.`);
      return 0;
    }
    const why = answer.kind === 'lost' ? answer.message : `it answers ${answer.status}`;
    note(`No healthy worker answers at ${url}: ${why}. \`rekeyd start\` says why it does not start.`);
    return 1;
  } finally {
    await pool.close();
  }
}

/** Who listens on every address also listens on this one. */
function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  if (host === '::') return '[::1]';
  return host.includes(':') ? `[${host}]` : host;
}
