/** What the documents tell people to type: `rekeyd …` in blocks of shell code, and within sentences. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');

/** Where people read what to type. */
const PLACES = ['*.md', 'docs/**/*.md', 'clients/*/*.md', 'deploy/**/*.md'];

/** A changelog tells of commands as they were. */
const LEFT_OUT = new Set(['CHANGELOG.md']);

export interface Typed {
  readonly file: string;
  readonly line: number;
  /** Without the leading `rekeyd`. */
  readonly words: readonly string[];
  /** In a block of code, to be typed as it is; else named in a sentence, where arguments may be left out. */
  readonly isWhole: boolean;
}

export function typedInDocuments(): readonly Typed[] {
  return documents().flatMap(({ file, text }) => typedIn(file, text));
}

interface Document {
  readonly file: string;
  readonly text: string;
}

export function documents(): readonly Document[] {
  const files = globSync(PLACES, { cwd: ROOT }).filter((file) => !LEFT_OUT.has(file));
  return files.toSorted().map((file) => ({ file, text: readFileSync(join(ROOT, file), 'utf8') }));
}

/** Where a command begins: a line, with variables set before it or not, a pipe, or another command around it. */
const BEGINNING = /(?:^|[|;(]|&&|\bexec(?: -T)? rekeyd-\d|\$)\s*(?:\w+=\S+ )*rekeyd(?= )/gm;

export function typedIn(file: string, text: string): readonly Typed[] {
  const typed: Typed[] = [];
  const add = (offset: number, command: string, isWhole: boolean) => {
    const line = text.slice(0, offset).split('\n').length;
    typed.push({ file, line, words: wordsOf(command), isWhole });
  };
  for (const block of text.matchAll(/^[ ]*```(?:sh|bash|shell)\n(.*?)^[ ]*```/gms)) {
    const code = block[0];
    for (const found of code.matchAll(BEGINNING)) {
      const end = found.index + found[0].length;
      add(block.index + end, code.slice(end), true);
    }
  }
  const prose = text.replace(/^[ ]*```.*?^[ ]*```/gms, (block) => block.replace(/[^\n]/g, ' '));
  for (const span of prose.matchAll(/`rekeyd ([^`]*)`/g)) add(span.index, span[1] ?? '', false);
  return typed;
}

/** As a shell splits them, up to the end of the command. */
export function wordsOf(command: string): string[] {
  const words: string[] = [];
  let rest = command.replaceAll(/\\\n/g, ' ');
  for (;;) {
    rest = rest.replace(/^[ \t]+/, '');
    // A comment, the end of the line, another command, or where input and output go.
    const [word = ''] = /^(?:"[^"]*"|'[^']*'|[^\s"'|;&()<>#`]|(?<=\S)#)+/.exec(rest) ?? [];
    if (word === '') return words;
    words.push(word.replaceAll(/["']/g, ''));
    rest = rest.slice(word.length);
  }
}
