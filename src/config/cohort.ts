/** The setting `cohort`: which part of a wave goes first, and when the rest follows. */
import { z } from 'zod';
import type { CohortPolicy } from '../core/wave.ts';
import { count, duration, section } from './fields.ts';

const PERCENT = /^[0-9]{1,3}(?:\.[0-9]{1,3})?%$/;

/** `5%`, as the number 5. */
export function percent(description: string) {
  const expected = 'a part in percent, such as 5% or 0.5%';
  return z
    .string({ error: `must be text: write ${expected}` })
    .transform((value, context) => {
      const part = PERCENT.test(value) ? Number(value.slice(0, -1)) : 0;
      if (part > 0 && part <= 100) return part;
      context.addIssue({ code: 'custom', message: `is not a part: write ${expected}, more than 0% and at most 100%` });
      return z.NEVER;
    })
    .meta({ description, pattern: PERCENT.source });
}

/** Null: everything that is due begins at once. */
export function cohort() {
  const sizes = section({
    first: percent('The part of a wave that goes first; at least one client.').prefault('5%'),
    then: duration('The rest follows this long after that part was begun, when it signs in.', { zero: true }).prefault(
      '1h',
    ),
    stop_after: count('So many rotations that failed or were rolled back stop the wave.', 1, 1_000_000).prefault(1),
  });
  return z
    .union([z.literal('off'), z.literal(false), sizes], {
      error: 'is neither off nor a section: write off, or { first: 5%, then: 1h, stop_after: 1 }',
    })
    .transform((value): CohortPolicy | null => {
      if (typeof value !== 'object') return null;
      return { firstPercent: value.first, thenMs: value.then, stopAfter: value.stop_after };
    })
    .describe(
      'Of 20 due clients and more, and whenever alg or format change, a part is rotated first; the rest follows when that signs in. off: all at once.',
    )
    .prefault({});
}
