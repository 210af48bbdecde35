/** The import rules of the house, and where the effects of a process live. A pure function over the texts of the files. */
import { isBuiltin } from 'node:module';
import { posix } from 'node:path';
import { importsOf, type Scan, scan } from './scan.ts';

/** From the bottom up: a layer imports itself and rows before its own. So adapters, which share a row, never import each other. */
const DIRECTION: readonly (readonly string[])[] = [
  ['errors'],
  ['time', 'parallel'],
  ['files'],
  ['core'],
  ['config', 'net', 'keys'],
  ['vault'],
  ['wacht', 'store', 'audit', 'deliver', 'publish', 'webhooks', 'metrics', 'leaks', 'traces', 'kms'],
  ['rotation', 'forecast'],
  ['status'],
  ['jobs'],
  ['http'],
  ['runtime'],
  ['commands'],
  ['cli'],
];

/** Layers with a shorter list of what they import. */
const IMPORTS_ONLY: Readonly<Record<string, readonly string[]>> = { core: ['errors'], signer: [] };

/** Layers that import few packages or none. Node's own modules are under `node:`. */
const PACKAGES_ONLY: Readonly<Record<string, readonly string[]>> = { errors: [], core: [], signer: ['jose', 'node:'] };

/** Packages and modules of Node that only these layers import. */
const SOLE_IMPORTERS: Readonly<Record<string, readonly string[]>> = {
  bullmq: ['jobs'],
  ioredis: ['store'],
  undici: ['net'],
  fastify: ['http'],
  '@aws-sdk/client-secrets-manager': ['deliver'],
  'prom-client': ['metrics'],
  '@opentelemetry/api': ['traces'],
  '@opentelemetry/sdk-trace': ['traces'],
  'bullmq-otel': ['traces'],
  '@aws-sdk/client-kms': ['kms'],
  'node:process': ['runtime', 'cli'],
  'node:timers': ['time'],
  'node:perf_hooks': ['time'],
};

interface Effect {
  readonly name: string;
  readonly pattern: RegExp;
  readonly homes: readonly string[];
}

function global(name: string, rest: string): RegExp {
  return new RegExp(`(?:(?<![.\\w$])|\\bglobalThis\\s*\\??\\.\\s*)${name}\\b\\s*${rest}`);
}

/** The signer is a package of its own. */
const TIME = ['src/time.ts', 'src/signer/time.ts'];
const PROCESS = ['src/runtime/lifecycle.ts', 'src/cli.ts'];

const EFFECTS: readonly Effect[] = [
  { name: 'process.env', pattern: global('process', '\\??\\.\\s*env\\b'), homes: ['src/cli.ts'] },
  { name: 'process.on', pattern: global('process', '\\??\\.\\s*(?:on|once|addListener)\\b'), homes: PROCESS },
  { name: 'process.exit', pattern: global('process', '\\??\\.\\s*(?:exit|exitCode|abort)\\b'), homes: PROCESS },
  { name: 'process.report', pattern: global('process', '\\??\\.\\s*report\\b'), homes: ['src/cli.ts'] },
  {
    name: 'process by another name',
    pattern: /(?<![.\w$])process\s*(?:\?\.)?\[|=\s*process\s*(?=[;,)\n]|$)/,
    homes: [],
  },
  { name: 'Date.now', pattern: global('Date', '\\??\\.\\s*now\\b'), homes: TIME },
  { name: 'new Date()', pattern: /\bnew\s+Date\b\s*(?:\(\s*\)|[^\s(])/, homes: TIME },
  { name: 'setTimeout', pattern: global('setTimeout', ''), homes: TIME },
  { name: 'setInterval', pattern: global('setInterval', ''), homes: TIME },
  { name: 'performance.now', pattern: global('performance', '\\??\\.\\s*now\\b'), homes: TIME },
  { name: 'process.hrtime', pattern: global('process', '\\??\\.\\s*hrtime\\b'), homes: TIME },
];

/** `src/core/plan.ts` → `core`, `src/errors.ts` → `errors`, `jobs/sweep.ts` → `jobs`. */
function layerOf(file: string): string {
  const [top = '', second = ''] = file.split('/');
  return top === 'src' ? second.replace(/\.ts$/, '') : top;
}

function rowOf(layer: string): number {
  return DIRECTION.findIndex((row) => row.includes(layer));
}

function mayImport(from: string, to: string): boolean {
  if (from === to) return true;
  const only = IMPORTS_ONLY[from];
  return only === undefined ? rowOf(to) !== -1 && rowOf(to) < rowOf(from) : only.includes(to);
}

/** `jose/jwk/import` → `jose`, `@a/b/c` → `@a/b`, `timers/promises` → `node:timers`. */
function packageOf(specifier: string): string {
  const [first = '', second = ''] = specifier.split('/');
  if (isBuiltin(specifier)) return `node:${first.replace(/^node:/, '')}`;
  return first.startsWith('@') ? `${first}/${second}` : first;
}

function packageProblem(layer: string, specifier: string): string | null {
  const name = packageOf(specifier);
  const only = PACKAGES_ONLY[layer];
  if (only?.every((allowed) => name !== allowed && !(allowed === 'node:' && name.startsWith(allowed)))) {
    return `${layer} does not import ${name}`;
  }
  const importers = SOLE_IMPORTERS[name];
  return importers === undefined || importers.includes(layer) ? null : `only ${importers.join(', ')} import ${name}`;
}

function importProblem(file: string, specifier: string | null): string | null {
  if (specifier === null) return 'an import that is computed at run time cannot be checked';
  const layer = layerOf(file);
  if (!specifier.startsWith('.') && !specifier.startsWith('/')) return packageProblem(layer, specifier);
  const target = posix.join(posix.dirname(file), specifier);
  if (target.startsWith('test/')) return `imports ${target}: nothing outside test/ imports test/`;
  // The version is told from there; a package.json has no imports of its own.
  if (target === 'package.json') return null;
  return mayImport(layer, layerOf(target)) ? null : `${layer} does not import ${layerOf(target)} (${target})`;
}

function effectProblems(file: string, { code }: Scan): string[] {
  return EFFECTS.filter(({ pattern, homes }) => !homes.includes(file) && pattern.test(code)).map(
    ({ name, homes }) => `${name} lives in ${homes.length === 0 ? 'no file' : homes.join(' and ')}`,
  );
}

/** Every broken rule as `file: what is wrong`, given the files of `src/` and `jobs/` by their path from the root of the repository. */
export function violations(files: ReadonlyMap<string, string>): string[] {
  return [...files].flatMap(([file, text]) => {
    const layer = layerOf(file);
    const unknown = rowOf(layer) === -1 && IMPORTS_ONLY[layer] === undefined;
    if (unknown) return [`${file}: "${layer}" is no layer; give it a place in test/layers/rules.ts`];
    const scanned = scan(text);
    const imports = importsOf(scanned).map((specifier) => importProblem(file, specifier));
    return [...imports.filter((problem) => problem !== null), ...effectProblems(file, scanned)].map(
      (problem) => `${file}: ${problem}`,
    );
  });
}
