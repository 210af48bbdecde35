import { messageOf } from '../errors.ts';
import { readNamed } from '../files/bounded.ts';
import { type Meant, readAnyKey } from '../keys/any-key.ts';
import { hashIn } from '../keys/key-marks.ts';
import { findKeys } from '../leaks/find-keys.ts';
import { identify as identified } from '../rotation/identify.ts';
import type { Match } from '../rotation/owners.ts';
import { keksOf } from '../rotation/policy.ts';
import { readStdin, tooLong } from './keys/files.ts';
import { awaitInterruption, type Globals, withResources } from './open.ts';
import { note, printJson, printTable } from './output.ts';
import { usage } from './select.ts';

export interface IdentifyOptions {
  readonly json?: boolean;
}

/** Ends with 1 when nobody has the key. */
export async function identify(globals: Globals, file: string, { json }: IdentifyOptions): Promise<number> {
  const meant = await readMeant(file);
  return withResources(globals, async (resources) => {
    const { signal, release } = awaitInterruption(globals);
    try {
      const matches = await identified(resources, keksOf(resources.config), meant, signal);
      if (json) printJson({ keys: keysOf(meant), matches });
      else if (matches.length > 0) printTable(['CLIENT', 'KEY', 'WHAT IT IS', 'SIGNS IN'], matches.map(row));
      if (matches.length === 0) note('Nobody has this key: no client in the store, and none that the API lists.');
      return matches.length > 0 ? 0 : 1;
    } finally {
      release();
    }
  });
}

function keysOf(meant: Meant) {
  if ('name' in meant) return [];
  return meant.keys.map(({ id, thumbprint, privateKey }) => ({ id, thumbprint, private: privateKey !== null }));
}

function row({ client, kid, state, known, reported, published, sign_in, detail }: Match): readonly string[] {
  const what = [
    state === 'foreign' ? 'published, not ours' : state,
    reported ? 'reported as COMPROMISED' : null,
    known ? null : 'client not known yet',
    // That it is foreign says so already.
    published && state !== 'foreign' ? 'the server shows it' : null,
  ].filter((part) => part !== null);
  const works = { accepted: 'yes', refused: 'no', unknown: 'not known' };
  const answer = sign_in === null ? 'not tried' : works[sign_in];
  return [client, kid ?? '-', what.join(', '), detail === null ? answer : `${answer}: ${detail}`];
}

/** More than any key has, also in a set. */
const MAX_BYTES = 1024 * 1024;

/** @throws RekeydError `usage`, `key_invalid` */
async function readMeant(file: string): Promise<Meant> {
  let bytes: Buffer;
  try {
    bytes = file === '-' ? await readStdin(MAX_BYTES) : await bytesOfFile(file);
  } catch (error) {
    // A thumbprint or a hash may stand where the file's name would.
    const [name] = (await findKeys(Buffer.from(file))).names;
    if (name !== undefined && hashIn(name) !== null) return { name };
    throw usage(
      `The key cannot be read: ${messageOf(error)}. Name a file with a key, its thumbprint or a hash, or - for stdin.`,
    );
  }
  try {
    const meant = await readAnyKey(bytes.toString('utf8'));
    if ('keys' in meant) return meant;
    // The mark in a key file of ours is a name with a word before it.
    const [name = meant.name] = (await findKeys(bytes)).names;
    return { name };
  } catch (error) {
    // It may be a file that no text is in, or text with a key in it.
    const { keys } = await findKeys(bytes);
    if (keys.length > 0) return { keys };
    throw error;
  }
}

async function bytesOfFile(file: string): Promise<Buffer> {
  const bytes = await readNamed(file, MAX_BYTES);
  if (bytes === null) throw tooLong(MAX_BYTES);
  return bytes;
}
