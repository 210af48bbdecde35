import { tellFirstLook } from '../../jobs/first-look.ts';
import { parseConfig, readConfig } from '../config/load.ts';
import { messageOf, RekeydError } from '../errors.ts';
import { tellWarnings } from '../runtime/config-warnings.ts';
import { divertConsole } from '../runtime/console.ts';
import { onHangup } from '../runtime/lifecycle.ts';
import { LOG_FORMATS, type Log, type LogFormat, openLog } from '../runtime/log.ts';
import { type Service, startService } from '../runtime/service.ts';
import { threadsIn } from '../runtime/thread-pool.ts';
import { actor, awaitInterruption, type Globals } from './open.ts';

export interface StartOptions {
  readonly schedule: boolean;
  readonly http: boolean;
  readonly worker: boolean;
}

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];

/** Runs the service until SIGTERM or SIGINT, which may come while it still starts. */
export async function start(globals: Globals, { schedule, http, worker }: StartOptions): Promise<number> {
  const log = await openLog(levelOf(globals), formatOf(globals));
  const { file, env } = globals;
  const source = { text: await readConfig(file), env };
  const config = await parseConfig(source.text, { file, env });
  await tellWarnings(config, log);
  const { signal, release } = awaitInterruption(globals);
  const hangups = awaitHangups();
  const giveConsoleBack = divertConsole(log);
  try {
    const service = await startService(config, { log, schedule, http, worker, source, poolThreads: threadsIn(env) });
    hangups.pass(() => service.reload({ actor: actor(), reason: 'SIGHUP' }));
    log.info({ schedule, http, worker }, 'started');
    if (!schedule) tellBeside(service, log, signal);
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    log.info({ signal: signal.reason, grace_ms: config.shutdownGraceMs }, 'stopping');
    await service.stop();
    log.info('stopped');
    return 0;
  } finally {
    release();
    hangups.release();
    giveConsoleBack();
  }
}

/** One that comes while rekeyd still starts is kept until it has started: the config may have been read before it was changed. */
function awaitHangups(): { pass(reload: () => unknown): void; release(): void } {
  let isKept = false;
  let reload: () => unknown = () => {
    isKept = true;
  };
  const release = onHangup(() => reload());
  return {
    release,
    pass(to) {
      reload = to;
      if (isKept) reload();
    },
  };
}

/** Without a schedule nothing is found by itself, so the start does not wait until it is told what there is. */
function tellBeside({ resources }: Service, log: Log, signal: AbortSignal): void {
  tellFirstLook(resources, false).catch((error: unknown) => {
    if (!signal.aborted) log.warn({ error: messageOf(error) }, 'it is not known which clients there are');
  });
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
