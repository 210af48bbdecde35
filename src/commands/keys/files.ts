/** Files with private keys: read once, never copied, and wiped from memory when they were used. */
import type { Stats } from 'node:fs';
import { messageOf } from '../../errors.ts';
import { openToRead, readAtMost } from '../../files/bounded.ts';
import { MOST_BYTES } from '../../keys/private-file.ts';

/** A file that names its client, by its own name or in a map. */
export interface KeyFile {
  readonly path: string;
  /** As the person knows it. */
  readonly shown: string;
  /** What may be its client: the first that is one counts. */
  readonly names: readonly string[];
  /** As the map says it. */
  readonly alg?: string;
}

/** A file, or a line of a map, that names no client, and why not. */
export interface Unusable {
  readonly file: string;
  readonly reason: string;
}

export interface KeyFiles {
  readonly files: readonly KeyFile[];
  readonly unusable: readonly Unusable[];
}

export interface FileBytes {
  readonly bytes: Buffer;
  readonly stats: Stats;
}

/** The cause of a file that cannot be used, for a person. */
export class FileProblem extends Error {}

/**
 * @param special also takes pipes and devices, which one names on purpose
 * @throws FileProblem
 */
export async function readKeyFile(path: string, special = false): Promise<FileBytes> {
  try {
    const handle = await openToRead(path);
    try {
      const stats = await handle.stat();
      if (stats.isDirectory()) throw new FileProblem('it is a folder');
      if (!special && !stats.isFile()) throw new FileProblem('it is no regular file');
      const bytes = await readAtMost(handle, MOST_BYTES);
      if (bytes === null) throw tooLong(MOST_BYTES);
      return { bytes, stats };
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw error instanceof FileProblem ? error : new FileProblem(messageOf(error));
  }
}

/**
 * What comes by a pipe may have no end.
 * @param most in bytes
 * @throws FileProblem for more than that
 */
export async function readStdin(most: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let size = 0;
  try {
    for await (const piece of process.stdin) {
      pieces.push(Buffer.from(piece));
      size += piece.length;
      if (size > most) throw tooLong(most);
    }
    return Buffer.concat(pieces);
  } finally {
    for (const piece of pieces) piece.fill(0);
  }
}

export function tooLong(most: number): FileProblem {
  return new FileProblem(`it is larger than ${most / 1024} KiB, which no key is`);
}

const OTHERS = 0o077;

/** True when users other than its owner may read or change the file. */
export function isOpenToOthers({ mode }: Pick<Stats, 'mode'>): boolean {
  return (mode & OTHERS) !== 0;
}

/** What to say of such files. */
export function openToOthers(files: readonly string[]): string {
  const [first = ''] = files;
  const [which, them, keys] =
    files.length === 1
      ? [first, 'it', 'key is']
      : [`${files.length} key files, ${first} among them,`, 'them', 'keys are'];
  return `warning: ${which} can be read or changed by other users of this machine: \`chmod 600\` ${them}, and remove ${them} when the ${keys} managed.`;
}

/** The longest passphrase that OpenSSL takes, in bytes. */
const LONGEST_PASSPHRASE = 1024;

/** Without the line end that editors leave. @throws FileProblem */
export async function readPassphrase(path: string): Promise<FileBytes> {
  const { bytes, stats } = await readKeyFile(path, true);
  let end = bytes.length;
  if (bytes[end - 1] === 0x0a) end -= 1;
  if (bytes[end - 1] === 0x0d) end -= 1;
  if (end === 0) throw new FileProblem('it is empty');
  if (end > LONGEST_PASSPHRASE) throw new FileProblem(`it is longer than ${LONGEST_PASSPHRASE} bytes`);
  return { bytes: bytes.subarray(0, end), stats };
}
