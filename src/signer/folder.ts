/**
 * Reads a client's key folder as rekeyd delivers it: names that are links through `..data` to one version. In version 0.1 the folder itself was a link to a
 * version; a secret mount may be a plain folder.
 */
import type { KeyObject } from 'node:crypto';
import { constants } from 'node:fs';
import { readFile, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { SignerError } from './error.ts';
import { privateKeyOf } from './private-key.ts';
import { pause } from './time.ts';

/** Which key it is: the one that signs, the one that will, or the one that did. */
export type KeyRole = 'current' | 'next' | 'previous';

export interface SigningKey {
  readonly role: KeyRole;
  readonly kid: string;
  readonly alg: string;
  readonly key: KeyObject;
}

export interface KeySet {
  readonly clientId: string;
  /** `current`, `next`, `previous`: those that exist, in this order. */
  readonly keys: readonly SigningKey[];
  /** Differs as soon as another set is in place; see {@link versionOf}. */
  readonly version: string;
}

const ROLES = ['current', 'next', 'previous'] as const satisfies readonly KeyRole[];

/** A set can be swapped while it is read; that it happens this often in a row is no accident. */
const ATTEMPTS = 10;

/** A folder of version 0.1 is replaced by one of today once. Between the two there is none, for much less than this, in ms. */
const MISSING_MS = 20;

/** @throws SignerError `folder_unreadable` */
export async function readKeySet(folder: string): Promise<KeySet> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await readOnce(folder);
    } catch (error) {
      if (attempt < ATTEMPTS) {
        await waitIfMissing(folder);
        continue;
      }
      throw new SignerError('folder_unreadable', `The key folder ${folder} cannot be read. ${hintFor(error)}`, {
        cause: error,
      });
    }
  }
}

function hintFor(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : null;
  if (code === 'EACCES' || code === 'EPERM') {
    return 'This user may not read it: make it a member of the group of the files, and give rekeyd’s sink that group, mode "0640" and dir_mode "0750".';
  }
  if (code === 'ENOENT') return 'Check the path, and that rekeyd has delivered keys there.';
  return 'A file in it is damaged, or only half written. Put it right, or have rekeyd deliver the keys again (restart a worker).';
}

/** Gives a folder that is about to be there again the time for it. */
async function waitIfMissing(folder: string): Promise<void> {
  const isThere = await stat(folder).then(
    () => true,
    () => false,
  );
  if (!isThere) await pause(MISSING_MS);
}

/** As {@link versionOf}, over the moment in which a folder is replaced. */
export async function latestVersionOf(folder: string): Promise<string> {
  try {
    return await versionOf(folder);
  } catch {
    await waitIfMissing(folder);
    return versionOf(folder);
  }
}

/** Costs one `stat`: cheap enough to be asked before every signature. */
async function versionOf(folder: string): Promise<string> {
  const { dev, ino, mtimeNs } = await stat(join(folder, 'meta.json'), { bigint: true });
  return `${dev}:${ino}:${mtimeNs}`;
}

/** Follows the link once and reads all files from that one version: two versions never mix. */
async function readOnce(folder: string): Promise<KeySet> {
  const versionFolder = await realpath(join(folder, '..data')).catch(() => realpath(folder));
  const version = await versionOf(versionFolder);
  const meta = await readJson(join(versionFolder, 'meta.json'));
  if (!isName(meta.client_id)) throw new Error('meta.json has no client_id');
  const keys: SigningKey[] = [];
  for (const role of ROLES) {
    const kid = meta[role] ?? null;
    if (kid === null) continue;
    if (!isName(kid)) throw new Error(`${role} in meta.json is not a kid`);
    const jwk = await readJson(join(versionFolder, `${role}.jwk.json`));
    if (jwk.kid !== kid || typeof jwk.alg !== 'string')
      throw new Error(`${role}.jwk.json is not the key that meta.json names`);
    keys.push({ role, kid, alg: jwk.alg, key: await signingKey(jwk, jwk.alg, role) });
  }
  return { clientId: meta.client_id, keys, version };
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

async function signingKey(jwk: Record<string, unknown>, alg: string, role: KeyRole): Promise<KeyObject> {
  try {
    return await privateKeyOf(jwk, alg);
  } catch {
    // Without its cause: what a parser says may quote the key.
    throw new Error(`${role}.jwk.json is not a private key that can sign its alg`);
  }
}

/** Of a pipe, opening would otherwise wait for a writer that never comes. */
const FLAG = constants.O_RDONLY | constants.O_NONBLOCK;

async function readJson(path: string): Promise<Record<string, unknown>> {
  const value = parseJson(await readFile(path, { flag: FLAG }));
  if (typeof value !== 'object' || value === null) throw new Error(`${path} is not a JSON object`);
  return { ...value };
}

/** JSON is UTF-8 without a byte order mark (RFC 8259 section 8.1). */
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** undefined for what is not JSON: the parser's own error would quote the text, which may be a private key. */
function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(UTF8.decode(bytes));
  } catch {
    return undefined;
  }
}
