/** Tells rekeyd which keys this process holds and which one it signs with, so that no rotation leaves it behind. */
import { randomUUID } from 'node:crypto';
import { chmod, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { SignerError } from './error.ts';
import { now } from './time.ts';

export interface Holding {
  readonly kids: readonly string[];
  /** The key that signs now; null when there is none. */
  readonly signing: string | null;
}

export interface Reporter {
  /** Writes a report when there is something new to say, or the last one is getting old. Never rejects. */
  report(holding: Holding): Promise<void>;
  /** Takes the report back. Never rejects. */
  close(): Promise<void>;
}

/** rekeyd counts a report for two minutes. */
const AGAIN_MS = 30_000;

/** The process of a report that old, in ms, has crashed. */
const FORGOTTEN_MS = 24 * 3_600_000;

/** Reports of other processes that are looked at. */
const MOST_LOOKED_AT = 500;

/**
 * @param folder that of the client's reports. rekeyd makes it: where it is not there, or cannot be written, nothing is reported
 * @param onError told (`report_failed`) what keeps a report from being written where there is such a folder
 */
export function openReporter(folder: string, onError: (error: SignerError) => void): Reporter {
  const path = join(folder, `${hostname().replaceAll(/[^A-Za-z0-9._-]/g, '_') || 'host'}-${process.pid}.json`);
  /** What was to be written last, also where that failed: it is not tried again before its time. */
  let last: { readonly text: string; readonly at: number } | null = null;
  let [isWritten, isClosed] = [false, false];
  /** One after the other: a report must not come back after it was taken back. */
  let writing: Promise<void> = forgetOld(folder);

  async function write(holding: Holding, at: number): Promise<void> {
    if (isClosed) return;
    const draft = join(folder, `.${randomUUID()}`);
    try {
      // Readable whatever the umask: rekeyd may be another user. There is no secret in it.
      await writeFile(draft, `${JSON.stringify({ ...holding, at: new Date(at).toISOString() })}\n`, { flag: 'wx' });
      await chmod(draft, 0o644);
      await rename(draft, path);
      isWritten = true;
    } catch (error) {
      await rm(draft, { force: true }).catch(() => {});
      if (!isNoPlace(error)) onError(reportFailed(path, error));
    }
  }

  const next = (step: () => Promise<void>) => {
    writing = writing.then(step);
    return writing;
  };

  return {
    report(holding) {
      const [text, at] = [JSON.stringify(holding), now()];
      const isSaid = last?.text === text && Math.abs(at - last.at) < AGAIN_MS;
      if (isClosed || isSaid) return writing;
      last = { text, at };
      return next(() => write(holding, at));
    },
    close() {
      isClosed = true;
      return next(() => (isWritten ? rm(path, { force: true }).catch(() => {}) : Promise.resolve()));
    },
  };
}

function reportFailed(path: string, cause: unknown): SignerError {
  const why = cause instanceof Error ? cause.message : String(cause);
  const message = `The report ${path} cannot be written: ${why}. rekeyd does not know which keys this process has.`;
  return new SignerError('report_failed', message, { cause });
}

/** There is no such folder, or not for this process: a set that was copied, a mount that is read-only, a rekeyd of before. */
function isNoPlace(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : null;
  return typeof code === 'string' && ['ENOENT', 'ENOTDIR', 'EACCES', 'EPERM', 'EROFS'].includes(code);
}

/** rekeyd reads only the newest reports, and a container that restarts leaves one behind under each of its names. */
async function forgetOld(folder: string): Promise<void> {
  const names = await readdir(folder).catch((): string[] => []);
  for (const name of names.filter((one) => one.endsWith('.json')).slice(0, MOST_LOOKED_AT)) {
    const path = join(folder, name);
    const file = await stat(path).catch(() => null);
    if (file?.isFile() && file.mtimeMs < now() - FORGOTTEN_MS) await rm(path, { force: true }).catch(() => {});
  }
}
