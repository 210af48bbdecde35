/** The points where a worker can be struck, read off the code itself: a step that is added to the core is in this list without anybody's help. */
import { readFileSync } from 'node:fs';
import type { Deed } from './trouble/sentence.ts';

const ROOT = new URL('../../', import.meta.url);
const read = (file: string) => readFileSync(new URL(file, ROOT), 'utf8');

/** Steps that make their intent durable before anything leaves the process. */
const ANNOUNCED = ['patch', 'serve'];

/** Steps whose effect is a request over the network. */
const REQUESTS = ['patch', 'look', 'prove_new', 'prove_old', 'choose'];

/** What was seen, or heard, is committed with what follows from it. */
const UNCOMMITTED = ['look', 'hear'];

/** The members of the core's `Action` union, but for those that change nothing outside of the record. */
export const STEPS: readonly string[] = stepsOf(read('src/core/action.ts'), read('src/rotation/decide.ts'));

const commitsOf = (name: string) => [`${name}:before commit`, `${name}:after commit`];

export const POINTS: readonly string[] = STEPS.flatMap((step) => [
  ...(ANNOUNCED.includes(step) ? commitsOf(`${step}:intent`) : []),
  `${step}:before effect`,
  `${step}:after effect`,
  ...(UNCOMMITTED.includes(step) ? [] : commitsOf(step)),
]);

/** Passed where something was seen, or time alone changed the record, and then there is nothing to do for now; or there is, and no turn for it. */
export const SELDOM: readonly string[] = [...UNCOMMITTED.flatMap(commitsOf), ...commitsOf('rest')];

/** Before these an answer is awaited that can be lost: Redis', or the API's. */
const ANSWERED: readonly string[] = POINTS.filter(
  (point) => point.endsWith('before commit') || REQUESTS.some((step) => point === `${step}:before effect`),
);

/** Where each deed can be done. */
export const PLACES: Readonly<Record<Deed, readonly string[]>> = {
  kill: POINTS,
  throw: POINTS,
  delay: POINTS,
  drop: ANSWERED,
  // Waits for somebody who knows what for.
  hold: [],
};

function stepsOf(actions: string, decided: string): string[] {
  const [union] = /export type Action =[\s\S]*?;\n\n/.exec(actions) ?? [];
  const [inside] = /type Outside = Exclude<[\s\S]*?>;\n/.exec(decided) ?? [];
  const [wait] = /export interface Wait \{[\s\S]*?\n\}/.exec(actions) ?? [];
  const all = named(`${union}${wait}`, /readonly do: '(\w+)'/g);
  const apart = named(inside ?? '', /'(\w+)'/g);
  if (apart.length === 0 || !apart.every((step) => all.includes(step)))
    throw new Error('src/core/action.ts and src/rotation/decide.ts do not name the same steps');
  return all.filter((step) => !apart.includes(step));
}

function named(source: string, pattern: RegExp): string[] {
  return [...source.matchAll(pattern)].map(([, name = '']) => name);
}
