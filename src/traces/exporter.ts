/** Sends spans to a collector. One that is away costs spans, and nothing else. */
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace';
import { exchange } from '../net/exchange.ts';
import { openPool, type Route } from '../net/pool.ts';
import { systemClock } from '../time.ts';
import { exportRequest, isTold, type Origin } from './otlp.ts';

export interface Collector {
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, { reveal(): string }>>;
  readonly route: Route;
}

const TIMEOUT_MS = 5_000;
const MOST_BYTES = 64 * 1024;

/** `ExportResultCode` of OpenTelemetry. */
const [DONE, FAILED] = [0, 1] as const;

/** @param onProblem told when the collector cannot be reached any more, and with null when it can */
export function openExporter(
  { endpoint, headers, route }: Collector,
  origin: Origin,
  onProblem: (problem: string | null) => void,
): SpanExporter {
  const { origin: server, pathname } = new URL(endpoint);
  const pool = openPool(server, { ...route, connections: 1, timeoutMs: TIMEOUT_MS });
  const ended = new AbortController();
  let problem: string | null = null;

  async function send(spans: readonly ReadableSpan[]): Promise<string | null> {
    const told = spans.filter(isTold);
    if (told.length === 0) return problem;
    const secrets = Object.entries(headers).map(([name, value]) => [name, value.reveal()] as const);
    const answer = await exchange(pool, {
      ...{ method: 'POST', path: pathname, timeoutMs: TIMEOUT_MS, maxBytes: MOST_BYTES, signal: ended.signal },
      headers: { ...Object.fromEntries(secrets), 'content-type': 'application/json', 'user-agent': 'rekeyd' },
      body: JSON.stringify(exportRequest(told, origin)),
      now: systemClock.now,
    });
    if (answer.kind === 'lost') return answer.message;
    return answer.status >= 200 && answer.status < 300 ? null : `it answers ${answer.status}`;
  }

  return {
    export(spans, done) {
      void send(spans)
        .catch(() => 'the spans could not be written')
        .then((found) => {
          if (found !== problem) onProblem(found);
          problem = found;
          done({ code: found === null ? DONE : FAILED });
        });
    },
    async shutdown() {
      ended.abort();
      await pool.close();
    },
  };
}
