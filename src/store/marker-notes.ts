/**
 * Writes down in `data_dir` which store this machine works with, and how far its audit log is. A loss is noticed only up to what was written down, so a
 * folder that cannot be written is reported, and tried again.
 */
import { messageOf } from '../errors.ts';
import { monotonic, sleep } from '../time.ts';
import { furthest, type Marker, readMarker, writeMarker } from './identity.ts';

export interface MarkerNotes {
  /** The marker in `data_dir`; null when it cannot be read. */
  read(): Promise<Marker | null>;
  /** Writes the newest one, unless that is there. @throws RekeydError `config`, or what the system says */
  write(): Promise<void>;
  /** The same, once for all that ask within a second. Never throws. */
  writeSoon(): void;
  /** No new attempt begins. Writes the newest one. @throws as {@link MarkerNotes.write} */
  close(): Promise<void>;
}

export interface MarkerNotesOptions {
  readonly dataDir: string;
  /** The newest one. */
  readonly current: () => Marker;
  /** Told when it cannot be written, when the reason is another one, and with null when it can again. */
  readonly onChange: (problem: string | null) => void;
}

/** It is written down at most this often, in ms. */
const NOTE_MS = 1_000;

/** After a failure it is tried again after this time, in ms. */
const AGAIN_MS = 2_000;

export function openMarkerNotes({ dataDir, current, onChange }: MarkerNotesOptions): MarkerNotes {
  const closing = new AbortController();
  let noted = current();
  let triedAt = monotonic();
  let problem: string | null = null;
  let planned: Promise<void> | null = null;
  let writing: Promise<void> = Promise.resolve();

  function read(): Promise<Marker | null> {
    return readMarker(dataDir).catch(() => null);
  }

  function write(): Promise<void> {
    triedAt = monotonic();
    const before = writing.catch(() => {}); // its own callers heard of that
    writing = before.then(async () => {
      const next = current();
      if (noted === next) return;
      // A command beside the service may have seen more.
      await writeMarker(dataDir, furthest(next, await read()));
      noted = next;
    });
    return writing;
  }

  function writeSoon(ms = NOTE_MS): void {
    planned ??= sleep(Math.max(0, triedAt + ms - monotonic()), closing.signal).then(async () => {
      const failed = await write().then(() => null, messageOf);
      planned = null;
      if (closing.signal.aborted) return;
      if (failed !== problem) onChange(failed);
      problem = failed;
      if (failed !== null) writeSoon(AGAIN_MS);
    });
  }

  return {
    read,
    write,
    writeSoon: () => writeSoon(),
    async close() {
      closing.abort();
      await planned;
      await write();
    },
  };
}
