/** `kind: directory`: a folder of keys for each client, and who may read them there. Who may read files is said the same way in other sinks. */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import * as field from '../fields.ts';
import { flag, section } from '../fields.ts';
import type { Finding } from '../problems.ts';
import type { Sources } from '../secrets.ts';
import type { DirectorySinkConfig, SinkConfig } from './model.ts';

/** Mode of folders where `owner` gives the key files to another user. Folders stay with rekeyd: that user must be able to pass through them, and need not list them. */
const PASSABLE = 0o711;

export function directorySink(sources: Sources) {
  return section({
    kind: z.literal('directory').describe('One folder per client, swapped atomically.'),
    path: field.path('Folder for private keys.', sources),
    mode: mode('Permissions of key files. 0640 with a group.', 0o400).prefault('0600'),
    dir_mode: mode('Permissions of folders. 0750 with a group. Absent: 0700.', 0o700).optional(),
    owner: account('User that key files are given to: name or id. Needs the right CAP_CHOWN.', 'passwd').optional(),
    group: account(
      'Group that files and folders are given to: name or id. rekeyd must be a member.',
      'group',
    ).optional(),
    reports: field
      .path('Where signers write their reports, for applications that cannot write beside their keys.', sources)
      .optional(),
    pem_comment: flag(
      'current.pem begins with a line that scanners know; some readers of PEM refuse such text.',
    ).prefault(false),
  }).transform(
    ({ kind, path, mode, dir_mode, owner = null, group = null, reports, pem_comment }): DirectorySinkConfig => ({
      kind,
      path,
      access: { mode, dirMode: dir_mode ?? (owner === null ? 0o700 : PASSABLE), owner, group },
      reports: reports ?? null,
      pemComment: pem_comment,
    }),
  );
}

/** What is allowed and probably not meant. */
export function sinkDoubts(config: SinkConfig, index: number): Finding[] {
  if (config.kind !== 'directory') return [];
  const { mode, dirMode, group } = config.access;
  const findings: Finding[] = [];
  if ((mode & 0o004) !== 0) {
    const message = 'lets every user of this machine read the private keys: write "0600", or "0640" with a group';
    findings.push({ path: ['sinks', index, 'mode'], message });
  }
  if (group !== null && ((mode & 0o040) === 0 || (dirMode & 0o010) === 0)) {
    const message = 'has no use while its members may not read: write mode: "0640" and dir_mode: "0750"';
    findings.push({ path: ['sinks', index, 'group'], message });
  }
  return findings;
}

/** Octal. @param needs what their owner must be able to do */
export function mode(description: string, needs: number) {
  const expected = `four octal digits in quotes, such as "${needs === 0o400 ? '0640' : '0750'}"`;
  return field.text({ description, pattern: '^0?[0-7]{3}$' }, expected, (value, refuse) => {
    if (!/^0?[0-7]{3}$/.test(value)) return refuse(`is not a mode: write ${expected}`);
    const bits = Number.parseInt(value, 8);
    if ((bits & needs) !== needs) return refuse(`keeps rekeyd itself out: write ${expected}`);
    if ((bits & 0o022) !== 0) return refuse(`would let others replace the keys: write ${expected}`);
    return bits;
  });
}

const HIGHEST_ID = 2 ** 32 - 2;

/** A name of `/etc/passwd` or `/etc/group`, or a numeric id, which also covers directories such as LDAP. */
export function account(description: string, database: 'passwd' | 'group') {
  const what = database === 'passwd' ? 'user' : 'group';
  const error = `is not a ${what}: write its name, or its number`;
  return z
    .union([z.int({ error }).min(0, { error }).max(HIGHEST_ID, { error }), z.string().regex(/^[^:\s]+$/)], { error })
    .transform(async (value, context): Promise<number> => {
      if (typeof value === 'number') return value;
      if (/^\d{1,10}$/.test(value) && Number(value) <= HIGHEST_ID) return Number(value);
      const id = await idOf(value, database);
      if (id !== null) return id;
      const message = `names no ${what} of /etc/${database}: create it, or write its number`;
      context.addIssue({ code: 'custom', message });
      return z.NEVER;
    })
    .describe(description);
}

async function idOf(name: string, database: 'passwd' | 'group'): Promise<number | null> {
  const text = await readFile(`/etc/${database}`, 'utf8').catch(() => '');
  for (const line of text.split('\n')) {
    const [known, , id = ''] = line.split(':');
    if (known === name && /^\d+$/.test(id)) return Number(id);
  }
  return null;
}
