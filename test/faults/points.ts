/** The points where a worker can be struck, read off the code itself: a step that is added to the core is in this list without anybody's help. */
import { readFileSync } from 'node:fs';
import type { Deed } from './sentence.ts';

const PLAN = new URL('../../src/core/plan.ts', import.meta.url);

/** How a run comes to rest; nothing is done for these. */
const RESTS = ['wait', 'done'];

/** Steps that make their intent durable before anything leaves the process. */
const ANNOUNCED = ['patch', 'serve'];

/** Steps whose effect is a request over the network. */
const REQUESTS = ['patch', 'observe', 'prove'];

/** The members of the core's `Step` union. */
export const STEPS: readonly string[] = stepsOf(readFileSync(PLAN, 'utf8'));

export const POINTS: readonly string[] = STEPS.flatMap((step) => [
  ...(ANNOUNCED.includes(step) ? [`${step}:intent:before commit`, `${step}:intent:after commit`] : []),
  `${step}:before effect`,
  `${step}:after effect`,
  `${step}:before commit`,
  `${step}:after commit`,
]);

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
};

function stepsOf(source: string): string[] {
  const [union] = /export type Step =[\s\S]*?;\n\n/.exec(source) ?? [];
  const steps = [...(union ?? '').matchAll(/readonly do: '(\w+)'/g)].map(([, step = '']) => step);
  if (steps.length <= RESTS.length) throw new Error('the Step union was not found in src/core/plan.ts');
  return steps.filter((step) => !RESTS.includes(step));
}
