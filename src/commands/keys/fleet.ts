/** Importing the keys of many clients: matched first, then proven and taken in, some at a time. Run again, it goes on where it was interrupted. */
import { appsIn } from '../../../jobs/renamed.ts';
import type { ClientRef } from '../../core/client.ts';
import type { Cause } from '../../core/history.ts';
import { type Algorithm, isAlgorithm } from '../../core/keys.ts';
import type { Enrolment } from '../../core/record.ts';
import { type ErrorCode, RekeydError } from '../../errors.ts';
import type { Kek } from '../../keys/kek.ts';
import { inParallel, openLanes, pagesOf } from '../../parallel.ts';
import { checkImport, type Import, type ImportOutcome, type ImportTools, importListed } from '../../rotation/import.ts';
import type { Resources } from '../../rotation/resources.ts';
import { FileProblem, isOpenToOthers, type KeyFiles, readKeyFile, type Unusable } from './files.ts';
import { readFleet } from './lists.ts';
import { type Candidate, type FleetLists, type Matched, matchFiles } from './match.ts';

/** What is waited for is the disk of the store and the issuer, seldom a core. */
const CLIENTS_AT_ONCE = 64;
/** An issuer serves its applications at the same time. */
const PROOFS_AT_ONCE = 8;

export interface FleetImport {
  readonly alg?: Algorithm;
  readonly passphrase?: Uint8Array;
  readonly unproven: boolean;
  readonly enroll: boolean;
  readonly dryRun: boolean;
  readonly cause: Cause;
}

/** `undelivered`: imported, but signers do not have it yet. `interrupted`: before it was imported. */
export interface ImportRow {
  readonly client: ClientRef;
  readonly file: string;
  readonly outcome: ImportOutcome | 'undelivered' | 'refused' | 'interrupted';
  readonly kid: string | null;
  readonly alg: string | null;
  readonly proof: string | null;
  readonly enrolment: Enrolment | null;
  readonly error: { readonly code: ErrorCode | 'file'; readonly message: string } | null;
}

export interface FleetReport {
  readonly rows: readonly ImportRow[];
  readonly filesWithoutClient: readonly Unusable[];
  readonly clientsWithoutFile: readonly Candidate[];
  /** Apps with a list that could not be read. */
  readonly unread: readonly Unusable[];
  readonly openToOthers: readonly string[];
}

export interface FleetTools {
  readonly signal: AbortSignal;
  readonly onPoint?: ImportTools['onPoint'];
  /** Told after each client how many were worked on. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** @throws RekeydError when the store or the encryption keys cannot be used */
export async function importFleet(
  resources: Resources,
  keks: readonly Kek[],
  { files, unusable }: KeyFiles,
  asked: FleetImport,
  { signal, onPoint, onProgress = () => {} }: FleetTools,
): Promise<FleetReport> {
  const lists = await readFleet(resources, files, signal);
  const { matched, unusable: unmatched, twice } = matchFiles(files, lists, appsIn(resources.config));
  const tools: ImportTools = {
    signal,
    proofs: openLanes(PROOFS_AT_ONCE),
    ...(onPoint !== undefined && { onPoint }),
  };
  const rows: ImportRow[] = [...twice].map(([client, some]) => {
    const names = some.map(({ shown }) => shown);
    const message = `${names.length} files name this client: ${names.slice(0, 3).join(', ')}. Leave one.`;
    return failed({ client, file: names[0] ?? '' }, 'refused', { code: 'file', message });
  });
  const open: string[] = [];
  const total = matched.length;
  let done = 0;
  await askIssuers(resources, matched, asked);
  await inParallel(matched, CLIENTS_AT_ONCE, async (one) => {
    rows.push(await importOne(resources, keks, one, asked, lists, tools, open));
    done += 1;
    onProgress(done, total);
  });
  if (!asked.dryRun) await resources.guard.remember();
  return {
    rows: rows.sort((a, b) => (a.client < b.client ? -1 : 1)),
    filesWithoutClient: [...unusable, ...unmatched],
    clientsWithoutFile: await withoutFile(resources, lists.candidates, rows),
    unread: lists.unread,
    openToOthers: open.sort(),
  };
}

/** Each is looked up once, before all clients of its app ask for it together. What is wrong with one is told of each client that needs it. */
async function askIssuers(resources: Resources, matched: readonly Matched[], { unproven }: FleetImport): Promise<void> {
  if (unproven) return;
  const places = new Map(matched.map(({ ref }) => [ref.slice(0, ref.lastIndexOf('/')), ref]));
  for (const [place, ref] of places) {
    await resources
      .deploymentOf(ref)
      .issuers.of(place.slice(place.indexOf('/') + 1))
      .catch(() => {});
  }
}

/** What is wrong with one client or its file, and not with the store or the config. */
const REFUSALS: ReadonlySet<ErrorCode> = new Set([
  'key_invalid',
  'key_refused',
  'key_unproven',
  'algorithm_unsupported',
  'not_eligible',
  'not_found',
  'not_enrolled',
  'issuer_changed',
  'store_conflict',
  'api_failed',
]);

async function importOne(
  resources: Resources,
  keks: readonly Kek[],
  { ref, file }: Matched,
  { dryRun, alg, ...asked }: FleetImport,
  { listed }: FleetLists,
  tools: ImportTools,
  open: string[],
): Promise<ImportRow> {
  const about = { client: ref, file: file.shown };
  const found = listed.get(ref);
  if (tools.signal.aborted || found === undefined) return failed(about, 'interrupted', null);
  if (file.alg !== undefined && !isAlgorithm(file.alg)) {
    const message = `${JSON.stringify(file.alg.slice(0, 16))} is no algorithm that rekeyd knows.`;
    return failed(about, 'refused', { code: 'file', message });
  }
  const chosen = file.alg ?? alg;
  let bytes: Buffer | null = null;
  try {
    const read = await readKeyFile(file.path);
    bytes = read.bytes;
    if (isOpenToOthers(read.stats)) open.push(file.shown);
    const one: Import = { ...asked, ref, text: bytes, ...(chosen !== undefined && { alg: chosen }) };
    const work = dryRun ? checkImport(resources, one, found, tools) : importListed(resources, keks, one, found, tools);
    const { outcome, key, enrolment } = await work;
    return { ...about, outcome, kid: key.kid, alg: key.alg, proof: key.proof, enrolment, error: null };
  } catch (error) {
    if (tools.signal.aborted) return failed(about, 'interrupted', null);
    if (error instanceof FileProblem) {
      return failed(about, 'refused', { code: 'file', message: `The file cannot be used: ${error.message}.` });
    }
    if (!(error instanceof RekeydError)) throw error;
    const { code, message } = error;
    if (code === 'sink_failed') return failed(about, 'undelivered', { code, message });
    if (REFUSALS.has(code)) return failed(about, 'refused', { code, message });
    throw error;
  } finally {
    bytes?.fill(0);
  }
}

function failed(
  about: Pick<ImportRow, 'client' | 'file'>,
  outcome: ImportRow['outcome'],
  error: ImportRow['error'],
): ImportRow {
  return { ...about, outcome, kid: null, alg: null, proof: null, enrolment: null, error };
}

/** Clients with a key that nobody has given to rekeyd, neither before nor now. */
async function withoutFile(
  { store }: Resources,
  candidates: readonly Candidate[],
  rows: readonly ImportRow[],
): Promise<readonly Candidate[]> {
  const named = new Set(rows.map(({ client }) => client));
  const left: Candidate[] = [];
  for (const page of pagesOf(candidates.filter(({ ref }) => !named.has(ref)))) {
    const held = new Set(await store.withKeys(page.map(({ ref }) => ref)));
    left.push(...page.filter(({ ref }) => !held.has(ref)));
  }
  return left.sort((a, b) => (a.ref < b.ref ? -1 : 1));
}

/** How an import ends: 3 when a list could not be read, 1 when a file was not imported, else 0. Clients without a file are no failure. */
export function exitCode({ rows, filesWithoutClient, unread }: FleetReport): number {
  if (unread.length > 0) return 3;
  const isDone = rows.every(({ error, outcome }) => error === null && outcome !== 'interrupted');
  return isDone && filesWithoutClient.length === 0 ? 0 : 1;
}
