import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { violations } from './layers/rules.ts';
import { importsOf, scan } from './layers/scan.ts';

const root = join(import.meta.dirname, '..');

function sources(): Map<string, string> {
  const names = globSync(['src/**/*.ts', 'jobs/**/*.ts'], { cwd: root }).map((name) => name.replaceAll('\\', '/'));
  return new Map(names.sort().map((name) => [name, readFileSync(join(root, name), 'utf8')]));
}

const broken = (file: string, text: string) => violations(new Map([[file, text]]));

test('the sources keep the rules', () => {
  const files = sources();
  expect([...files.keys()]).toEqual(expect.arrayContaining(['src/core/plan.ts', 'src/errors.ts', 'src/time.ts']));
  expect(violations(files)).toEqual([]);
});

describe('a broken rule is found:', () => {
  test.each<[string, string, string]>([
    ['core and a module of Node', 'src/core/plan.ts', `import { createHash } from 'node:crypto';`],
    ['core and a module of Node by its old name', 'src/core/plan.ts', `import { createHash } from 'crypto';`],
    ['core and a package', 'src/core/plan.ts', `import { z } from "zod";`],
    ['core and the clock', 'src/core/plan.ts', `import type { Clock } from '../time.ts';`],
    ['core and an adapter', 'src/core/plan.ts', `export * from '../keys/algorithms.ts';`],
    ['errors and core', 'src/errors.ts', `import { plan } from './core/plan.ts';`],
    ['config and the loop', 'src/config/load.ts', `import { rotate } from '../rotation/loop.ts';`],
    ['config and an adapter', 'src/config/schema.ts', `import { algorithms } from '../keys/algorithms.ts';`],
    ['two adapters', 'src/wacht/client.ts', `import { seal } from '../audit/sealed.ts';`],
    ['two adapters, for a type', 'src/audit/seal.ts', `import type { Store } from '../store/records.ts';`],
    ['two adapters, for a type in place', 'src/audit/seal.ts', `export type S = import('../store/records.ts').Store;`],
    ['an adapter and the loop', 'src/store/records.ts', `import { rotate } from '../rotation/loop.ts';`],
    ['the loop and a job', 'src/rotation/loop.ts', `import { sweep } from '../../jobs/sweep.ts';`],
    [
      'the loop and what opens its resources',
      'src/rotation/loop.ts',
      `import { open } from '../runtime/resources.ts';`,
    ],
    ['a job and the service', 'jobs/sweep.ts', `await import('../src/runtime/service.ts');`],
    ['HTTP and the service', 'src/http/server.ts', `import '../runtime/service.ts';`],
    ['the service and the command line', 'src/runtime/service.ts', `export { main } from '../cli.ts';`],
    ['the signer and the rest', 'src/signer/signer.ts', `import { RekeydError } from '../errors.ts';`],
    ['the signer and a package', 'src/signer/signer.ts', `import { request } from 'undici';`],
    ['the rest and the signer', 'src/wacht/proof.ts', `import { sign } from '../signer/signer.ts';`],
    ['bullmq outside jobs', 'src/rotation/loop.ts', `import type { Job } from 'bullmq';`],
    ['ioredis outside the store', 'jobs/workers.ts', `import { Redis } from 'ioredis';`],
    ['a file of ioredis outside the store', 'jobs/workers.ts', `import utils from 'ioredis/built/utils';`],
    ['undici outside net', 'src/http/server.ts', `const { request } = await import('undici');`],
    ['fastify outside HTTP', 'src/runtime/service.ts', `const fastify = require('fastify');`],
    ['tests from outside of them', 'src/runtime/service.ts', `import { serve } from '../../test/emulator/serve.ts';`],
    ['tests from jobs', 'jobs/sweep.ts', `import { serve } from '../test/emulator/serve.ts';`],
    ['an import that is computed', 'src/runtime/service.ts', `await import(\`./\${name}.ts\`);`],
    ['an import over several lines', 'src/core/plan.ts', `import {\n  a, // one\n  b,\n} from\n  'zod';`],
    ['an import without blanks', 'src/core/plan.ts', `import{a}from'zod';`],
    ['an import after a comment', 'src/core/plan.ts', `/* 'quoted */ import { a } from 'zod';`],
    ['an import after a regular expression', 'src/core/plan.ts', `const quote = /['"\`/]/;\nimport { a } from 'zod';`],
    ['a file without a layer', 'src/helpers.ts', ''],
    ['the environment', 'src/config/load.ts', 'const url = process.env.REDIS_URL;'],
    ['the environment of globalThis', 'src/config/load.ts', 'const url = globalThis.process?.env;'],
    ['the environment, taken apart', 'src/config/load.ts', 'const { env } = process;'],
    ['the environment by index', 'src/config/load.ts', `const env = process['env'];`],
    ['the environment by import', 'src/config/load.ts', `import { env } from 'node:process';`],
    ['the environment in a template', 'src/config/load.ts', `const home = \`\${\`x\${process.env.HOME}\`}/y\`;`],
    ['a signal handler', 'src/runtime/service.ts', `process.once('SIGTERM', stop);`],
    ['an exit', 'jobs/workers.ts', 'process.exit(1);'],
    ['an exit code', 'jobs/workers.ts', 'process.exitCode = 1;'],
    ['a diagnostic report', 'src/rotation/loop.ts', 'process.report.writeReport();'],
    ['the clock', 'src/rotation/loop.ts', 'const now = Date.now();'],
    ['the clock, passed on', 'src/rotation/loop.ts', 'loop({ now: Date.now });'],
    ['the clock by a date', 'src/rotation/loop.ts', 'const now = new Date();'],
    ['a timer', 'src/net/exchange.ts', 'setTimeout(abort, 1000);'],
    ['a timer by import', 'src/net/exchange.ts', `import { scheduler } from 'node:timers/promises';`],
    ['an interval', 'src/audit/seal.ts', 'const timer = globalThis.setInterval(seal, 1000);'],
    ['the monotonic clock', 'src/audit/seal.ts', 'const started = performance.now();'],
  ])('%s', (_, file, text) => {
    expect(broken(file, text)).toHaveLength(1);
  });
});

describe('what keeps the rules is left alone:', () => {
  test.each<[string, string, string]>([
    [
      'core within itself',
      'src/core/plan.ts',
      `import { due } from './due.ts';\nimport { RekeydError } from '../errors.ts';`,
    ],
    [
      'an adapter and what is below',
      'src/keys/sealed.ts',
      `import { a } from '../core/record.ts';\nimport { b } from '../time.ts';`,
    ],
    [
      'the sole importers',
      'jobs/workers.ts',
      `import { Worker } from 'bullmq';\nimport { rotate } from '../src/rotation/loop.ts';`,
    ],
    ['the homes', 'src/cli.ts', `process.on('SIGINT', stop); run(process.env); process.exit(0);`],
    ['a clock in its home', 'src/time.ts', 'Date.now(); setTimeout(f, 1); setInterval(f, 1); performance.now();'],
    ['the signer', 'src/signer/signer.ts', `import { SignJWT } from 'jose';\nimport { watch } from 'node:fs';`],
    ['a comment', 'src/core/plan.ts', `// import { a } from 'zod'; Date.now()\n/* process.env */`],
    ['a string', 'src/core/plan.ts', `const text = "import { a } from 'zod'; Date.now()";`],
    ['a template', 'src/core/plan.ts', `const text = \`import "zod"; \${a} process.env \${{ b: '}' }.b} Date.now()\`;`],
    ['a regular expression', 'src/core/plan.ts', 'const comment = /[/]* process.env ["]/; const half = a / b / 2;'],
    ['a date of a known time', 'src/core/plan.ts', 'const text = new Date(now).toISOString();'],
    ['other people’s properties', 'src/core/plan.ts', 'job.process.env; clock.setTimeout(1); options.process = run;'],
    ['other parts of process', 'src/http/server.ts', 'const { rss } = process.memoryUsage(); process.pid;'],
  ])('%s', (_, file, text) => {
    expect(broken(file, text)).toEqual([]);
  });
});

test('the scanner tells every import of a file in order', () => {
  const text = [
    `#!/usr/bin/env node`,
    `import a, { type B } from './a.ts';`,
    `import * as c from "./c.ts";`,
    `export const d = 'from "no.ts"';`,
    `export { e as default } from './e.ts';`,
    `export interface F { readonly from: string }`,
    `export * as g from './g.ts';`,
    'const h = (x: number) => import(`./h.ts`);',
  ].join('\n');
  expect(importsOf(scan(text))).toEqual(['./a.ts', './c.ts', './e.ts', './g.ts', './h.ts']);
});
