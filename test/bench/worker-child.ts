/** rekeyd itself in a process of its own, as `rekeyd start` runs it; the parent reads what it uses. */
import { loadConfig } from '../../src/config/load.ts';
import { createLog } from '../../src/runtime/log.ts';
import { startService } from '../../src/runtime/service.ts';
import { threadsIn } from '../../src/runtime/thread-pool.ts';
import { orderOf, serveParent, type Usage, usage } from './child.ts';
import { fsyncs, keysMade } from './counters.ts';

export interface WorkerOrder {
  readonly config: string;
  readonly env: Readonly<Record<string, string>>;
  /** With everything that an idle `rekeyd start` has: ticks and HTTP. */
  readonly whole: boolean;
  /** HTTP alone: others rotate. */
  readonly isApi?: true;
}

export interface WorkerUsage extends Usage {
  /** Files and folders that this process has put on disk. */
  readonly fsyncs: number;
  /** Asymmetric keys that it has made. */
  readonly keysMade: number;
  /** Highest since the question `resetPeak`. */
  readonly peakRssMiB: number;
}

export interface WorkerReady {
  /** Of its HTTP side; null without one. */
  readonly url: string | null;
}

const SAMPLE_MS = 20;

const { config, env, whole, isApi = false } = orderOf<WorkerOrder>();
const service = await startService(await loadConfig(config, env), {
  log: createLog({ level: process.env.BENCH_LOG ?? 'fatal' }),
  schedule: whole,
  worker: !isApi,
  http: whole || isApi,
  poolThreads: threadsIn(process.env),
});
let peakRssMiB = 0;
let sampling: NodeJS.Timeout | undefined;
const sample = () => {
  peakRssMiB = Math.max(peakRssMiB, usage().rssMiB);
};

serveParent(
  { url: service.url } satisfies WorkerReady,
  {
    usage(): WorkerUsage {
      sample();
      return { ...usage(), fsyncs: fsyncs(), keysMade: keysMade(), peakRssMiB };
    },
    resetPeak() {
      peakRssMiB = 0;
      sampling ??= setInterval(sample, SAMPLE_MS);
    },
  },
  async () => {
    clearInterval(sampling);
    await service.stop();
  },
);
