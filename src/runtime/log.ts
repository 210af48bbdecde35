/** The log: one JSON line per event on stderr, or one that a person can read. Secrets are opaque values; the redaction here is the second line, not the first. */
import { type DestinationStream, type Logger, pino } from 'pino';
import { openQuiet } from './quiet.ts';

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

/** Lines below that are never left out: they tell of work that was done. */
const WARN = 40;

export interface LogOptions {
  readonly level: string;
  /** Where lines go; stderr when absent, since stdout belongs to `--json`. */
  readonly destination?: DestinationStream;
}

export const LOG_FORMATS = ['json', 'pretty'] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

/** The log of this process, on stderr. Without a format: lines for a person where stderr is a terminal, else for a machine. */
export async function openLog(
  level: string,
  format: LogFormat = process.stderr.isTTY ? 'pretty' : 'json',
): Promise<Log> {
  if (format === 'json') return createLog({ level });
  const { prettyStderr } = await import('./pretty-log.ts');
  return createLog({ level, destination: prettyStderr() });
}

export function createLog({ level, destination }: LogOptions): Log {
  const quiet = openQuiet();
  return pino(
    {
      level,
      base: { service: 'rekeyd' },
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: { paths: REDACTED.flatMap((name) => [name, `*.${name}`]), censor: '[redacted]' },
      hooks: {
        logMethod(args, write, level) {
          const [fields, message]: readonly unknown[] = args;
          const missed = level < WARN ? 0 : quiet.leftOut(fields, message);
          if (missed === null) return;
          if (missed === 0 || typeof fields !== 'object') return write.apply(this, args);
          write.apply(this, [{ ...fields, left_out: missed }, String(message)]);
        },
      },
      formatters: { level: (label) => ({ level: label }) },
    },
    destination ?? pino.destination({ dest: 2, sync: true }),
  );
}
