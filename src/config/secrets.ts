/** Secret references: `env:NAME` and `file:PATH`. A value in the config itself is refused, and no message here repeats one. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';

/** Where references and relative paths of one config file lead. */
export interface Sources {
  /** Absolute; relative paths start here. */
  readonly folder: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Told each file that a secret was read from. */
  readonly note?: (path: string) => void;
}

export const REFERENCE_PATTERN = '^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$';

const HOW_TO = 'write a reference, env:NAME or file:PATH, never the value itself';

/** The text that `reference` leads to, without the line ends that editors leave at the end of a file; or what is wrong with it. */
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
  const text = Object.hasOwn(env, name) ? env[name] : undefined;
  if (text !== undefined && text !== '') return { text };
  // A name in small letters may be a secret that somebody put after env: by mistake.
  const shown = /^[A-Z0-9_]+$/.test(name) ? ` ${name}` : '';
  return {
    problem: `the environment variable${shown} is ${text === '' ? 'empty' : 'not set'}: set it where rekeyd runs`,
  };
}

async function fromFile(path: string, { note }: Sources) {
  try {
    const text = (await readFile(path, 'utf8')).replace(/[\r\n]+$/, '');
    note?.(path);
    return text === '' ? { problem: `the file ${path} is empty: put the secret into it` } : { text };
  } catch (error) {
    return { problem: `${whyUnreadable(path, error)}: check the path, which starts at the config file's folder` };
  }
}

/** A sentence without the full stop: what kept `path` from being read. */
export function whyUnreadable(path: string, error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : null;
  if (code === 'ENOENT') return `the file ${path} does not exist`;
  if (code === 'EACCES' || code === 'EPERM') return `rekeyd may not read ${path}`;
  if (code === 'EISDIR') return `${path} is a folder, not a file`;
  return `${path} cannot be read (${String(code)})`;
}
