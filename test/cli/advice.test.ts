/** What documents and messages tell a person to type is there to be typed: commands, and options that they have. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { commandLine } from '../../src/commands/line.ts';

const ROOT = join(import.meta.dirname, '../..');
const program = commandLine(
  (file = '') => ({ file, env: {}, exit: () => {} }),
  () => {},
);

interface Advice {
  /** What follows the program's name. */
  readonly text: string;
  /** A whole line to type, and not the name of a command in a sentence. */
  readonly isLine: boolean;
}

/** What is wrong with it, or null. */
function problemOf({ text, isLine }: Advice): string | null {
  // Neither a comment, nor what the shell does with its output.
  const words = text.replace(/ [#|;].*/, '').match(/"[^"]*"|\S+/g) ?? [];
  let command: Command = program;
  const rest = [...words];
  while (command.commands.length > 0 && !rest[0]?.startsWith('-')) {
    const found = command.commands.find((one) => one.name() === rest[0]);
    // A command that takes arguments of its own beside its subcommands.
    if (found === undefined && command.registeredArguments.length > 0) break;
    rest.shift();
    if (found === undefined) return `there is no command ${words.join(' ')}`;
    command = found;
  }
  const known = [...command.options, ...program.options];
  const options = rest.flatMap((word) => /^--?[a-z][\w-]*/.exec(word)?.[0] ?? []);
  for (const option of options) {
    const isKnown = option === '--help' || known.some(({ long, short }) => option === long || option === short);
    if (!isKnown) return `${command.name()} has no option ${option}`;
  }
  const missing = command.options.find(({ mandatory, long }) => mandatory && !options.includes(long ?? ''));
  return isLine && missing !== undefined ? `${command.name()} needs ${missing.long}` : null;
}

const lines = (text: string): readonly Advice[] =>
  [...text.matchAll(/^ *rekeyd (.+)$/gm)].map(([, line = '']) => ({ text: line, isLine: true }));

/** Shell blocks, and commands in sentences. */
function inMarkdown(text: string): readonly Advice[] {
  const blocks = [...text.matchAll(/^ *```sh\n(.*?)^ *```$/gms)].flatMap(([, block = '']) => lines(block));
  const spans = [...text.matchAll(/`rekeyd ([^`]+)`/g)].map(([, span = '']) => ({ text: span, isLine: false }));
  return [...blocks, ...spans];
}

/** Messages and comments. A template that begins with the program's name is prose about it. */
function inSource(text: string): readonly Advice[] {
  const spans = [...text.matchAll(/(\\?)`rekeyd ([^`]+?)\\?`/g)];
  return spans
    .filter(([, escaped, span = '']) => escaped !== '' || !span.includes('${'))
    .map(([, , span = '']) => ({ text: span.replace(/\$\{[^}]*\}/g, 'X'), isLine: false }));
}

function filesIn(folder: string, ending: string): readonly string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(ending))
    .map((name) => join(folder, name));
}

const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');

describe('what can be typed:', () => {
  test.each<[string, readonly string[], (text: string) => readonly Advice[], number]>([
    ['documents', ['README.md', ...filesIn('docs', '.md')], inMarkdown, 60],
    ['messages', [...filesIn('src', '.ts'), ...filesIn('jobs', '.ts')], inSource, 60],
    [
      'the help',
      ['src/commands/line.ts'],
      (text) => lines(text.replaceAll('$ rekeyd', 'rekeyd').replaceAll('\\`', '`')),
      10,
    ],
  ])('%s', (_, paths, advices, least) => {
    const found = paths.flatMap((path) => advices(read(path)).map((advice) => ({ path, advice })));
    expect(found.length, 'advice that is found').toBeGreaterThan(least);
    const wrong = found.flatMap(({ path, advice }) => {
      const problem = problemOf(advice);
      return problem === null ? [] : [`${path}: rekeyd ${advice.text}: ${problem}`];
    });
    expect(wrong).toEqual([]);
  });

  test.each([
    ['sing', /there is no command/],
    ['keys export', /there is no command/],
    ['rotate CLIENT --now', /rotate has no option --now/],
    ['pause --all', /pause needs --reason/],
  ])('not `rekeyd %s`', (text, problem) => {
    expect(problemOf({ text, isLine: true })).toMatch(problem);
  });
});
