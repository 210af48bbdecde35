/** Files in a folder that all workers share: those of `audit export`. */
import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { RekeydError } from '../../errors.ts';
import { codeOf } from '../../files/durable.ts';
import { ensureFolder } from '../../files/folder.ts';
import { type AuditSource, exportAudit } from '../export.ts';
import type { FolderExport } from './export.ts';

/** By this file a folder is recognised: where a disk is not mounted, an empty folder stands in its place. */
const MARK = '.rekeyd-audit';

export function folderExport(
  { name, id, path }: Pick<FolderExport, 'name' | 'id'> & { readonly path: string },
  source: AuditSource,
  onBroken: (checkpoint: number) => void,
): FolderExport {
  return {
    kind: 'folder',
    name,
    id,
    async write(upTo, place) {
      const found = await placeOf(path, place);
      const { last, broken } = await exportAudit(source, path, { upTo });
      if (broken !== null) onBroken(broken);
      return { last, place: found };
    },
  };
}

/** @throws RekeydError `export_failed` when another folder is there than before */
async function placeOf(folder: string, expected: string | null): Promise<string> {
  const file = join(folder, MARK);
  const found = await read(file);
  if (expected === null) return found ?? mark(folder, file);
  if (found === expected) return found;
  throw new RekeydError(
    'export_failed',
    `${folder} is not the folder that was exported to before: it has ${found === null ? `no ${MARK}` : `another ${MARK}`}. Mount that folder here. Or, for another folder, give the export another name in audit.export: it then begins with what the log still has.`,
  );
}

async function mark(folder: string, file: string): Promise<string> {
  await ensureFolder(folder, 0o777);
  try {
    const made = randomUUID();
    await writeFile(file, `${made}\n`, { flag: 'wx', flush: true });
    return made;
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
    // Another worker was faster.
    return (await read(file)) ?? '';
  }
}

async function read(file: string): Promise<string | null> {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  }
}
