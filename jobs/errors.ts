/** Errors of BullMQ and of jobs, told in the log once. */
import { messageOf } from '../src/errors.ts';
import type { Log } from '../src/rotation/resources.ts';
import { isOutage } from '../src/store/redis/replies.ts';

/** BullMQ's connections report every try of an outage; the store's connection tells the outage once, so these are for debugging. */
export function tellError(log: Log, error: Error, what: string, fields: object = {}): void {
  log[isOutage(error) ? 'debug' : 'warn']({ ...fields, error: messageOf(error) }, what);
}
