/** What messages and the help tell a person to type is a command that the command line takes. test/docs does the same for documents. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { wrongWith } from '../docs/parse.ts';
import { wordsOf } from '../docs/typed.ts';

const ROOT = join(import.meta.dirname, '../..');
interface Advice {
  /** What follows the program's name. */
  readonly text: string;
  /** A whole line to type, and not the name of a command in a sentence. */
  readonly isLine: boolean;
}

const problemOf = ({ text, isLine }: Advice) => wrongWith(wordsOf(text), isLine);

const lines = (text: string): readonly Advice[] =>
  [...text.matchAll(/^ *rekeyd (.+)$/gm)].map(([, line = '']) => ({ text: line, isLine: true }));

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
    ['sing', /unknown command/],
    ['keys export', /unknown command/],
    ['rotate CLIENT --now', /unknown option '--now'/],
    ['pause --all', /option '--reason <text>' not specified/],
  ])('not `rekeyd %s`', (text, problem) => {
    expect(problemOf({ text, isLine: true })).toMatch(problem);
  });
});
