/** The commands on what rekeyd keeps: the audit log, private keys, the store. See {@link ./line.ts}. */
import type { Command } from 'commander';
import { count } from './line-values.ts';
import type { Globals } from './open.ts';

/** Loaded only when the command is run. */
const commands = {
  audit: () => import('./audit.ts'),
  keysImport: () => import('./keys/import.ts'),
  keysRewrap: () => import('./keys/rewrap.ts'),
  store: () => import('./store.ts'),
};

type End = (code: number) => void;

export function addKeeping(program: Command, globals: () => Globals, end: End): void {
  addAudit(program, globals, end);
  addKeys(program, globals, end);
  addStore(program, globals, end);
}

function addAudit(program: Command, globals: () => Globals, end: End): void {
  const audit = program.command('audit').description('the audit log: tail, export');
  audit
    .command('tail')
    .description('show the newest entries, oldest first')
    .option('-n, --lines <count>', 'how many', count, 20)
    .option('-f, --follow', 'go on with those that come, until SIGINT')
    .option('--json', 'print one JSON document')
    .action(async (options) => end(await (await commands.audit()).auditTail(globals(), options)));
  audit
    .command('export')
    .description('write the entries that a folder does not hold yet, as JSON Lines')
    .argument('<dir>', 'the folder')
    .option('--json', 'print one JSON document')
    .action(async (dir, options) => end(await (await commands.audit()).auditExport(globals(), dir, options)));
}

function addKeys(program: Command, globals: () => Globals, end: End): void {
  const keys = program.command('keys').description('private keys: import, rewrap');
  keys
    .command('import')
    .description('adopt the private keys that clients sign with now, each proven first')
    .argument('[client]', 'deployment/app-slug/oauth_client_id, with --file')
    .option('--file <file>', 'its private key: PEM or JWK; - reads it from stdin')
    .option('--dir <dir>', 'of many clients: a folder of files named by client reference or client_id')
    .option('--map <file>', 'of many clients: CSV or JSON lines with client (or client_id), file, and alg if needed')
    .option('--dry-run', 'with --dir or --map: match and prove, and change nothing')
    .option('--alg <alg>', 'what it signs, when neither the file nor the server says')
    .option('--passphrase-file <file>', 'the passphrase of encrypted PEM')
    .option('--unproven', 'without a sign-in first: where no issuer can be reached from here')
    .option('--enroll', 'the applications take their keys from their key folders from now on')
    .option('--json', 'print one JSON document')
    .action(async (client, options) => end(await (await commands.keysImport()).keysImport(globals(), client, options)));
  keys
    .command('rewrap')
    .description('re-encrypt all stored private keys under the first KEK')
    .option('--json', 'print one JSON document')
    .action(async (options) => end(await (await commands.keysRewrap()).keysRewrap(globals(), options)));
}

function addStore(program: Command, globals: () => Globals, end: End): void {
  const store = program.command('store').description('the store: status, declare-loss');
  store
    .command('status')
    .description('show which store this is, and whether it is the one that was there before')
    .option('--json', 'print one JSON document')
    .action(async (options) => end(await (await commands.store()).storeStatus(globals(), options)));
  store
    .command('declare-loss')
    .description('after a store was lost or rolled back: take what is there as the truth')
    .option('--reason <text>', 'for the audit trail')
    .option('--json', 'print one JSON document')
    .action(async (options) => end(await (await commands.store()).storeDeclareLoss(globals(), options)));
}
