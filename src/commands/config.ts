import { requestJsonSchema } from '../../jobs/schemas.ts';
import { configSchema, loadConfig } from '../config/load.ts';
import type { Problem } from '../config/model.ts';
import { ConfigError, formatProblem } from '../config/problems.ts';
import { configWarnings } from '../forecast/fleet.ts';
import { openapi } from '../http/openapi.ts';
import { ROUTES } from '../http/server.ts';
import type { Globals } from './open.ts';
import { print, printJson } from './output.ts';
import { usage } from './select.ts';

/** Every problem and every warning of the config file, with its place. */
export async function configCheck({ file, env }: Globals, { json }: { readonly json?: boolean }): Promise<number> {
  const { problems, warnings } = await examine(file, env);
  if (json) printJson({ file, problems, warnings });
  else {
    for (const problem of problems) print(`error    ${formatProblem(problem)}`);
    for (const warning of warnings) print(`warning  ${formatProblem(warning)}`);
    print(problems.length === 0 ? `${file} can be used.` : `${file} cannot be used.`);
  }
  return problems.length === 0 ? 0 : 2;
}

interface Examined {
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

async function examine(file: string, env: Globals['env']): Promise<Examined> {
  try {
    const config = await loadConfig(file, env);
    const outlook = configWarnings(config).map(({ path, message }) => ({ path, message, line: null }));
    return { problems: [], warnings: [...config.warnings, ...outlook] };
  } catch (error) {
    if (error instanceof ConfigError) return { problems: error.problems, warnings: [] };
    throw error;
  }
}

export interface SchemaOptions {
  /** Of the on-demand job instead; `docs/request.schema.json` is made from it. */
  readonly request?: boolean;
  /** The description of the HTTP API instead; `docs/openapi.json` is made from it. */
  readonly api?: boolean;
}

export function printSchema({ request = false, api = false }: SchemaOptions): number {
  if (request && api) throw usage('--request and --api are two documents: take one of them.');
  if (api) printJson(openapi(ROUTES));
  else printJson(request ? requestJsonSchema() : configSchema());
  return 0;
}
