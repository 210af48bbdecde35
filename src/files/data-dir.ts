/** What the system says when `data_dir` cannot be used, as a person who wrote the config needs it. */
import { relative, sep } from 'node:path';
import { RekeydError } from '../errors.ts';
import { codeOf } from './durable.ts';

/** What happened, and what to do. A full disk is not among them: the config is right. */
const REASONS: Readonly<Record<string, string>> = {
  EACCES:
    'the user that rekeyd runs as may not write there. Give it the folder (chown), or set data_dir to another one',
  EPERM: 'the user that rekeyd runs as may not write there. Give it the folder (chown), or set data_dir to another one',
  EROFS: 'its file system is read-only. Mount it writable, or set data_dir to another folder',
  ENOTDIR: 'something on its path is a file, and no folder. Move that away, or set data_dir to a folder',
  ENOENT: 'it cannot be made there. Make it, or set data_dir to another folder',
  ELOOP: 'the links on its path lead back to themselves. Set data_dir to a folder',
  ENAMETOOLONG: 'its path is too long. Set data_dir to a shorter one',
};

/** The system names no path with these: it happens while a file is written that is open already. */
const FULL: readonly string[] = ['ENOSPC', 'EDQUOT'];

/**
 * Runs `work`, which reads and writes below `dataDir` (absolute).
 * @throws RekeydError `config` when the system does not let it; `ENOSPC` or `EDQUOT` when the disk is full; whatever else `work` throws
 */
export async function inDataDir<T>(dataDir: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    if (FULL.includes(codeOf(error))) {
      const message = `data_dir ${dataDir} cannot be written: its disk is full. Free some space there. (${error.message})`;
      throw Object.assign(new Error(message, { cause: error }), { code: codeOf(error) });
    }
    const why = isAbout(dataDir, error) ? REASONS[codeOf(error)] : undefined;
    if (why === undefined) throw error;
    throw new RekeydError('config', `data_dir ${dataDir} cannot be used: ${why}. (${error.message})`);
  }
}

/** Sockets and programs have errors of the same names. */
function isAbout(dataDir: string, error: Error): boolean {
  if (!('path' in error && typeof error.path === 'string')) return false;
  return isWithin(error.path, dataDir) || isWithin(dataDir, error.path);
}

/** By whole names: /srv/data-2 is not within /srv/data. */
function isWithin(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way !== '..' && !way.startsWith(`..${sep}`);
}
