/** Traces as the config says. See {@link ../traces/open.ts}. */
import { randomUUID } from 'node:crypto';
import packageFile from '../../package.json' with { type: 'json' };
import type { Config } from '../config/model.ts';
import type { Log } from '../rotation/resources.ts';
import { openTraces, type Traces } from '../traces/open.ts';

/** Null when the config names no collector: then OpenTelemetry is not loaded. @throws RekeydError `config` */
export async function openTracesOf({ telemetry: { traces } }: Config, log: Log): Promise<Traces | null> {
  if (traces === null) return null;
  const { sample, ...collector } = traces;
  return openTraces({
    collector,
    sample,
    version: packageFile.version,
    instance: randomUUID(),
    onProblem(problem) {
      if (problem === null) log.info({}, 'telemetry.traces: the collector takes traces');
      else
        log.warn({ error: problem }, 'telemetry.traces: the collector takes no traces: they are lost, nothing else is');
    },
  });
}
