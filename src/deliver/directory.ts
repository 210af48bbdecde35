/** Keys as files, a folder per client (CONTRACTS.md, "Key directory sink"). */
import { readdir } from 'node:fs/promises';
import { extname, join, resolve } from 'node:path';
import { messageOf, type RekeydError } from '../errors.ts';
import { type Access, PRIVATE } from '../files/access.ts';
import { codeOf } from '../files/durable.ts';
import { encodeSegment } from '../files/paths.ts';
import { openThreads } from '../files/threads.ts';
import type { DeliveringStore } from './fence.ts';
import { keySetFiles } from './key-set.ts';
import { readDelivery } from './present.ts';
import { readReports } from './reports.ts';
import { type Sink, SinkOutdated, sinkFailed } from './sink.ts';
import type { Task, Undelivered } from './thread.ts';

/** Deliveries at once. A fast disk keeps one busy; on a slow one they wait for it together. */
const THREADS = 2;

/** The same file from source and from `dist`. */
const ENTRY = new URL(`thread${extname(import.meta.url)}`, import.meta.url);

export interface DirectoryOptions {
  readonly access: Access;
  /** Signers write their reports below it, at the path that their keys have in the sink; null: beside their keys. */
  readonly reports: string | null;
  /** `current.pem` begins with a line by which scanners know it. */
  readonly pemComment?: boolean;
  /** The store that delivers. Null: deliveries by other stores are not looked for. */
  readonly store: DeliveringStore | null;
}

/** A folder can be asked what it holds, and signers write reports to it. */
export type DirectorySink = Sink & { readonly [M in 'sets' | 'reports']: NonNullable<Sink[M]> };

const ALONE: DirectoryOptions = { access: PRIVATE, reports: null, store: null };

/** @param path the folder that holds `<deployment>/<app-slug>/<oauth_client_id>/`; made when it is not there */
export function directorySink(path: string, options: DirectoryOptions = ALONE): DirectorySink {
  const { access, reports, store, pemComment } = options;
  const root = resolve(path);
  const reportsRoot = reports === null ? root : resolve(reports);
  const threads = openThreads<Task, Undelivered>(ENTRY, THREADS);

  /** Answers what is wrong, or null. */
  async function attempt(task: Task): Promise<Undelivered | null> {
    try {
      const moved = task.do === 'replace' ? [...task.files.values()].map(({ buffer }) => buffer) : [];
      return await threads.run(task, moved);
    } catch (error) {
      return { code: '', message: messageOf(error), epoch: 0, store: null };
    }
  }

  const reportsOf = (ref: string) => join(folderOf(reportsRoot, ref), 'signers');

  return {
    name: `directory ${root}`,
    placeOf: (ref) => folderOf(root, ref),
    async deliver(contents) {
      const { folder, client } = placeOf(root, contents.ref);
      // `parseReference` refuses it before. Without its last part a reference would name the folder of all clients.
      if (!isWhole(contents.ref)) throw failed(root, `${JSON.stringify(contents.ref)} names no client`);
      const deliver = (stores: readonly string[]) => {
        const target = { folder, client, access, stores, reports: reportsOf(contents.ref) };
        // Made anew for each try: the thread clears what it is given.
        return attempt({ do: 'replace', target, files: keySetFiles(contents, pemComment), epoch: contents.epoch });
      };
      const ours = store === null ? [] : [store.id()];
      let problem = await deliver(ours);
      const other = problem?.store ?? null;
      if (other !== null) {
        const predecessors = (await store?.predecessors()) ?? [];
        if (predecessors.includes(other)) problem = await deliver([...ours, ...predecessors]);
      }
      if (problem !== null) throw errorOf(join(folder, client), problem);
    },
    async sets(app) {
      const { folder } = placeOf(root, app);
      const names = new Set(await namesIn(folder));
      return async (ref) => {
        const { client } = placeOf(root, ref);
        return names.has(client) ? readDelivery(join(folder, client), access) : null;
      };
    },
    reports: (ref) => readReports(reportsOf(ref)),
    async check() {
      for (const folder of new Set([root, reportsRoot])) {
        const problem = await attempt({ do: 'try', folder, access, links: true });
        if (problem !== null) return errorOf(folder, problem).message;
      }
      return null;
    },
    close: threads.close,
  };
}

function folderOf(root: string, ref: string): string {
  const { folder, client } = placeOf(root, ref);
  return join(folder, client);
}

/** @param place a client reference, or an app's `deployment/slug` */
function placeOf(root: string, place: string): { readonly folder: string; readonly client: string } {
  const [deployment = '', app = '', client = ''] = place.split('/').map(encodeSegment);
  return { folder: join(root, deployment, app), client };
}

function isWhole(ref: string): boolean {
  const segments = ref.split('/');
  return segments.length >= 3 && segments.slice(0, 3).every((segment) => segment !== '');
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
  EPERM: 'Give the folder to the user that rekeyd runs as (chown)',
  EROFS: 'The file system is read-only: mount it for writing, or set another path',
  ENOTDIR: 'A file stands where a folder is needed: move it away, or set another path',
  LINKS:
    'Keys are read through links: set a path on a file system that has them (FAT and some network shares do not, and no mount with the option nosymfollow)',
  OWNER:
    'The sink says owner, and giving files away takes the right CAP_CHOWN, which containers drop. Leave owner out, and set group, mode: "0640" and dir_mode: "0750" instead',
  GROUP: 'Make the user that rekeyd runs as a member of that group, and start rekeyd again',
};

/** What to do about an error of the file system, without a full stop. */
export function fileHint(code: string): string {
  return HINTS[code] ?? 'Mend that, or set another path for this sink';
}

function errorOf(path: string, { code, message, epoch, store }: Undelivered): RekeydError {
  if (store !== null) {
    const hint = `Two installations must not share a folder: set another path for one of them. If that store is gone for good, remove the link ${join(path, '..data')}`;
    return failed(path, message, hint);
  }
  return epoch > 0 ? new SinkOutdated(path, epoch) : failed(path, message, HINTS[code]);
}

function failed(path: string, why: string, hint = fileHint('')): RekeydError {
  return sinkFailed(path, why, hint);
}
