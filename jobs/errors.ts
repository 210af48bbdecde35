/** Errors of BullMQ and of jobs, told in the log once. */
import { messageOf } from '../src/errors.ts';
import type { Resources } from '../src/rotation/resources.ts';
import { isOutage, isRefusal } from '../src/store/redis/replies.ts';

/**
 * BullMQ's connections report every try of an outage, and each command that Redis refuses. The store's own connection tells the outage once, and its guard
 * the refusal that it finds too, so these are for debugging.
 */
export async function tellError(
  { log, guard }: Pick<Resources, 'log' | 'guard'>,
  error: Error,
  what: string,
  fields: object = {},
): Promise<void> {
  const isTold = isOutage(error) || (isRefusal(error) && (await guard.doubt(error)));
  log[isTold ? 'debug' : 'warn']({ ...fields, error: messageOf(error) }, what);
}
