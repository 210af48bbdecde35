/** Reading files that people wrote, as text. */
import { messageOf } from '../errors.ts';
import { readNamed } from '../files/bounded.ts';

/** What to do about a config file that cannot be opened. */
export const NAME_THE_CONFIG = 'name the config file with --config FILE or REKEYD_CONFIG';

/** In bytes. A device such as /dev/zero has no end, and no config, secret or bundle of certificates is that long. */
const MOST_BYTES = 4 * 1024 * 1024;

/**
 * What the file says, without a byte order mark, or what is wrong with it, as a sentence without the full stop. Bytes that are no UTF-8 are refused: read as
 * something else, they would make another password.
 * @param advice what to do when the file cannot be opened
 */
export async function readText(
  path: string,
  advice: string,
): Promise<{ readonly text: string } | { readonly problem: string }> {
  let bytes: Buffer | null;
  try {
    bytes = await readNamed(path, MOST_BYTES);
  } catch (error) {
    return { problem: `${whyUnreadable(path, error)}: ${advice}` };
  }
  if (bytes === null) return { problem: `${path} is larger than ${MOST_BYTES / 1024 / 1024} MiB: ${advice}` };
  try {
    if (isUtf16(bytes)) return { problem: `${path} is UTF-16 text: save it as UTF-8` };
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) };
  } catch {
    return { problem: `${path} is not UTF-8 text: save it as UTF-8` };
  } finally {
    bytes.fill(0); // it may hold a secret
  }
}

/** By its byte order mark, or without one by the zero bytes that letters have in it. */
function isUtf16(bytes: Uint8Array): boolean {
  const [first, second] = bytes;
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff)) return true;
  return bytes.length >= 2 && (first === 0) !== (second === 0);
}

/** A sentence without the full stop: what kept `path` from being read. */
function whyUnreadable(path: string, error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : null;
  if (code === 'ENOENT') return `the file ${path} does not exist`;
  if (code === 'EACCES' || code === 'EPERM') return `rekeyd may not read ${path}`;
  if (code === 'EISDIR') return `${path} is a folder, not a file`;
  if (code === 'ETIMEDOUT') return `${path} cannot be read: ${messageOf(error)}`;
  return `${path} cannot be read (${String(code)})`;
}
