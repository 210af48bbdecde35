/** Entries as lines on the stdout of the worker, for a collector that reads it. The log of the process goes to stderr. */
import { after, untilAborted } from '../../time.ts';
import type { StreamExport } from './export.ts';

/** A collector that does not read for so long, in ms, is one that does not work. */
const TIMEOUT_MS = 30_000;

/** @param out where lines are written; an error of it fails the batch, and no more */
export function stdoutExport(
  { name, id }: Pick<StreamExport, 'name' | 'id'>,
  out: NodeJS.WritableStream,
): StreamExport {
  // A reader that goes away must not end the worker: see `cli.ts`, which leaves the error to us.
  const onError = () => {};
  out.on('error', onError);
  return {
    kind: 'stream',
    name,
    id,
    send(batch, signal) {
      const text = batch.map((line) => `${line.text}\n`).join('');
      const written = new Promise<void>((resolve, reject) => {
        out.write(text, (error) => (error ? reject(error) : resolve()));
      });
      const late = after(TIMEOUT_MS);
      return untilAborted(written, AbortSignal.any([signal, late])).catch((error: unknown) => {
        throw error === late.reason ? new Error(`its reader has taken nothing for ${TIMEOUT_MS / 1000} s`) : error;
      });
    },
    async close() {
      out.removeListener('error', onError);
    },
  };
}
