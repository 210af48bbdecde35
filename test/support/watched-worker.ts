/** `rekeyd start` in a process that lets itself be looked into: reports, heap snapshots, memory, and what a crash leaves. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import type { Fleet } from './fleet.ts';
import { until } from './patient.ts';

const CLI = fileURLToPath(new URL('../../src/cli.ts', import.meta.url));
const PLANT = new URL('./planted.ts', import.meta.url).href;

/** A shell that allows core dumps, as far as the machine lets it, and becomes the program. */
const WITH_CORE_DUMPS = ['-c', 'ulimit -c unlimited 2>/dev/null; exec "$0" "$@"'];

/**
 * Writes a report on SIGHUP and a heap snapshot on SIGUSR2 into `folder`, where it also runs and logs. Killed when the test ends.
 * @param plantedFile whose text it keeps in memory, so that a search has something to find
 * @param program what runs beside the planted text; the command line when absent
 */
export async function startWatched(
  fleet: Fleet,
  folder: string,
  plantedFile: string,
  program?: string,
): Promise<ChildProcess> {
  const config = join(fleet.dir, 'rekeyd.yaml');
  await writeFile(config, JSON.stringify(fleet.file));
  const looking = ['--report-on-signal', '--report-signal=SIGHUP', `--report-directory=${folder}`];
  // V8 cuts strings off after 1024 characters, where a key may only begin.
  const heap = ['--heapsnapshot-signal=SIGUSR2', `--diagnostic-dir=${folder}`, '--heap-snapshot-string-limit=1000000'];
  const start = [CLI, 'start', '--no-http', '--no-schedule', '--config', config];
  const main = program === undefined ? start : ['--eval', program];
  const log = openSync(join(folder, 'stderr'), 'a');
  const child = spawn(
    '/bin/sh',
    [...WITH_CORE_DUMPS, process.execPath, ...looking, ...heap, '--import', PLANT, ...main],
    {
      stdio: ['ignore', 'ignore', log],
      cwd: folder,
      env: { PATH: process.env.PATH, ...fleet.env, PLANTED: plantedFile, REKEYD_LOG_LEVEL: 'debug' },
    },
  );
  closeSync(log);
  onTestFinished(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  });
  return child;
}

/** The file that the child writes into `folder` on `signal`, once it is whole: both kinds are JSON, and end with a brace. */
export async function written(
  child: ChildProcess,
  signal: NodeJS.Signals,
  folder: string,
  name: RegExp,
): Promise<Buffer> {
  child.kill(signal);
  return until(`a file like ${name}`, async () => {
    const found = (await readdir(folder)).find((file) => name.test(file));
    if (found === undefined) return null;
    const bytes = await readFile(join(folder, found));
    return bytes.subarray(-4).includes('}') && isJson(bytes) && bytes;
  });
}

function isJson(bytes: Buffer): boolean {
  try {
    JSON.parse(bytes.toString());
    return true;
  } catch {
    return false;
  }
}
