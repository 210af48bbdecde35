/** Reads what the signers of a client report, in all sinks. */
import type { ClientRef } from '../core/client.ts';
import type { Hearing } from '../core/heard.ts';
import type { SignerReport } from '../core/signers.ts';
import type { Sink } from '../deliver/sink.ts';
import { messageOf } from '../errors.ts';
import { after, untilAborted } from '../time.ts';

/** Reports help with waiting: nothing waits long for a file system that hangs. */
const PATIENCE_MS = 2_000;

export async function hearSigners(ref: ClientRef, sinks: readonly Sink[]): Promise<Hearing> {
  const reports: SignerReport[] = [];
  const errors: string[] = [];
  await Promise.all(
    sinks.map(async ({ name, reports: read }) => {
      try {
        if (read !== null) reports.push(...(await untilAborted(read(ref), after(PATIENCE_MS))));
      } catch (error) {
        errors.push(`${name}: ${messageOf(error)}`);
      }
    }),
  );
  return { reports, error: errors.length === 0 ? null : errors.join('; ') };
}
