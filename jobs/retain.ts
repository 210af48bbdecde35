/** Exports the audit log and cuts its oldest entries, on the worker that has the lease. An export that fails stops nothing else. */
import { randomUUID } from 'node:crypto';
import type { ExportNews } from '../src/audit/exporting.ts';
import { openExports } from '../src/audit/exports/open.ts';
import { retain } from '../src/audit/retention.ts';
import { messageOf } from '../src/errors.ts';
import type { Log } from '../src/rotation/resources.ts';
import { sleep, untilAborted } from '../src/time.ts';
import type { JobContext } from './context.ts';

export const RETAIN_EVERY_MS = 10_000;

/** After a start, or a new config, in ms. */
const FIRST_MS = 1_000;

const NEVER = new AbortController().signal;

export interface Retaining {
  /** Ends at once: a batch under way is sent again, as it was, by the next worker. */
  stop(): Promise<void>;
}

export interface RetainingOptions {
  readonly everyMs: number;
  readonly stdout: NodeJS.WritableStream;
  /** Aborts when Redis is given up. */
  readonly hurry?: AbortSignal | undefined;
}

export function retainRegularly({ resources, log }: JobContext, options: RetainingOptions): Retaining {
  const { everyMs, stdout, hurry = NEVER } = options;
  const { store, guard, config } = resources;
  const holder = randomUUID();
  const tell = newsTo(log);
  const exports = openExports(config.audit, { source: store, stdout, onBroken: tell.broken });
  const stopping = new AbortController();
  const hanging = new Map<string, Promise<unknown>>();
  const neededFrom = () => store.neededFrom(config.webhooks.map(({ name }) => name));
  let told: string | null = null;

  async function round(): Promise<void> {
    // What is wrong with the store is told by the guard.
    if (guard.problem !== null) return;
    const { keepMs, mostBytes } = config.audit;
    const limits = { keepMs, mostBytes, exports, holder, hanging, tell, signal: stopping.signal };
    try {
      const done = await untilAborted(retain(store, { ...limits, neededFrom }), hurry);
      if (done !== null && done.cut > 0) log.info({ ...done }, 'audit entries that were exported are cut');
      told = null;
    } catch (error) {
      const why = messageOf(error);
      if (hurry.aborted || guard.problem !== null || why === told) return;
      told = why;
      log.error({ error: why }, 'the audit log is neither exported nor cut: it grows');
    }
  }

  async function run(): Promise<void> {
    for (let ms = Math.min(everyMs, FIRST_MS); !stopping.signal.aborted; ms = everyMs) {
      await sleep(ms, stopping.signal);
      if (!stopping.signal.aborted) await round();
    }
    if (!hurry.aborted && guard.problem === null)
      await untilAborted(store.leaveRetention(holder), hurry).catch(() => {});
    for (const place of exports) if (place.kind === 'stream') await place.close();
  }
  const ended = exports.length === 0 ? Promise.resolve() : run();

  return {
    async stop() {
      stopping.abort();
      await ended;
    },
  };
}

function newsTo(log: Log): ExportNews {
  return {
    fails: (name, error) =>
      log.error({ export: name, error }, 'audit export failing: nothing is cut, so the log grows'),
    goesOn: (name) => log.info({ export: name }, 'audit export goes on'),
    broken: (name, checkpoint) =>
      log.error(
        { export: name, checkpoint },
        'audit entries before this checkpoint are not those that it sealed: they are exported as they are now',
      ),
    missed: (name, from, to) =>
      log.warn({ export: name, from, to }, 'these audit entries were cut before the export was in the config'),
  };
}
