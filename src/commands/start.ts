import { tellFirstLook } from '../../jobs/first-look.ts';
import { loadConfig } from '../config/load.ts';
import { formatProblem } from '../config/problems.ts';
import { messageOf, RekeydError } from '../errors.ts';
import { configWarnings } from '../forecast/fleet.ts';
import { exposuresOf } from '../runtime/exposure.ts';
import { LOG_FORMATS, type Log, type LogFormat, openLog } from '../runtime/log.ts';
import { type Service, startService } from '../runtime/service.ts';
import { threadsIn } from '../runtime/thread-pool.ts';
import { sleep } from '../time.ts';
import { awaitInterruption, type Globals } from './open.ts';

export interface StartOptions {
  readonly schedule: boolean;
  readonly http: boolean;
  readonly worker: boolean;
}

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];

/** Runs the service until SIGTERM or SIGINT, which may come while it still starts. */
export async function start(globals: Globals, { schedule, http, worker }: StartOptions): Promise<number> {
  const log = await openLog(levelOf(globals), formatOf(globals));
  const config = await loadConfig(globals.file, globals.env);
  for (const warning of config.warnings) log.warn({ file: config.file }, formatProblem(warning));
  for (const { path, message } of configWarnings(config)) log.warn({ file: config.file, setting: path }, message);
  for (const { path, why, fix } of await exposuresOf(config)) log.warn({ path, fix }, why);
  const { signal, release } = awaitInterruption(globals);
  try {
    const service = await startService(config, { log, schedule, http, worker, poolThreads: threadsIn(globals.env) });
    log.info({ schedule, http, worker }, 'started');
    if (!schedule) tellBeside(service, log, signal);
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    log.info({ signal: signal.reason, grace_ms: config.shutdownGraceMs }, 'stopping');
    await stopInTime(service, config.shutdownGraceMs, log);
    return 0;
  } finally {
    release();
  }
}

/** Without a schedule nothing is found by itself, so the start does not wait until it is told what there is. */
function tellBeside({ resources }: Service, log: Log, signal: AbortSignal): void {
  tellFirstLook(resources, false).catch((error: unknown) => {
    if (!signal.aborted) log.warn({ error: messageOf(error) }, 'it is not known which clients there are');
  });
}

/** What is left to close after the grace period: connections, which a Redis that is gone would keep us waiting for. */
const CLOSING_MS = 5_000;

/** Nothing is lost by leaving at once: the next worker goes on from the last commit. */
async function stopInTime(service: Service, graceMs: number, log: Log): Promise<void> {
  const stopped = new AbortController();
  const stopping = service.stop().finally(() => stopped.abort());
  await Promise.race([stopping, sleep(graceMs + CLOSING_MS, stopped.signal)]);
  if (stopped.signal.aborted) log.info('stopped');
  else log.warn('stopped without closing everything: Redis or the API did not answer');
}

/** Undefined: as it fits where the log goes. */
function formatOf({ env }: Globals): LogFormat | undefined {
  const given = env.REKEYD_LOG_FORMAT || undefined;
  const format = LOG_FORMATS.find((one) => one === given);
  if (given === format) return format;
  throw new RekeydError(
    'usage',
    `REKEYD_LOG_FORMAT is ${JSON.stringify(given)}. Set it to one of ${LOG_FORMATS.join(', ')}, or leave it out.`,
  );
}

function levelOf({ env }: Globals): string {
  const level = env.REKEYD_LOG_LEVEL || 'info';
  if (LEVELS.includes(level)) return level;
  throw new RekeydError(
    'usage',
    `REKEYD_LOG_LEVEL is ${JSON.stringify(level)}. Set it to one of ${LEVELS.join(', ')}.`,
  );
}
