/**
 * Deliberate breakages of the protocol, each applied to a copy of the sources: a harness that lets one of them pass is blind there. A patch names
 * the circumstances in which it does harm and the rule that it then breaks.
 */
import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inParallel } from '../../src/parallel.ts';
import type { Violation } from './checker.ts';
import { applyPatch, type Patch, parsePatch } from './mutants/patch.ts';
import type { Totals } from './totals.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PATCHES = join(ROOT, 'test/faults/mutants');

/** How often a mutant may get away before it counts as not caught. */
const TRIES = 3;

const AT_ONCE = 2;

export interface Mutant {
  readonly name: string;
  readonly patch: Patch;
  /** One of `circumstances.ts`. */
  readonly when: string;
  readonly breaks: string;
}

interface Outcome {
  readonly violations: readonly Violation[];
  readonly seconds: number;
}

export function mutants(): readonly Mutant[] {
  const files = readdirSync(PATCHES).filter((file) => file.endsWith('.patch'));
  return files.sort().map((file) => {
    const patch = parsePatch(readFileSync(join(PATCHES, file), 'utf8'));
    const { When: when, Breaks: breaks } = patch.header;
    if (when === undefined || breaks === undefined) throw new Error(`${file} does not say "When:" and "Breaks:"`);
    return { name: file.replace(/\.patch$/, ''), patch, when, breaks };
  });
}

/** @param only a part of the names of those that are tried */
export async function tryMutants(say: (line: string) => void, only = ''): Promise<Totals['mutants']> {
  const chosen = mutants().filter(({ name }) => name.includes(only));
  const sound = await soundCircumstances([...new Set(chosen.map(({ when }) => when))], say);
  let caught = 0;
  await inParallel(chosen, AT_ONCE, async (mutant) => {
    const isCaught = sound.has(mutant.when) && (await isCaughtInTime(mutant, say));
    if (isCaught) caught += 1;
    else say(`NOT CAUGHT ${mutant.name}, which should break ${mutant.breaks}`);
  });
  return { total: chosen.length, caught };
}

/** Those that break nothing by themselves: in the others a mutant could be caught for nothing. */
async function soundCircumstances(names: readonly string[], say: (line: string) => void): Promise<ReadonlySet<string>> {
  const sound = new Set<string>();
  await inParallel(names, AT_ONCE, async (name) => {
    const { violations, seconds } = await play(ROOT, name, 1);
    if (violations.length === 0) sound.add(name);
    say(`unbroken   ${name.padEnd(26)} ${seconds.toFixed(0).padStart(3)} s  ${rulesOf(violations)}`);
  });
  return sound;
}

async function isCaughtInTime({ name, patch, when, breaks }: Mutant, say: (line: string) => void): Promise<boolean> {
  const copy = mkdtempSync(join(tmpdir(), 'rekeyd-mutant-'));
  try {
    for (const part of ['src', 'jobs', 'test', 'package.json', 'tsconfig.json']) {
      cpSync(join(ROOT, part), join(copy, part), { recursive: true });
    }
    symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
    const changed = applyPatch(patch, (file) => readFileSync(join(copy, file), 'utf8'));
    for (const [file, text] of changed) writeFileSync(join(copy, file), text);
    for (let seed = 1; seed <= TRIES; seed += 1) {
      const { violations, seconds } = await play(copy, when, seed);
      const isCaught = violations.some(({ rule }) => rule === breaks);
      const verdict = isCaught ? 'caught' : 'got away';
      say(`${verdict.padEnd(10)} ${name.padEnd(26)} ${seconds.toFixed(0).padStart(3)} s  ${rulesOf(violations)}`);
      if (isCaught) return true;
    }
    return false;
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

function rulesOf(violations: readonly Violation[]): string {
  return [...new Set(violations.map(({ rule }) => rule))].sort().join(', ');
}

/** One scenario with the sources in `root`. */
function play(root: string, circumstance: string, seed: number): Promise<Outcome> {
  const args = [join(root, 'test/faults/mutant-child.ts'), circumstance, String(seed)];
  return new Promise((resolve) => {
    execFile(process.execPath, args, { cwd: root, maxBuffer: 1 << 28 }, (_error, stdout, stderr) => {
      try {
        resolve(JSON.parse(stdout));
      } catch {
        const message = `the scenario itself broke down: ${stderr}`;
        resolve({ violations: [{ rule: 'no_judgement', ref: null, message }], seconds: 0 });
      }
    });
  });
}
