/** Deliberate breakages of the protocol, each applied to a copy of the sources: a harness that lets one of them pass is blind there. */
import { execFile, execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inParallel } from '../../src/parallel.ts';
import type { Totals } from './totals.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PATCHES = join(ROOT, 'test/faults/mutants');

/** How often a mutant may get away before it counts as not caught. */
const SEEDS = 6;

const AT_ONCE = 2;

/** What a machine that is merely slow can be blamed for too. */
const VAGUE = ['stuck', 'forgotten', 'unanswered'];

export async function tryMutants(say: (line: string) => void, only = ''): Promise<Totals['mutants']> {
  const names = readdirSync(PATCHES)
    .filter((name) => name.endsWith('.patch') && name.includes(only))
    .sort();
  let caught = 0;
  await inParallel(names, AT_ONCE, async (name) => {
    const rules = await tryMutant(name);
    if (rules.length > 0) caught += 1;
    say(
      `${rules.length > 0 ? 'caught    ' : 'NOT CAUGHT'} ${name.replace(/\.patch$/, '').padEnd(28)} ${rules.join(', ')}`,
    );
  });
  return { total: names.length, caught };
}

/** The rules that it broke. */
async function tryMutant(name: string): Promise<readonly string[]> {
  const copy = mkdtempSync(join(tmpdir(), 'rekeyd-mutant-'));
  try {
    for (const part of ['src', 'jobs', 'test', 'package.json', 'tsconfig.json']) {
      cpSync(join(ROOT, part), join(copy, part), { recursive: true });
    }
    symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
    execFileSync('git', ['apply', join(PATCHES, name)], { cwd: copy, stdio: 'inherit' });
    const { violations } = await run(copy);
    return [...new Set(violations.map(({ rule }) => rule))].filter((rule) => !VAGUE.includes(rule)).sort();
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

function run(copy: string): Promise<Totals> {
  const args = [join(copy, 'test/faults/main.ts'), '--json', '--until-caught', '--seeds', String(SEEDS)];
  return new Promise((resolve, reject) => {
    execFile(process.execPath, args, { cwd: copy, maxBuffer: 1 << 28 }, (_error, stdout, stderr) => {
      try {
        resolve(JSON.parse(stdout));
      } catch {
        reject(new Error(`a mutant broke the harness itself:\n${stderr}`));
      }
    });
  });
}
