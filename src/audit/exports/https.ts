/** Entries as a POST of JSON Lines for each batch. */
import type { AuditExportConfig } from '../../config/telling.ts';
import { answerMessage } from '../../core/reply.ts';
import { exchange } from '../../net/exchange.ts';
import { openPool } from '../../net/pool.ts';
import { systemClock } from '../../time.ts';
import type { StreamExport } from './export.ts';

const TIMEOUT_MS = 30_000;
const MOST_BYTES = 64 * 1024;

/**
 * A batch that was not answered with 2xx is sent again as it was, so the number of its first entry tells a receiver whether it has it already.
 * @param storeId the numbers of another store mean other entries
 */
export function httpsExport(
  { name, id, url, token, route }: Extract<AuditExportConfig, { kind: 'https' }>,
  storeId: () => string,
): StreamExport {
  const { origin, pathname, search } = new URL(url);
  const pool = openPool(origin, { ...route, connections: 1, timeoutMs: TIMEOUT_MS });
  return {
    kind: 'stream',
    name,
    id,
    async send(batch, signal) {
      const [first, last] = [batch[0], batch.at(-1) ?? batch[0]];
      const answer = await exchange(pool, {
        ...{ method: 'POST', path: `${pathname}${search}`, timeoutMs: TIMEOUT_MS, maxBytes: MOST_BYTES, signal },
        headers: {
          'content-type': 'application/x-ndjson',
          'user-agent': 'rekeyd',
          'idempotency-key': `${storeId()}-${first.seq}`,
          'rekeyd-audit-first': String(first.seq),
          'rekeyd-audit-last': String(last.seq),
          ...(token !== null && { authorization: `Bearer ${token.reveal()}` }),
        },
        body: batch.map((line) => `${line.text}\n`).join(''),
        now: systemClock.now,
      });
      const { status } = answer;
      if (status !== null && status >= 200 && status < 300) return;
      const why = answer.kind === 'lost' ? answer.message : answerMessage({ ...answer, now: 0 });
      throw new Error(status === null ? `${origin}: ${why}` : `${origin} answers ${status}: ${why}`);
    },
    close: () => pool.close(),
  };
}
