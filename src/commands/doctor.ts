import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/model.ts';
import { ConfigError, formatProblem } from '../config/problems.ts';
import { configWarnings } from '../forecast/fleet.ts';
import { advice, type Check, fine, wrong } from '../runtime/checks/check.ts';
import { checkExposure, checkPlaces } from '../runtime/checks/places.ts';
import { divertConsole } from '../runtime/console.ts';
import { openLog } from '../runtime/log.ts';
import { checkApis } from './doctor/api.ts';
import { checkStore } from './doctor/store.ts';
import type { Globals } from './open.ts';
import { print, printJson } from './output.ts';

/** Looks at everything that rekeyd leans on, whatever else is broken. Ends with 3 when Redis or the API cannot be reached. */
export async function doctor({ file, env }: Globals, { json }: { readonly json?: boolean }): Promise<number> {
  const { checks, code } = await examined(file, env);
  const ok = checks.every((check) => check.ok);
  if (json) printJson({ ok, checks: checks.map(({ name, ok, detail, fix }) => ({ name, ok, detail, fix })) });
  else for (const check of checks) for (const line of linesOf(check)) print(line);
  return code;
}

/** Packages have their say in the log: what they print would stand among the checks. */
async function examined(file: string, env: Globals['env']): ReturnType<typeof examine> {
  const giveConsoleBack = divertConsole(await openLog('warn'));
  try {
    return await examine(file, env);
  } finally {
    giveConsoleBack();
  }
}

async function examine(file: string, env: Globals['env']): Promise<{ checks: readonly Check[]; code: number }> {
  let config: Config;
  try {
    config = await loadConfig(file, env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const fix = 'Correct the file; `rekeyd config schema` prints what it may hold.';
    return { checks: error.problems.map((problem) => wrong('config', formatProblem(problem), fix)), code: 2 };
  }
  const checks = [
    ...checkWarnings(config),
    ...configWarnings(config).map(({ path, message }) => advice(`policy ${path}`, message, UNLESS_MEANT)),
    ...(await checkPlaces(config)),
    ...(await checkExposure(config)),
    ...(await checkStore(config)),
    ...(await checkApis(config)),
  ];
  if (checks.some(({ unreachable }) => unreachable)) return { checks, code: 3 };
  return { checks, code: checks.every(({ ok }) => ok) ? 0 : 1 };
}

const UNLESS_MEANT = 'Change it, unless it is meant so.';

function checkWarnings({ file, warnings }: Config): readonly Check[] {
  if (warnings.length === 0) return [fine('config', `${file} can be used`)];
  return warnings.map((warning) => advice('config', formatProblem(warning), UNLESS_MEANT));
}

function linesOf({ name, ok, detail, fix }: Check): readonly string[] {
  const mark = ok ? (fix === null ? 'ok   ' : 'note ') : 'WRONG';
  return [`${mark}  ${name}: ${detail}`, ...(fix === null ? [] : [`       ${fix}`])];
}
