/** Reads the config file: YAML in, {@link Config} out, or every problem at once. */
import { dirname, resolve } from 'node:path';
import { type Document, LineCounter } from 'yaml';
import { z } from 'zod';
import type { Config, Problem } from './model.ts';
import { ConfigError, type Finding, findingsOf, formatPath, lineOf } from './problems.ts';
import { brokenRules, doubts } from './rules.ts';
import { configFileSchema } from './schema.ts';
import type { Sources } from './secrets.ts';
import { parseYaml, valuesOf } from './syntax.ts';
import { NAME_THE_CONFIG, readText } from './text.ts';

type Env = Sources['env'];

/** A file with this many problems is probably another file. */
const MOST_PROBLEMS = 500;

/** @throws ConfigError (a RekeydError `config`) */
export async function loadConfig(file: string, env: Env): Promise<Config> {
  return parseConfig(await readConfig(file), { file, env });
}

/** What the config file says. @throws ConfigError (a RekeydError `config`) when it cannot be read */
export async function readConfig(file: string): Promise<string> {
  const read = await readText(resolve(file), NAME_THE_CONFIG);
  if ('text' in read) return read.text;
  throw new ConfigError(file, [{ path: '', message: read.problem, line: null }]);
}

/**
 * @param file where `text` came from: relative paths in it start at that file's folder
 * @throws ConfigError (a RekeydError `config`)
 */
export async function parseConfig(
  text: string,
  { file, env }: { readonly file: string; readonly env: Env },
): Promise<Config> {
  const lines = new LineCounter();
  const { document, problems } = parseYaml(text, lines);
  if (problems.length > 0)
    throw new ConfigError(
      file,
      shown(problems, (problem) => problem),
    );

  const located = ({ path, message }: Finding): Problem => ({
    path: formatPath(path),
    message,
    line: lineOf(path, document, lines),
  });
  const input = settingsIn(document, file);
  const folder = dirname(resolve(file));
  const [secretFiles, watchedFiles]: [string[], string[]] = [[], []];
  const note = (path: string, isSecret: boolean) => {
    watchedFiles.push(path);
    if (isSecret) secretFiles.push(path);
  };
  const sources = { folder, env, note };
  const parsed = await configFileSchema(sources).safeParseAsync(input);
  const findings = [...(parsed.error?.issues ?? []).flatMap(findingsOf), ...brokenRules(input, folder)];
  if (!parsed.success || findings.length > 0) throw new ConfigError(file, shown(findings, located));
  return { ...parsed.data, file: resolve(file), secretFiles, watchedFiles, warnings: doubts(parsed.data).map(located) };
}

/** JSON Schema (draft 2020-12) of the config file, for editors. */
export function configSchema(): z.core.JSONSchema.BaseSchema {
  return z.toJSONSchema(configFileSchema({ folder: '/', env: {} }), { io: 'input' });
}

/** @throws ConfigError */
function settingsIn(document: Document, file: string): object {
  const found = valuesOf(document);
  if ('values' in found && isSection(found.values)) return found.values;
  const message = 'problem' in found ? found.problem : NO_SETTINGS;
  throw new ConfigError(file, [{ path: '', message, line: null }]);
}

const NO_SETTINGS =
  'it holds no settings, which are written as "name: value", one a line: name the right file with --config FILE';

function isSection(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function shown<T>(found: readonly T[], toProblem: (one: T) => Problem): Problem[] {
  const problems = found.slice(0, MOST_PROBLEMS).map(toProblem).sort(byLine);
  const more = found.length - problems.length;
  return more === 0 ? problems : [...problems, { path: '', message: `and ${more} more`, line: null }];
}

function byLine(a: Problem, b: Problem): number {
  return (a.line ?? 0) - (b.line ?? 0);
}
