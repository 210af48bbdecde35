/** What a section of the README tells a person to do, in order. */
import { readFileSync } from 'node:fs';

export type Step =
  /** A line of a shell block. */
  | { readonly do: 'type'; readonly line: string }
  /** A comment in a shell block that asks for something outside the terminal. */
  | { readonly do: 'point'; readonly folder: string }
  /** A block with a file, whose first line is its name in a comment. */
  | { readonly do: 'write'; readonly file: string; readonly text: string };

const README = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');

/** @throws when the README has no such section */
export function stepsOf(title: string): readonly Step[] {
  const [, section] = README.split(`\n## ${title}\n`);
  if (section === undefined) throw new Error(`README.md has no section ${title}`);
  const [text = ''] = section.split(/\n## /);
  return [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)].flatMap(([, language, block = '']) =>
    language === 'sh' ? block.trimEnd().split('\n').map(shellStep) : fileStep(block),
  );
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
