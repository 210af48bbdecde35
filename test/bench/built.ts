/** rekeyd as it is installed: compiled. Run from the source, it would hold Node's TypeScript loader too: 80 MiB that no installation has. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';

/** From source and from what is built. */
const CLI = new URL(`../../src/cli${extname(import.meta.url)}`, import.meta.url);
const [firstLine = ''] = readFileSync(CLI, 'utf8').split('\n');
const words = firstLine.split(' ').slice(2);

/** Node's flags in the first line of cli.js. */
export const SHIPPED_FLAGS = words.filter((word) => word.startsWith('--'));

/** Its settings of the environment. */
export const SHIPPED_ENV: Readonly<Record<string, string>> = Object.fromEntries(
  words.filter((word) => word.includes('=') && !word.startsWith('--')).map((word) => word.split('=')),
);

/** Where {@link ./tsconfig.json} puts it. Beside `node_modules`, so that packages are found from there. */
const OUTPUT = '../../node_modules/.cache/rekeyd-bench/';

/** Compiles it, and the processes here that are measured beside it. */
export function build(): void {
  const [tsc = '', project = ''] = ['../../node_modules/typescript/bin/tsc', './tsconfig.json'].map((path) =>
    fileURLToPath(new URL(path, import.meta.url)),
  );
  execFileSync(process.execPath, [tsc, '-p', project], { stdio: ['ignore', 2, 2] });
}

/** @param path in the repository, but with the suffix `.js` */
export function built(path: string): URL {
  return new URL(`${OUTPUT}${path}`, import.meta.url);
}

/** What the environment gives a process of that name: `BENCH_WORKER_FLAGS=--cpu-prof`. */
export function flagsFor(name: string): readonly string[] {
  return (process.env[`BENCH_${name.toUpperCase()}_FLAGS`] ?? '').split(' ').filter(Boolean);
}
