/** A token that another program keeps in a file, and replaces there, as Kubernetes does for service accounts. */
import { messageOf } from '../errors.ts';
import { readSmall } from './bounded.ts';

/** In bytes. A token goes into one HTTP header. */
const MOST_BYTES = 16 * 1024;

/**
 * The token, without blanks and line ends around it.
 * @throws Error that names the file and says nothing of what is in it
 */
export async function readToken(path: string): Promise<string> {
  const text = await textIn(path).catch((error: unknown) => {
    throw new Error(`the token of the service account cannot be read: ${messageOf(error)}`);
  });
  const token = text.trim();
  if (isToken(token)) return token;
  const what = token === '' ? 'is empty' : 'holds something else than one token';
  throw new Error(`the file ${path}, which is to hold the token of the service account, ${what}`);
}

/** Whether a text can go into an HTTP header as it is. */
export function isToken(text: string): boolean {
  return /^[\x21-\x7e]+$/.test(text) && text.length <= MOST_BYTES;
}

async function textIn(path: string): Promise<string> {
  const read = await readSmall(path, MOST_BYTES);
  if (typeof read !== 'string') return read.toString('utf8');
  throw new Error(read === 'no file' ? `${path} is not a file` : `${path} is larger than ${MOST_BYTES} bytes`);
}
