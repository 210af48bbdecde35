/**
 * Reading what signers report. Applications write these files, so anything may stand there: nothing is followed, nothing is waited for, and little is read.
 */
import { constants, type Dirent } from 'node:fs';
import { lstat, opendir } from 'node:fs/promises';
import { join } from 'node:path';
import type { SignerReport } from '../core/signers.ts';
import { readSmall } from '../files/bounded.ts';
import { codeOf } from '../files/durable.ts';

/** Files of one client that are read: the newest. */
const MOST_READ = 64;

/** Names that are looked at to find those. A folder with more was filled by somebody who means harm, or by a fault. */
const MOST_NAMES = 4_096;

/** In bytes. */
const MOST_BYTES = 4_096;

/** `<host>-<pid>.json`. It is shown to people: no other characters. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,199}\.json$/;

/** A kid that is longer is none of ours. */
const LONGEST_KID = 256;

/** RFC 3339 in UTC. */
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z$/;

/**
 * Reports that can be read, the newest file first. What is no report is left out.
 * @param folder `signers/` of one client; none is there before the first delivery
 * @throws the file system's own errors: a folder that cannot be read is not one without reports
 */
export async function readReports(folder: string): Promise<readonly SignerReport[]> {
  const files = await newestFiles(folder);
  const reports = await Promise.all(files.map((name) => readReport(folder, name)));
  return reports.filter((report) => report !== null);
}

async function newestFiles(folder: string): Promise<readonly string[]> {
  const found: { readonly name: string; readonly at: number }[] = [];
  let looked = 0;
  for await (const { name } of await entriesOf(folder)) {
    looked += 1;
    if (looked > MOST_NAMES) break;
    if (!NAME.test(name)) continue;
    const file = await lstat(join(folder, name)).catch(() => null); // it was removed meanwhile
    if (file?.isFile() && file.size <= MOST_BYTES) found.push({ name, at: file.mtimeMs });
  }
  const newest = found.sort((a, b) => b.at - a.at).slice(0, MOST_READ);
  return newest.map(({ name }) => name);
}

async function entriesOf(folder: string): Promise<AsyncIterable<Dirent>> {
  try {
    // rekeyd makes it as a folder; a link would lead out of what it made.
    if (!(await lstat(folder)).isDirectory()) throw new Error(`${folder} is not a folder`);
    return await opendir(folder);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return none();
    throw error;
  }
}

async function* none(): AsyncIterable<Dirent> {}

/** Null for what is no report. Another thing may have taken the file's place since it was looked at. */
async function readReport(folder: string, name: string): Promise<SignerReport | null> {
  try {
    const read = await readSmall(join(folder, name), MOST_BYTES, constants.O_NOFOLLOW);
    return typeof read === 'string' ? null : reportIn(read.toString('utf8'), name.slice(0, -'.json'.length));
  } catch {
    return null;
  }
}

/** What the text of a report says, or null when it is none. */
function reportIn(text: string, name: string): SignerReport | null {
  const { kids, signing = null, at }: { kids?: unknown; signing?: unknown; at?: unknown } = { ...JSON.parse(text) };
  if (!Array.isArray(kids) || !kids.every(isKid)) return null;
  if (signing !== null && !isKid(signing)) return null;
  if (typeof at !== 'string' || !TIME.test(at)) return null;
  const time = Date.parse(at);
  return Number.isNaN(time) ? null : { name, kids, signing, at: time };
}

function isKid(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= LONGEST_KID;
}
