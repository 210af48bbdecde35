/** One set of keys, and all sinks. */
import { holdsPrivate } from '../deliver/redact.ts';
import { type Sink, type SinkContents, SinkOutdated, sinkFailed } from '../deliver/sink.ts';
import { messageOf, RekeydError } from '../errors.ts';

/**
 * At the same time, so that a slow sink holds up none of the others. Resolves when every sink has the set: nothing is published before that. When one sink
 * fails, the others still get the set. They are then a step ahead of the record, which does no harm: their signers hold the old key too.
 * @throws SinkOutdated where one sink has a later set; RekeydError `sink_failed` with what each of the others says
 */
export async function deliverToAll(sinks: readonly Sink[], contents: SinkContents): Promise<void> {
  const failures: unknown[] = [];
  await Promise.all(
    sinks.map(async (sink) => {
      try {
        await sink.deliver(contents);
      } catch (error) {
        failures.push(withoutKeys(error, sink, contents));
      }
    }),
  );
  const outdated = failures.find((failure) => failure instanceof SinkOutdated);
  if (outdated !== undefined) throw outdated;
  if (failures.length === 1) throw failures[0];
  if (failures.length > 1) throw new RekeydError('sink_failed', failures.map(messageOf).join(' '));
}

/** A server that refuses a set may repeat it in its answer, and the error of a delivery is logged, shown and stored. */
function withoutKeys(error: unknown, { name }: Sink, contents: SinkContents): unknown {
  if (!holdsPrivate(Buffer.from(messageOf(error)), contents)) return error;
  const hint = 'Its answer repeats what it was sent: see its own log, and replace the key if others can read that';
  return sinkFailed(name, 'its error has a part of a private key in it, which is not repeated here', hint);
}
