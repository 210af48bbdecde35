/** Secret references: `env:NAME` and `file:PATH`. A value in the config itself is refused, and no message here repeats one. */
import { resolve } from 'node:path';
import { readText } from './text.ts';

/** Where references and relative paths of one config file lead. */
export interface Sources {
  /** Absolute; relative paths start here. */
  readonly folder: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Told each file that a reference leads to, and whether what it holds is secret. */
  readonly note?: (path: string, isSecret: boolean) => void;
}

/** For what is behind a reference, and no secret: certificates. Nobody is warned that others can read it. */
export function publicly(sources: Sources): Sources {
  return { ...sources, note: (path) => sources.note?.(path, false) };
}

export const REFERENCE_PATTERN = '^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$';

const HOW_TO = 'write a reference, env:NAME or file:PATH, never the value itself';

/** The text that `reference` leads to, without the line ends that editors and commands leave at its end; or what is wrong with it. */
export async function readReference(
  reference: string,
  sources: Sources,
): Promise<{ readonly text: string } | { readonly problem: string }> {
  if (!new RegExp(REFERENCE_PATTERN).test(reference)) {
    return { problem: `must not stand in the config: ${HOW_TO}. If it was a real secret, replace it` };
  }
  const target = reference.slice(reference.indexOf(':') + 1);
  return reference.startsWith('env:')
    ? fromEnv(target, sources.env)
    : fromFile(resolve(sources.folder, target), sources);
}

function fromEnv(name: string, env: Sources['env']) {
  // An own member only: every object also has a `constructor`.
  const value = Object.hasOwn(env, name) ? env[name] : undefined;
  const text = value === undefined ? undefined : withoutLineEnd(value);
  if (text !== undefined && text !== '') return { text };
  // A name in small letters may be a secret that somebody put after env: by mistake.
  const shown = /^[A-Z0-9_]+$/.test(name) ? ` ${name}` : '';
  return {
    problem: `the environment variable${shown} is ${text === '' ? 'empty' : 'not set'}: set it where rekeyd runs`,
  };
}

async function fromFile(path: string, { note }: Sources) {
  const read = await readText(path, "check the path, which starts at the config file's folder");
  if ('problem' in read) return read;
  note?.(path, true);
  const text = withoutLineEnd(read.text);
  return text === '' ? { problem: `the file ${path} is empty: put the secret into it` } : { text };
}

function withoutLineEnd(text: string): string {
  return text.replace(/[\r\n]+$/, '');
}
