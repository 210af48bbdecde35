import { Tampered, type Verified, verifyAudit } from '../audit/verify.ts';
import { messageOf } from '../errors.ts';
import { note, print, printJson } from './output.ts';
import { usage } from './select.ts';

export interface AuditVerifyOptions {
  readonly publicKey?: readonly string[];
  readonly expect?: string;
  readonly from?: number;
  readonly json?: boolean;
}

/**
 * Needs the files alone: no config, no Redis. Ends with 1 when they are not as they were sealed.
 * @throws RekeydError `usage` when they cannot be read
 */
export async function auditVerify(dirs: readonly string[], options: AuditVerifyOptions): Promise<number> {
  const { publicKey, expect, from, json } = options;
  try {
    const verified = await verifyAudit(dirs, {
      ...(publicKey !== undefined && { publicKeys: publicKey }),
      ...(expect !== undefined && { expect: expected(expect) }),
      ...(from !== undefined && { from }),
    });
    if (json) printJson({ ok: true, ...verified, trusted: publicKey === undefined ? 'export' : 'public key' });
    else for (const line of linesOf(verified, publicKey === undefined)) print(line);
    return 0;
  } catch (error) {
    if (isUnreadable(error)) throw usage(`${messageOf(error)}. ${WHAT_TO_NAME}`);
    if (!(error instanceof Tampered)) throw error;
    if (json) printJson({ ok: false, entry: error.entry, problem: error.message });
    note(messageOf(error));
    return 1;
  }
}

const WHAT_TO_NAME =
  'Nothing was verified: name folders that `rekeyd audit export` wrote, and write --public-key before each PEM file.';

/** A folder or a file that is not there says nothing of the log: a script must not take it for tampering. */
function isUnreadable(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error;
}

function expected(text: string): { readonly size: number; readonly hash: string } {
  const [, size, hash] = /^(\d{1,15}):([0-9a-f]{64})$/.exec(text) ?? [];
  if (size === undefined || hash === undefined) {
    throw usage('--expect takes the number of an entry, a colon and its hash: 64 hexadecimal digits.');
  }
  return { size: Number(size), hash };
}

function linesOf(verified: Verified, trustsExport: boolean): readonly string[] {
  const { first, last, hash, sealed, unsealed, sealedAt, kids, segments } = verified;
  const before =
    first === 1 ? [] : [`Verified from entry ${first} on: entries 1–${first - 1} are not in these folders.`];
  const trust = trustsExport ? ', as the folders say: compare it with what you know, or give --public-key' : '';
  return [
    ...before,
    ...segments.map(({ first: begin, reason, unsealed: lost }) => {
      const gap = lost === 0 ? '' : `; ${lost} entries before it were never sealed`;
      return `A loss was declared at entry ${begin}: ${JSON.stringify(reason)}${gap}.`;
    }),
    ...(sealedAt === null
      ? []
      : [`Entries ${first}–${sealed} sealed, last at ${sealedAt}; ${unsealed} not yet sealed.`]),
    ...(kids.length === 0 ? [] : [`Signed by key ${kids.join(', then ')}${trust}.`]),
    `The log ends with ${last}:${hash}`,
  ];
}
