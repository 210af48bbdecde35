/** How the fuzz tests run: how many cases, from which seed, and what may come out of a function that is given nonsense. */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { afterAll, vi } from 'vitest';
import { ConfigError } from '../../src/config/problems.ts';
import { RekeydError } from '../../src/errors.ts';
import { SignerError } from '../../src/signer/index.ts';

/** A few hundred in `npm test`; `FUZZ_RUNS=100000` for a long run, from a new seed each time unless `FUZZ_SEED` names one. */
const { FUZZ_RUNS, FUZZ_SEED } = process.env;
const RUNS = Number(FUZZ_RUNS ?? 200);
const SEED = FUZZ_SEED ?? (FUZZ_RUNS === undefined ? 3 : undefined);

/** No case takes this long, in ms, on any machine. A case that never ends is ended by the test runner. */
const SLOW_CASE_MS = 100;

/**
 * Runs a property over the corpus and then over as many random cases as asked for. A failure is printed with its seed and path.
 *
 * @param share of the runs, for targets whose cases are slow
 */
export async function fuzz<T>(
  input: fc.Arbitrary<T>,
  corpus: readonly T[],
  property: (value: T) => void | Promise<void>,
  share = 1,
): Promise<void> {
  const numRuns = corpus.length + Math.ceil(RUNS * share);
  await fc.assert(
    fc.asyncProperty(input, async (value) => {
      await property(value);
    }),
    {
      numRuns,
      examples: corpus.map((one): [T] => [one]),
      ...(SEED === undefined ? {} : { seed: Number(SEED) }),
    },
  );
}

vi.setConfig({ testTimeout: Math.max(60_000, RUNS * SLOW_CASE_MS) });

/** Memory, where Linux has a folder in it: a disk that syncs would take most of the time. */
const FOLDERS = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

/** A folder for the files of one test file, removed after its tests. */
export async function scratchFolder(): Promise<string> {
  const root = await mkdtemp(join(FOLDERS, 'rekeyd-fuzz-'));
  afterAll(() => rm(root, { recursive: true }));
  return root;
}

/** Whether `error` is one that rekeyd raises on purpose. */
export function isDocumented(error: unknown): boolean {
  return error instanceof RekeydError || error instanceof SignerError || error instanceof ConfigError;
}

/** What came of a call: its value, or the documented error that it ended with. Any other error fails the test. */
export type Came<T> = { readonly value: T } | { readonly error: Error };

/** Beyond it a message is no message: nobody reads it, and it fills logs and Redis. */
const LONGEST_MESSAGE = 100_000;

/** @param secrets texts that no error may show, neither in its message nor in its causes */
export async function came<T>(call: () => T | Promise<T>, secrets: readonly string[] = []): Promise<Came<T>> {
  try {
    return { value: await call() };
  } catch (error) {
    if (!(error instanceof Error) || !isDocumented(error)) throw error;
    const shown = inspect(error, { depth: 20, maxStringLength: null });
    if (error.message.length > LONGEST_MESSAGE) throw new Error(`a message of ${error.message.length} characters`);
    for (const secret of secrets) {
      if (shown.includes(secret)) throw new Error(`an error shows a secret: ${error.name} ${error.message}`);
    }
    return { error };
  }
}

/** Pieces of a secret text that are long enough not to be there by chance. */
export function piecesOf(text: string, length = 12): string[] {
  return Array.from({ length: Math.floor(text.length / length) }, (_, at) =>
    text.slice(at * length, (at + 1) * length),
  );
}

/** JSON values with names that objects treat in a way of their own. */
export const oddJson: fc.Arbitrary<unknown> = fc
  .json({ maxDepth: 3 })
  .map((text) => JSON.parse(text.replaceAll('"a"', '"__proto__"').replaceAll('"b"', '"constructor"')));

/** A text with one to four places changed, cut out or doubled. */
export function mutated(text: string): fc.Arbitrary<string> {
  const change = fc.tuple(
    fc.nat(),
    fc.nat(12),
    fc.constantFrom('', 'A', '"', '\0', '{', '-', '.', '=', '\n', '\u{1F511}'),
  );
  return fc.array(change, { minLength: 1, maxLength: 4 }).map((changes) =>
    changes.reduce((changed, [seed, length, put]) => {
      const at = seed % (changed.length + 1);
      return changed.slice(0, at) + put + changed.slice(at + length);
    }, text),
  );
}

/** `object` with some of its members (and some new ones) set to something else or taken away. */
export function distorted(
  object: Readonly<Record<string, unknown>>,
  values: fc.Arbitrary<unknown> = oddJson,
): fc.Arbitrary<Record<string, unknown>> {
  const names = fc.constantFrom(...Object.keys(object), 'unknown', 'constructor');
  const kept = fc.constantFrom(...Object.values(object));
  return fc
    .array(fc.tuple(names, fc.oneof(values, kept, fc.constant(undefined))), { minLength: 1, maxLength: 3 })
    .map((changes) => ({ ...object, ...Object.fromEntries(changes) }));
}
