/**
 * Entries as syslog messages (RFC 5424) over TLS (RFC 5425) or TCP (RFC 6587), with octet counting. Syslog has no acknowledgement. A batch counts as received
 * when the server did not hang up while it was sent, and then closed the connection without an error, or kept it open for {@link LINGER_MS}.
 */
import { once } from 'node:events';
import { connect, isIP, type Socket } from 'node:net';
import { hostname } from 'node:os';
import { connect as connectTls, getCACertificates } from 'node:tls';
import type { AuditExportConfig } from '../../config/telling.ts';
import { messageOf } from '../../errors.ts';
import { after, sleep } from '../../time.ts';
import type { Batch, ExportLine, StreamExport } from './export.ts';

type SyslogConfig = Extract<AuditExportConfig, { kind: 'syslog' }>;

const TIMEOUT_MS = 30_000;
const LINGER_MS = 5_000;

/** A server that hangs up at once is noticed within this time, in ms. */
const NOTICE_MS = 100;

/** Facility 13 (log audit), severity 6 (informational). */
const PRIORITY = 13 * 8 + 6;

export function syslogExport(config: SyslogConfig): StreamExport {
  const { name, id, host, port } = config;
  return {
    kind: 'stream',
    name,
    id,
    async send(batch, signal) {
      try {
        await deliver(config, batch, AbortSignal.any([signal, after(TIMEOUT_MS)]));
      } catch (error) {
        if (signal.aborted) throw error;
        throw new Error(`${host}:${port}: ${messageOf(error)}`, { cause: error });
      }
    },
    async close() {},
  };
}

/** A connection for each batch: on one that stays open, a server that went away is noticed only by what comes after what it lost. */
async function deliver(config: SyslogConfig, batch: Batch, signal: AbortSignal): Promise<void> {
  const socket = open(config);
  const closed = Promise.withResolvers<void>();
  socket.on('error', closed.reject);
  socket.on('close', () => closed.resolve());
  socket.resume(); // a server that closes is noticed only by who reads
  const onAbort = () => socket.destroy(new Error(`not taken within ${TIMEOUT_MS / 1000} s`));
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await Promise.race([once(socket, config.tls ? 'secureConnect' : 'connect'), failed(closed.promise)]);
    const host = hostname();
    const text = Buffer.concat(batch.map((line) => framed(message(line, host))));
    const sent = new Promise<void>((resolve) => socket.write(text, () => resolve()));
    await Promise.race([sent.then(() => sleep(NOTICE_MS)), failed(closed.promise)]);
    socket.end();
    const given = new AbortController();
    await Promise.race([closed.promise, sleep(LINGER_MS, given.signal)]).finally(() => given.abort());
  } finally {
    signal.removeEventListener('abort', onAbort);
    socket.destroy();
    closed.promise.catch(() => {}); // it was told, or comes after all was sent
  }
}

async function failed(closed: Promise<void>): Promise<never> {
  await closed;
  throw new Error('the server closed the connection before it took everything');
}

function open({ host, port, tls, authorities }: SyslogConfig): Socket {
  if (!tls) return connect({ host, port });
  const trusted = authorities.length === 0 ? {} : { ca: [...getCACertificates('default'), ...authorities] };
  return connectTls({ host, port, ...(isIP(host) === 0 && { servername: host }), ...trusted });
}

/** RFC 5424 section 6. The message is UTF-8 without a BOM (MSG-ANY), as readers of JSON want it. */
function message({ seq, time, type, text }: ExportLine, host: string): string {
  // RFC 5424 section 7.3.1: from 1 to 2147483647, then from 1 again.
  const sequence = ((seq - 1) % 2_147_483_647) + 1;
  return `<${PRIORITY}>1 ${time} ${printable(host, 255)} rekeyd - ${printable(type, 32)} [meta sequenceId="${sequence}"] ${text}`;
}

/** RFC 5425 section 4.3: the length in octets, a blank, the message. */
function framed(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.from(`${bytes.length} `), bytes]);
}

function printable(text: string, most: number): string {
  return text.replaceAll(/[^\x21-\x7e]/g, '_').slice(0, most) || '-';
}
