/** What works in a config but is probably not meant, told in the log: at the start and after each reload. */
import type { Config } from '../config/model.ts';
import { formatProblem } from '../config/problems.ts';
import { configWarnings } from '../forecast/fleet.ts';
import type { Log } from '../rotation/resources.ts';
import { exposuresOf } from './exposure.ts';

export async function tellWarnings(config: Config, log: Log): Promise<void> {
  const { file } = config;
  for (const warning of config.warnings) log.warn({ file }, formatProblem(warning));
  for (const { path, message } of configWarnings(config)) log.warn({ file, setting: path }, message);
  for (const { path, why, fix } of await exposuresOf(config)) log.warn({ path, fix }, why);
}
