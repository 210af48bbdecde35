/** Clients that a request names, and that are unknown to config, store and API alike. */
import { RekeydError } from '../src/errors.ts';
import type { Asking } from './begin-asked.ts';
import { entryOf } from './breaker.ts';
import { isNamed } from './selection.ts';

/** How many are named in the log and in the audit entry, and how many of their messages in the error. */
const NAMED = 20;
const TOLD = 5;

/**
 * Its sender may not read the answer, so log and audit tell of them too.
 * @throws RekeydError `job_invalid` when the request names no other
 */
export async function tellUnknown({ asked, job, claim, tally, context }: Asking): Promise<void> {
  if (!isNamed(asked.select) || tally.unknown.size === 0) return;
  const refs = [...tally.unknown].sort();
  const messages = refs.map((ref) => tally.errors.get(ref) ?? ref);
  const data = { request: job, code: 'not_found', clients: refs.slice(0, NAMED), count: refs.length };
  const error = `the request names clients that nobody knows: ${messages[0]}`;
  const draft = entryOf({ asked, job, claim }, 'rotation.refused', { ...data, error });
  await context.resources.store.append([draft], `unknown ${job}`);
  if (refs.length === new Set(asked.select.clients).size) {
    throw new RekeydError('job_invalid', `Nothing was started: no client that is named is known. ${some(messages)}`);
  }
  context.log.warn(
    { ...data, error: messages[0] },
    'a request names clients that nobody knows: the others are rotated',
  );
}

function some(messages: readonly string[]): string {
  const more = messages.length - TOLD;
  return [...messages.slice(0, TOLD), ...(more > 0 ? [`And ${more} more.`] : [])].join(' ');
}
