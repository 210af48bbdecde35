/**
 * Tells a monitor again and again that all is well, or what is not (`alerts.heartbeat`). The monitor raises the alarm when it hears nothing: so it notices
 * also what this process cannot tell, such as its own end.
 */
import type { HeartbeatConfig } from '../config/telling.ts';
import { messageOf } from '../errors.ts';
import { exchange } from '../net/exchange.ts';
import { openPool } from '../net/pool.ts';
import type { Log } from '../rotation/resources.ts';
import { monotonic, sleep, systemClock } from '../time.ts';

export interface HeartbeatOptions {
  /** Of the config in force; null: nobody is told. */
  readonly config: () => HeartbeatConfig | null;
  /** What is not well, a line for each. Null: it is not known yet, and nothing is told. */
  readonly troubles: () => Promise<readonly string[] | null>;
  readonly log: Log;
}

const TIMEOUT_MS = 10_000;

/** How soon a monitor of a new config is told, in ms: `every` of the one before may be a day. */
const LOOK_MS = 2_000;

/** @returns what stops it */
export function startHeartbeat({ config, troubles, log }: HeartbeatOptions): () => void {
  const ended = new AbortController();
  let problem: string | null = null;

  async function beat(to: HeartbeatConfig): Promise<void> {
    const found = await troubles().catch((error: unknown) => [messageOf(error)]);
    if (found === null || ended.signal.aborted) return;
    const before = problem;
    problem = await push(to, found, ended.signal);
    if (ended.signal.aborted || problem === before) return;
    if (problem === null) log.info({}, 'alerts.heartbeat: the monitor is told again');
    else log.warn({ error: problem }, 'alerts.heartbeat: the monitor cannot be told, and may raise an alarm');
  }

  async function run(): Promise<void> {
    let last: HeartbeatConfig | null = null;
    let dueAt = 0;
    while (!ended.signal.aborted) {
      const to = config();
      if (to !== null && (to !== last || monotonic() >= dueAt)) {
        await beat(to);
        dueAt = monotonic() + to.everyMs;
      }
      last = to;
      await sleep(to === null ? LOOK_MS : Math.min(LOOK_MS, dueAt - monotonic()), ended.signal);
    }
  }
  void run();
  return () => ended.abort();
}

/** @returns why the monitor was not told; null when it was. Never with the URL, which is a secret. */
async function push(
  { url, route }: HeartbeatConfig,
  found: readonly string[],
  signal: AbortSignal,
): Promise<string | null> {
  const { origin, pathname, search } = new URL(url.reveal());
  const path = found.length === 0 ? pathname : `${pathname.replace(/\/$/, '')}/fail`;
  const pool = openPool(origin, { ...route, connections: 1, timeoutMs: TIMEOUT_MS });
  try {
    const answer = await exchange(pool, {
      ...{ method: 'POST', path: `${path}${search}`, timeoutMs: TIMEOUT_MS, maxBytes: 64 * 1024, signal },
      headers: { 'content-type': 'text/plain; charset=utf-8', 'user-agent': 'rekeyd' },
      body: found.length === 0 ? 'all is well' : found.join('\n'),
      now: systemClock.now,
    });
    if (answer.kind === 'lost') return answer.message;
    return answer.status >= 200 && answer.status < 300 ? null : `it answers ${answer.status}`;
  } finally {
    await pool.close();
  }
}
