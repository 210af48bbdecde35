/** Which workers are at work in this namespace, and what each of them notes about itself. A note counts as long as it is renewed. */
import { parseJson } from '../core/reply.ts';
import { FORGET_WORKER, NOTE_WORKER, WORKERS } from './lua/workers.ts';
import { list, text } from './redis/replies.ts';
import type { Scripts } from './redis/scripts.ts';

export interface WorkerNote {
  /** `<host>:<process id>`, for people. */
  readonly name: string;
  readonly version: string;
  /** What matters of its config: see {@link ../config/digest.ts}. */
  readonly config: Readonly<Record<string, string>>;
}

export interface WorkerNotes {
  /** Counts for three minutes. @param id of the worker, random */
  noteWorker(id: string, note: WorkerNote): Promise<void>;
  forgetWorker(id: string): Promise<void>;
  /** Those that count, by name. */
  workerNotes(): Promise<readonly WorkerNote[]>;
}

export function openWorkerNotes(scripts: Scripts): WorkerNotes {
  const { keys } = scripts;
  const run = (lua: string, ...args: string[]) => scripts.run({ lua, keys: [keys.workers], args });
  return {
    async noteWorker(id, note) {
      await run(NOTE_WORKER, id, JSON.stringify(note));
    },
    async forgetWorker(id) {
      await run(FORGET_WORKER, id);
    },
    async workerNotes() {
      const found = await run(WORKERS);
      const notes = list(found).map((note) => parseJson(text(note)) as WorkerNote); // only `noteWorker` writes it
      return notes.sort((a, b) => (a.name < b.name ? -1 : 1));
    },
  };
}
