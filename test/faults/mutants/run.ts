/**
 * Deliberate breakages of the protocol, each applied to a copy of the sources: a harness that lets one of them pass is blind there. A mutant names
 * the circumstances in which it does harm and the rule that it then breaks; or, where no run of a process shows it, the test that has to fail.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inParallel } from '../../../src/parallel.ts';
import type { Violation } from '../checks/checker.ts';
import type { Totals } from '../totals.ts';
import { MUTANTS } from './all.ts';
import type { ByTest, Mutant } from './mutant.ts';
import { runNode } from './run-node.ts';
import { applyEdits } from './syntax.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** What a copy of the project needs to run. */
const COPIED = ['src', 'jobs', 'test', 'package.json', 'tsconfig.json', 'vitest.config.ts'];

/** How often a mutant may get away before it counts as not caught. */
const TRIES = 3;

const AT_ONCE = 2;

/** How long one run may take, in ms. One in which nothing comes that is waited for ends by itself before that. */
const MOST_MS = 900_000;

interface Outcome {
  readonly violations: readonly Violation[];
  readonly seconds: number;
  /** It had to be ended: it judged nothing, so it has not caught anything either. */
  readonly isHung?: true;
}

/** @param only a part of the names of those that are tried */
export async function tryMutants(say: (line: string) => void, only = ''): Promise<Totals['mutants']> {
  const chosen = MUTANTS.filter(({ name }) => name.includes(only));
  const sound = await soundSurroundings(chosen, say);
  let caught = 0;
  await inParallel(chosen, AT_ONCE, async (mutant) => {
    const isCaught =
      sound.has(surroundingsOf(mutant)) &&
      (await isCaughtInTime(mutant, say).catch((error: unknown) => {
        say(`${mutant.name}: ${String(error)}`);
        return false;
      }));
    if (isCaught) caught += 1;
    else say(`NOT CAUGHT ${mutant.name}, which should break ${wantedOf(mutant)}`);
  });
  return { total: chosen.length, caught };
}

/** Where a mutant is to be caught: what has to be found sound before. */
function surroundingsOf({ caught }: Mutant): string {
  return 'in' in caught ? caught.in : `${caught.by}: ${caught.named}`;
}

function wantedOf({ caught }: Mutant): string {
  return 'in' in caught ? caught.as : `the test "${caught.named}"`;
}

/** Those in which nothing is broken without a mutant: in the others one could be caught for nothing. */
async function soundSurroundings(
  mutants: readonly Mutant[],
  say: (line: string) => void,
): Promise<ReadonlySet<string>> {
  const sound = new Set<string>();
  const all = new Map(mutants.map((mutant) => [surroundingsOf(mutant), mutant]));
  await inParallel([...all], AT_ONCE, async ([name, mutant]) => {
    const { violations, seconds } = await playFor(mutant, ROOT, 1);
    if (violations.length === 0) sound.add(name);
    say(row('unbroken', 'in' in mutant.caught ? name : mutant.caught.named, seconds, violations));
  });
  return sound;
}

function row(verdict: string, name: string, seconds: number, violations: readonly Violation[]): string {
  const rules = [...new Set(violations.map(({ rule, message }) => (rule === NO_JUDGEMENT ? message : rule)))].sort();
  return `${verdict.padEnd(10)} ${name.padEnd(26)} ${seconds.toFixed(0).padStart(3)} s  ${rules.join(', ')}`;
}

async function isCaughtInTime(mutant: Mutant, say: (line: string) => void): Promise<boolean> {
  const copy = mkdtempSync(join(tmpdir(), 'rekeyd-mutant-'));
  try {
    for (const part of COPIED) cpSync(join(ROOT, part), join(copy, part), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
    const changed = applyEdits(mutant.edits, (file) => readFileSync(join(copy, file), 'utf8'));
    for (const [file, text] of changed) writeFileSync(join(copy, file), text);
    for (let seed = 1; seed <= TRIES; seed += 1) {
      const { violations, seconds, isHung = false } = await playFor(mutant, copy, seed);
      const isCaught = violations.some(({ rule }) => rule === wantedOf(mutant));
      say(row(isCaught ? 'caught' : isHung ? 'hung' : 'got away', mutant.name, seconds, violations));
      // The next seed would hang as well.
      if (isCaught || isHung) return isCaught;
    }
    return false;
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

/** What the sources in `root` break where this mutant is to be caught. */
function playFor(mutant: Mutant, root: string, seed: number): Promise<Outcome> {
  const { caught } = mutant;
  return 'in' in caught ? play(root, caught.in, seed) : runTest(root, caught, wantedOf(mutant));
}

/** One scenario. */
async function play(root: string, circumstance: string, seed: number): Promise<Outcome> {
  const child = join(root, 'test/faults/mutants/child.ts');
  const { stdout, stderr, isHung } = await runNode(root, [child, circumstance, String(seed)], MOST_MS);
  if (isHung) return HUNG;
  try {
    return JSON.parse(stdout);
  } catch {
    return { violations: [noJudgement(`the scenario itself broke down: ${stderr}`)], seconds: 0 };
  }
}

/** What Vitest's JSON report tells of each test. */
interface Report {
  readonly testResults: readonly {
    readonly assertionResults: readonly { readonly title: string; readonly status: string }[];
  }[];
}

/** One test: when it fails, that is the rule that was broken. */
async function runTest(root: string, { by, named }: ByTest, rule: string): Promise<Outcome> {
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  const folder = mkdtempSync(join(tmpdir(), 'rekeyd-mutant-report-'));
  const file = join(folder, 'report.json');
  const startedAt = performance.now();
  const reporting = ['--reporter', 'json', '--outputFile', file];
  const args = [vitest, 'run', by, '--testNamePattern', named, ...reporting];
  const { stderr, isHung } = await runNode(root, args, MOST_MS);
  const seconds = (performance.now() - startedAt) / 1000;
  try {
    if (isHung) return HUNG;
    const { testResults }: Report = JSON.parse(readFileSync(file, 'utf8'));
    const found = testResults.flatMap(({ assertionResults }) =>
      assertionResults.filter(({ title }) => title === named),
    );
    const [only] = found;
    if (only === undefined || found.length > 1) throw new Error(`there are ${found.length} tests of that name`);
    const violations = only.status === 'passed' ? [] : [{ rule, ref: null, message: only.status }];
    return { violations, seconds };
  } catch (error) {
    return { violations: [noJudgement(`${String(error)}: ${stderr}`)], seconds };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const NO_JUDGEMENT = 'no_judgement';

function noJudgement(message: string): Violation {
  return { rule: NO_JUDGEMENT, ref: null, message };
}

const HUNG: Outcome = {
  violations: [noJudgement(`it had not ended after ${MOST_MS / 60_000} minutes`)],
  seconds: MOST_MS / 1000,
  isHung: true,
};
