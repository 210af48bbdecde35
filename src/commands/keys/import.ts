/** `rekeyd keys import`: of one client, or of all clients with a key in a folder or a map. */
import { type ClientRef, parseReference } from '../../core/client.ts';
import { isAlgorithm } from '../../core/keys.ts';
import { hasCode, messageOf, RekeydError } from '../../errors.ts';
import { MOST_BYTES } from '../../keys/private-file.ts';
import { type Imported, importKey } from '../../rotation/import.ts';
import { keksOf } from '../../rotation/policy.ts';
import type { Resources } from '../../rotation/resources.ts';
import { monotonic } from '../../time.ts';
import { awaitInterruption, caller, type Globals, withResources } from '../open.ts';
import { note, print, printJson } from '../output.ts';
import { usage } from '../select.ts';
import { FileProblem, isOpenToOthers, openToOthers, readKeyFile, readPassphrase, readStdin } from './files.ts';
import { exitCode, type FleetImport, importFleet } from './fleet.ts';
import { filesOfFolder } from './folder.ts';
import { filesOfMap } from './map.ts';
import { tellFleet } from './text.ts';

export interface ImportOptions {
  /** Path of a private key; `-` for stdin. */
  readonly file?: string;
  /** A folder of files that are named after their clients. */
  readonly dir?: string;
  /** A file that says which key file belongs to which client. */
  readonly map?: string;
  readonly dryRun?: boolean;
  readonly alg?: string;
  readonly passphraseFile?: string;
  readonly unproven?: boolean;
  /** The application takes its key from its key folder from now on. */
  readonly enroll?: boolean;
  readonly json?: boolean;
}

/** Run again, it goes on where the first try failed: a key that is in the store already is only delivered. */
export async function keysImport(
  globals: Globals,
  client: string | undefined,
  options: ImportOptions,
): Promise<number> {
  const { file, dir, map, dryRun = false, alg, json = false } = options;
  if (alg !== undefined && !isAlgorithm(alg)) throw usage(`${JSON.stringify(alg)} is no algorithm that rekeyd knows.`);
  if ([file, dir, map].filter((given) => given !== undefined).length !== 1) throw usage(ONE_OF);
  if ((client === undefined) !== (file === undefined)) throw usage(ONE_OF);
  if (dryRun && file !== undefined) throw usage('--dry-run goes with --dir or --map.');
  const passphrase = options.passphraseFile === undefined ? null : await passphraseIn(options.passphraseFile);
  const asked = {
    ...(alg !== undefined && { alg }),
    ...(passphrase !== null && { passphrase }),
    unproven: options.unproven ?? false,
    enroll: options.enroll ?? false,
    cause: { ...caller(), reason: 'imported on the command line', request: null },
  };
  try {
    if (client !== undefined && file !== undefined) return await importOne(globals, client, file, asked, json);
    const files = dir === undefined ? await filesOfMap(map ?? '') : await filesOfFolder(dir);
    return await importMany(globals, files, { ...asked, dryRun }, json);
  } finally {
    passphrase?.fill(0);
  }
}

const ONE_OF = 'Say what to import: CLIENT --file FILE, --dir DIR or --map FILE.';

async function passphraseIn(path: string): Promise<Buffer> {
  try {
    const { bytes, stats } = await readPassphrase(path);
    if (stats.isFile() && isOpenToOthers(stats)) note(openToOthers([path]));
    return bytes;
  } catch (error) {
    if (!(error instanceof FileProblem)) throw error;
    throw usage(`The passphrase file ${path} cannot be used: ${error.message}.`);
  }
}

type Asked = Omit<FleetImport, 'dryRun'>;

async function importOne(globals: Globals, client: string, file: string, asked: Asked, json: boolean): Promise<number> {
  const ref = parseReference(client);
  const material = await readOne(file);
  try {
    return await withResources(globals, async (resources) => {
      const done = await importKey(resources, keksOf(resources.config), { ...asked, ref, text: material });
      tellOne(ref, done, resources, json);
      return 0;
    });
  } catch (error) {
    if (!hasCode(error, 'sink_failed')) throw error;
    const message = `The key is in the store, but signers do not have it yet. ${error.message} A worker tries again; or run the same command again.`;
    throw new RekeydError('sink_failed', message, { cause: error });
  } finally {
    material.fill(0);
  }
}

async function readOne(file: string): Promise<Buffer> {
  try {
    if (file === '-') return await readStdin(MOST_BYTES);
    const { bytes, stats } = await readKeyFile(file, true);
    if (stats.isFile() && isOpenToOthers(stats)) note(openToOthers([file]));
    return bytes;
  } catch (error) {
    if (!(error instanceof FileProblem)) throw error;
    throw usage(`The key file cannot be read: ${messageOf(error)}. Name a PEM or JWK file with --file.`);
  }
}

function tellOne(ref: ClientRef, { outcome, key, enrolment }: Imported, { sinks }: Resources, json: boolean): void {
  const { kid, thumbprint, alg, proof } = key;
  const delivered = sinks.map(({ name }) => name);
  if (json) printJson({ client: ref, outcome, kid, thumbprint, alg, proof, enrolment, delivered });
  else if (outcome === 'replaced') {
    print(`The key of ${ref} was imported before, and rekeyd has replaced it since by ${kid}: nothing is to be done.`);
  } else {
    const where = sinks.map((sink) => sink.placeOf(ref)).join(', ');
    print(`Key ${kid} (${alg}, thumbprint ${thumbprint}) of ${ref} is managed now, and delivered to ${where}.`);
  }
  if (outcome === 'imported' && proof === null) {
    note('Nobody has seen a sign-in with this key: a rotation finds out whether the client can sign in.');
  }
  if (!json && enrolment === 'held') {
    note(
      `The client is held: schedules leave it alone. Let its application read its key folder, then \`rekeyd enroll ${ref}\`.`,
    );
  }
}

/** How often progress is told, in ms. */
const TELL_MS = 2_000;

async function importMany(
  globals: Globals,
  files: Awaited<ReturnType<typeof filesOfFolder>>,
  asked: Asked & { readonly dryRun: boolean },
  json: boolean,
): Promise<number> {
  const { signal, release } = awaitInterruption(globals);
  note(`${files.files.length} ${files.files.length === 1 ? 'file' : 'files'} found. Reading the lists of clients …`);
  let toldAt = monotonic();
  const onProgress = (done: number, total: number) => {
    if (monotonic() - toldAt < TELL_MS) return;
    toldAt = monotonic();
    note(`${done} of ${total} keys …`);
  };
  try {
    return await withResources(globals, async (resources) => {
      const report = await importFleet(resources, keksOf(resources.config), files, asked, { signal, onProgress });
      tellFleet(report, { dryRun: asked.dryRun, enroll: asked.enroll, json });
      return exitCode(report);
    });
  } finally {
    release();
  }
}
