#!/usr/bin/env -S MALLOC_ARENA_MAX=2 node --max-semi-space-size=4 --heap-growing-percent=25
/**
 * Where the process begins and ends. On a Node.js that is too old the packages fail while they are imported, with a stack trace that says nothing of the
 * cause: so its version is looked at first, and the rest is imported after that.
 */
import { readFileSync } from 'node:fs';
import { keepMemoryOutOfCoreDumps } from './runtime/lifecycle.ts';
import { whyTooOld } from './runtime/node-version.ts';
import { wantedThreads } from './runtime/thread-pool.ts';

async function main(argv: readonly string[], env: Readonly<Record<string, string | undefined>>): Promise<number> {
  const { engines }: { engines: { node: string } } = JSON.parse(
    readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
  );
  const tooOld = whyTooOld(process.versions.node, engines.node);
  if (tooOld !== null) {
    process.stderr.write(`${tooOld}\n`);
    return 2;
  }
  // People pass diagnostic reports on. Leave the environment out of them: it may hold secrets.
  process.report.excludeEnv = true;
  keepMemoryOutOfCoreDumps();
  process.stdout.on('error', (error) => {
    // A worker that exports its audit log there goes on without: the export tells of it.
    if (process.stdout.listenerCount('error') === 1) process.exit(outputLost(error));
  });
  // Before the import: the pool takes its size when it is first used, and what is imported may use it.
  process.env.UV_THREADPOOL_SIZE ||= String(wantedThreads());
  const { run } = await import('./commands/line.ts');
  return run(argv, (file = env.REKEYD_CONFIG || 'rekeyd.yaml') => ({ file, env, exit: process.exit }));
}

/** @returns what the process ends with. The reader of our output may stop early, as `head` does: nothing is lost by that. */
function outputLost(error: NodeJS.ErrnoException): number {
  if (error.code === 'EPIPE') return 0;
  process.stderr.write(`rekeyd: The output could not be written: ${error.message}. What the command did stays done.\n`);
  return 1;
}

const code = await main(process.argv, process.env);
// The process ends by itself only when all connections are closed, and one to a Redis that is gone may never be.
process.stdout.write('', (error) => process.exit(error ? outputLost(error) : code));
