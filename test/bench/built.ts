/** rekeyd as it is installed: compiled. Run from the source, it would hold Node's TypeScript loader too: 80 MiB that no installation has. */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** As in the first line of cli.js. */
export const SHIPPED_FLAGS = ['--max-semi-space-size=4'];

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
