/** Reads the config file: YAML in, {@link Config} out, or every problem at once. */
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { type Document, LineCounter, parseDocument, visit } from 'yaml';
import { z } from 'zod';
import type { Config, Problem } from './config/model.ts';
import { ConfigError, type Finding, findingsOf, formatPath, lineOf } from './config/problems.ts';
import { brokenRules, doubts } from './config/rules.ts';
import { configFileSchema } from './config/schema.ts';
import { type Sources, whyUnreadable } from './config/secrets.ts';
import { messageOf } from './errors.ts';

export type { AppConfig, Config, DeploymentConfig, Policy, Problem } from './config/model.ts';
export { policyFor } from './config/model.ts';
export { ConfigError, formatProblem } from './config/problems.ts';

type Env = Sources['env'];

/** @throws ConfigError (a RekeydError `config`) */
export async function loadConfig(file: string, env: Env): Promise<Config> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    const message = `${whyUnreadable(resolve(file), error)}: name the config file with --config FILE or REKEYD_CONFIG`;
    throw new ConfigError(file, [{ path: '', message, line: null }]);
  }
  return parseConfig(text, { file, env });
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
  // Pretty errors quote the source, where a secret may stand by mistake.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const syntax = syntaxProblems(document, lines);
  if (syntax.length > 0) throw new ConfigError(file, syntax);

  const located = ({ path, message }: Finding): Problem => ({
    path: formatPath(path),
    message,
    line: lineOf(path, document, lines),
  });
  const input = toValues(document, file);
  const folder = dirname(resolve(file));
  const parsed = await configFileSchema({ folder, env }).safeParseAsync(input);
  const findings = [...(parsed.error?.issues ?? []).flatMap(findingsOf), ...brokenRules(input, folder)];
  if (!parsed.success || findings.length > 0) throw new ConfigError(file, findings.map(located).sort(byLine));
  return { ...parsed.data, file: resolve(file), warnings: doubts(parsed.data).map(located) };
}

/** JSON Schema (draft 2020-12) of the config file, for editors. */
export function configSchema(): z.core.JSONSchema.BaseSchema {
  return z.toJSONSchema(configFileSchema({ folder: '/', env: {} }), { io: 'input' });
}

function toValues(document: Document, file: string): unknown {
  try {
    return document.toJS() ?? {};
  } catch (error) {
    // Aliases of aliases of aliases: a small file that would fill the memory.
    throw new ConfigError(file, [{ path: '', message: `not usable YAML: ${messageOf(error)}`, line: null }]);
  }
}

/** The first problem of each line: the others follow from it. */
function syntaxProblems(document: Document.Parsed, lines: LineCounter): Problem[] {
  const found = document.errors.map(({ message, pos }) => ({ message, offset: pos[0] }));
  visit(document, {
    Alias: (_, node) => {
      // The alias may be a mistaken value: not repeated.
      const message = 'a value that starts with "*" is an alias in YAML: put it in quotes';
      if (node.resolve(document) === undefined) found.unshift({ message, offset: node.range?.[0] ?? 0 });
    },
  });
  const problems = new Map<number, Problem>();
  for (const { message, offset } of found) {
    const { line } = lines.linePos(offset);
    if (!problems.has(line)) problems.set(line, { path: '', message: `not valid YAML: ${message}`, line });
  }
  return [...problems.values()].sort(byLine);
}

function byLine(a: Problem, b: Problem): number {
  return (a.line ?? 0) - (b.line ?? 0);
}
