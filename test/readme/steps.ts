/** What a section of a document tells a person to do, in order. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export type Step =
  /** A line of a shell block. */
  | { readonly do: 'type'; readonly line: string }
  /** A comment in a shell block that asks for something outside the terminal. */
  | { readonly do: 'point'; readonly folder: string }
  /** A block with a file, whose first line is its name in a comment. */
  | { readonly do: 'write'; readonly file: string; readonly text: string }
  /** What the line before prints, among other lines. `…` stands for anything. */
  | { readonly do: 'see'; readonly lines: readonly string[] };

/** @throws when the document has no such section */
export function stepsOf(path: string, title: string): readonly Step[] {
  const document = readFileSync(join(import.meta.dirname, '../..', path), 'utf8');
  const [, section] = document.split(`\n## ${title}\n`);
  if (section === undefined) throw new Error(`${path} has no section ${title}`);
  const [text = ''] = section.split(/\n## /);
  return [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)].flatMap(([, language, block = '']) => {
    if (language === 'sh') return block.trimEnd().split('\n').map(shellStep);
    if (language === 'text') return [{ do: 'see', lines: block.trimEnd().split('\n') }];
    return fileStep(block);
  });
}

function shellStep(line: string): Step {
  const [, folder] = /^# now point the application at (\S+)/.exec(line) ?? [];
  return folder === undefined ? { do: 'type', line } : { do: 'point', folder };
}

/** Examples of code, and diagrams, are for reading. */
function fileStep(block: string): readonly Step[] {
  const [, file] = /^# (\S+\.yaml)\n/.exec(block) ?? [];
  return file === undefined ? [] : [{ do: 'write', file, text: block }];
}
