/** Gives each problem in the config a path, a line and words, and throws all of them together. */
import type { Document } from 'yaml';
import { isMap, isScalar, isSeq, type LineCounter, type Node } from 'yaml';
import type { z } from 'zod';
import { RekeydError } from '../errors.ts';
import type { Problem } from './model.ts';

export type Path = readonly PropertyKey[];

/** A problem before it has a line. */
export interface Finding {
  readonly path: Path;
  readonly message: string;
}

/** Nobody reads more of them: such a file is no config, or it has the same slip in every line. */
const MOST_LISTED = 200;

/** `config`: the message lists the problems on a line each, the first {@link MOST_LISTED}; `problems` has all. No message shows a value that may be a secret. */
export class ConfigError extends RekeydError {
  readonly problems: readonly Problem[];

  constructor(file: string, problems: readonly Problem[]) {
    const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`;
    const listed = problems.slice(0, MOST_LISTED).map((one) => `  ${formatProblem(one)}`);
    const more = problems.length > MOST_LISTED ? [`  … and ${problems.length - MOST_LISTED} more`] : [];
    super('config', [`${file} cannot be used (${count}):`, ...listed, ...more].join('\n'));
    this.problems = problems;
  }
}

/** `policies.default.schedule (line 12): …` */
export function formatProblem({ path, message, line }: Problem): string {
  const place = [path, line === null ? '' : path === '' ? `line ${line}` : `(line ${line})`].filter(
    (part) => part !== '',
  );
  return place.length === 0 ? message : `${place.join(' ')}: ${message}`;
}

/** `deployments[0].apps[0].resolve["auth.example.com"]` */
export function formatPath(path: Path): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`;
    const name = String(part);
    if (!/^[\w-]+$/.test(name)) return `${text}[${JSON.stringify(name)}]`;
    return text === '' ? name : `${text}.${name}`;
  }, '');
}

/** The line of what `path` names, or of its nearest enclosing setting when that is missing from the file. */
export function lineOf(path: Path, document: Document, lines: LineCounter): number | null {
  let line: number | null = null;
  let node: unknown = document.contents;
  const mark = (at: Node) => {
    if (at.range) line = lines.linePos(at.range[0]).line;
  };
  for (const part of path) {
    if (isMap<Node, Node | null>(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(part));
      if (pair === undefined) break;
      mark(pair.key);
      node = pair.value;
    } else if (isSeq<Node>(node) && typeof part === 'number') {
      const item = node.items[part];
      if (item === undefined) break;
      mark(item);
      node = item;
    } else break;
  }
  return line;
}

/** One zod issue as findings: one for each unknown key, and of a union the branch that came nearest. */
export function findingsOf(issue: z.core.$ZodIssue): Finding[] {
  const { path, message } = issue;
  if (issue.code === 'unrecognized_keys') {
    const known = message.split(' ');
    return issue.keys.map((key) => ({ path: [...path, printableKey(key)], message: unknownKey(key, known) }));
  }
  if (issue.code === 'invalid_union') {
    const nearest = issue.errors.find((branch) => branch.every((inner) => inner.path.length > 0));
    if (nearest !== undefined) {
      return nearest.flatMap(findingsOf).map((found) => ({ ...found, path: [...path, ...found.path] }));
    }
  }
  if (issue.code === 'invalid_key') return issue.issues.map((inner) => ({ path, message: inner.message }));
  return [{ path, message }];
}

/** A slip of the pen is looked for in names, not in texts of any length. */
const LONGEST_NAME = 64;

/** ` Did you mean "x"?` for the name in `known` that is a slip of the pen away, else nothing. */
export function didYouMean(name: string, known: readonly string[]): string {
  if (name.length > LONGEST_NAME) return '';
  const plain = (text: string) => text.toLowerCase().replaceAll(/[_-]/g, '');
  const nearest = known
    .map((candidate) => ({ candidate, distance: editDistance(plain(name), plain(candidate)) }))
    .sort((a, b) => a.distance - b.distance)[0];
  if (nearest === undefined || nearest.distance > Math.ceil(name.length * 0.4)) return '';
  return ` Did you mean "${nearest.candidate}"?`;
}

function unknownKey(key: string, known: readonly string[]): string {
  const hint = didYouMean(printableKey(key), known);
  return `is not a setting.${hint === '' ? ` Known here: ${known.join(', ')}.` : hint}`;
}

/** `{ api_key:sk_live_… }`, with the blank forgotten, is one long key: what follows the name may be a secret. */
function printableKey(key: string): string {
  return /^[\w-]*/.exec(key)?.[0].slice(0, LONGEST_NAME) ?? '';
}

/** Levenshtein distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, charA] of [...a].entries()) {
    const next = [i + 1];
    for (const [j, charB] of [...b].entries()) {
      const replace = (row[j] ?? 0) + (charA === charB ? 0 : 1);
      next.push(Math.min(replace, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
