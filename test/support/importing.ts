/** Clients' own keys on their way into rekeyd. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { KeyFiles } from '../../src/commands/keys/files.ts';
import { type FleetImport, type FleetReport, type FleetTools, importFleet } from '../../src/commands/keys/fleet.ts';
import { filesOfFolder } from '../../src/commands/keys/folder.ts';
import { type Import, type Imported, importKey } from '../../src/rotation/import.ts';
import { keksOf } from '../../src/rotation/policy.ts';
import type { TestKey } from '../emulator/testing.ts';
import type { Fleet, FleetClient } from './fleet.ts';

const CAUSE = { actor: 'test', reason: 'import', request: null };

export function privatePem({ privateKey }: TestKey): string {
  return privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
}

/** As `rekeyd keys import CLIENT --file` does it. */
export function importing(fleet: Fleet, client: FleetClient, more: Partial<Import> = {}): Promise<Imported> {
  const { ref, key } = client;
  const asked = { ref, text: privatePem(key), enroll: false, cause: CAUSE, ...more };
  return importKey(fleet.resources, keksOf(fleet.config), asked);
}

/** As `rekeyd keys import --dir` does it. */
export async function importingAll(
  { resources, config }: Pick<Fleet, 'resources' | 'config'>,
  from: string | KeyFiles,
  more: Partial<FleetImport> = {},
  tools: Partial<FleetTools> = {},
): Promise<FleetReport> {
  const files = typeof from === 'string' ? await filesOfFolder(from) : from;
  const asked: FleetImport = { unproven: false, enroll: false, dryRun: false, cause: CAUSE, ...more };
  return importFleet(resources, keksOf(config), files, asked, { signal: new AbortController().signal, ...tools });
}

/** Writes files into a folder of the test's own, by their paths in it. @returns its path */
export async function folderOf({ dir }: Pick<Fleet, 'dir'>, files: Readonly<Record<string, string>>): Promise<string> {
  const folder = join(dir, 'handed-over');
  await mkdir(folder, { recursive: true });
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text, { mode: 0o600 });
  }
  return folder;
}
