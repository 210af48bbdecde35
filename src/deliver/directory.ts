/** Keys as files, a folder per client (CONTRACTS.md, "Key directory sink"). */
import { readdir, readFile } from 'node:fs/promises';
import { extname, join, resolve } from 'node:path';
import { messageOf, RekeydError } from '../errors.ts';
import { codeOf } from '../files/durable.ts';
import { encodeSegment } from '../files/paths.ts';
import { openThreads } from '../files/threads.ts';
import { deliveryIn, keySetFiles, META } from './key-set.ts';
import { type Sink, SinkOutdated } from './sink.ts';
import type { Task, Undelivered } from './thread.ts';

/** Deliveries at once. A fast disk keeps one busy; on a slow one they wait for it together. */
const THREADS = 2;

/** The same file from source and from `dist`. */
const ENTRY = new URL(`thread${extname(import.meta.url)}`, import.meta.url);

/** @param path the folder that holds `<deployment>/<app-slug>/<oauth_client_id>/`; made when it is not there */
export function directorySink(path: string): Sink {
  const root = resolve(path);
  const threads = openThreads<Task, Undelivered>(ENTRY, THREADS);

  /** Answers what is wrong, or null. */
  async function attempt(place: string, task: Task): Promise<RekeydError | null> {
    try {
      const moved = task.do === 'replace' ? [...task.files.values()].map(({ buffer }) => buffer) : [];
      const problem = await threads.run(task, moved);
      if (problem === null) return null;
      return problem.epoch > 0
        ? new SinkOutdated(place, problem.epoch)
        : failed(place, problem.message, HINTS[problem.code]);
    } catch (error) {
      return failed(place, messageOf(error));
    }
  }

  return {
    name: `directory ${root}`,
    async deliver(contents) {
      const { folder, client } = placeOf(root, contents.ref);
      const problem = await attempt(join(folder, client), {
        do: 'replace',
        folder,
        client,
        files: keySetFiles(contents),
        epoch: contents.epoch,
      });
      if (problem !== null) throw problem;
    },
    async sets(app) {
      const { folder } = placeOf(root, app);
      const names = new Set(await namesIn(folder));
      return async (ref) => {
        const { client } = placeOf(root, ref);
        return names.has(client) ? readFile(join(folder, client, META), 'utf8').then(deliveryIn, () => null) : null;
      };
    },
    async check() {
      return (await attempt(root, { do: 'try', folder: root }))?.message ?? null;
    },
    close: threads.close,
  };
}

/** @param place a client reference, or an app's `deployment/slug` */
function placeOf(root: string, place: string): { readonly folder: string; readonly client: string } {
  const [deployment = '', app = '', client = ''] = place.split('/').map(encodeSegment);
  return { folder: join(root, deployment, app), client };
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw failed(folder, messageOf(error), HINTS[codeOf(error)]);
  }
}

const HINTS: Readonly<Record<string, string>> = {
  ENOSPC: 'The disk is full: free some space',
  EDQUOT: 'The disk quota is used up: raise it or free some space',
  EACCES: 'Give the user that rekeyd runs as the right to write there',
  EPERM: 'Give the user that rekeyd runs as the right to write there',
  EROFS: 'The file system is read-only: mount it for writing, or set another path',
  ENOTDIR: 'A file stands where a folder is needed: move it away, or set another path',
};

function failed(path: string, why: string, hint = 'Mend that, or set another path for this sink'): RekeydError {
  return new RekeydError(
    'sink_failed',
    `Keys cannot be delivered to ${path}: ${why}. Signers keep the set that they have. ${hint}.`,
  );
}
