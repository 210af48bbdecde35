/** The log: one JSON line per event on stderr. Secrets are opaque values; the redaction here is the second line, not the first. */
import { type DestinationStream, type Logger, pino } from 'pino';

export type Log = Logger;

const REDACTED = [
  'authorization',
  'api_key',
  'apiKey',
  'password',
  'jwe',
  'client_assertion',
  'd',
  'p',
  'q',
  'dp',
  'dq',
  'qi',
  'k',
];

export interface LogOptions {
  readonly level: string;
  /** Where lines go; stderr when absent, since stdout belongs to `--json`. */
  readonly destination?: DestinationStream;
}

export function createLog({ level, destination }: LogOptions): Log {
  return pino(
    {
      level,
      base: { service: 'rekeyd' },
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: { paths: REDACTED.flatMap((name) => [name, `*.${name}`]), censor: '[redacted]' },
      formatters: { level: (label) => ({ level: label }) },
    },
    destination ?? pino.destination({ dest: 2, sync: true }),
  );
}
