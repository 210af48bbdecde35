/** One set of keys, and all sinks. */
import { type Sink, type SinkContents, SinkOutdated } from '../deliver/sink.ts';
import { messageOf, RekeydError } from '../errors.ts';

/**
 * Side by side, so that a slow sink holds up none of the others. It resolves when every sink has the set: nothing is published before that. A sink that fails
 * keeps no other one from its set, which may be one step ahead of the record then, and is as safe as before: signers hold the old key, too.
 * @throws SinkOutdated where one sink has a later set; RekeydError `sink_failed` with what each of the others says
 */
export async function deliverToAll(sinks: readonly Sink[], contents: SinkContents): Promise<void> {
  const outcomes = await Promise.allSettled(sinks.map((sink) => sink.deliver(contents)));
  const failures: unknown[] = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
  const outdated = failures.find((failure) => failure instanceof SinkOutdated);
  if (outdated !== undefined) throw outdated;
  if (failures.length === 1) throw failures[0];
  if (failures.length > 1) throw new RekeydError('sink_failed', failures.map(messageOf).join(' '));
}
