/** The commands on what rekeyd keeps: the audit log, private keys, the store, tokens, what webhooks are to be told. See {@link ./line.ts}. */
import type { Command } from 'commander';
import { afterEntry, count, entryNumber, reason, scopes, several, time } from './line-values.ts';
import type { Globals } from './open.ts';

/** Loaded only when the command is run. */
const commands = {
  audit: () => import('./audit.ts'),
  auditKeys: () => import('./audit-keys.ts'),
  keysCbom: () => import('./keys/cbom.ts'),
  auditSeal: () => import('./audit-seal.ts'),
  auditVerify: () => import('./audit-verify.ts'),
  keysImport: () => import('./keys/import.ts'),
  keysRewrap: () => import('./keys/rewrap.ts'),
  store: () => import('./store.ts'),
  token: () => import('./token.ts'),
  webhooks: () => import('./webhooks.ts'),
};

type End = (code: number) => void;

export function addKeeping(program: Command, globals: () => Globals, end: End): void {
  addAudit(program, globals, end);
  addKeys(program, globals, end);
  addStore(program, globals, end);
  addTokens(program, globals, end);
  addWebhooks(program, globals, end);
}

function addAudit(program: Command, globals: () => Globals, end: End): void {
  const audit = program
    .command('audit')
    .description('the audit log: tail, export, keys, verify, rotate-key, new-segment');
  audit
    .command('tail')
    .description('show the newest entries, oldest first')
    .option('-n, --lines <count>', 'how many', count, 20)
    .option('--after <number>', 'only entries after this number, to go on where you were', afterEntry)
    .option('-f, --follow', 'go on with those that come, until SIGINT')
    .option('--json', 'print one JSON document; with --follow one a line')
    .action(async (options) => end(await (await commands.audit()).auditTail(globals(), options)));
  audit
    .command('export')
    .description('write the entries that a folder does not hold yet, as JSON Lines')
    .argument('<dir>', 'the folder')
    .option('--from <number>', 'to an empty folder: begin with this entry', entryNumber)
    .option('--json', 'print one JSON document')
    .action(async (dir, options) => end(await (await commands.audit()).auditExport(globals(), dir, options)));
  audit
    .command('keys')
    .description('show which keys could sign in at a time, from exported logs; needs no config and no Redis')
    .argument('<dir...>', 'folders that `audit export` wrote')
    .requiredOption('--at <time>', 'with its zone, such as 2026-11-27T03:00:00Z', time)
    .option('--client <reference>', 'only this client')
    .option('--json', 'print one JSON document')
    .action(async (dirs, options) => end(await (await commands.auditKeys()).auditKeys(dirs, options)));
  audit
    .command('verify')
    .description(
      'verify exports, offline and without a config; ends with 1 at the first entry that is not as it was sealed',
    )
    .argument('<dir...>', 'folders of exports; they may overlap')
    .option(
      '--public-key <file>',
      'the key that signs, as PEM; may be repeated; absent: the keys in the folders are trusted',
      several,
    )
    .option('--expect <size:hash>', 'the log reaches this entry, and the entry has this hash')
    .option('--from <number>', 'the log may begin with this entry', entryNumber)
    .option('--json', 'print one JSON document')
    .action(async (dirs, options) => end(await (await commands.auditVerify()).auditVerify(dirs, options)));
  audit
    .command('rotate-key')
    .description('make another key that signs checkpoints; the old one signs the entry that names it')
    .option('--reason <text>', 'for the audit trail', reason)
    .option('--json', 'print one JSON document')
    .action(async (options) => end(await (await commands.auditSeal()).auditRotateKey(globals(), options)));
  audit
    .command('new-segment')
    .description('begin a new chain where the log cannot be sealed any more; the log says so')
    .requiredOption('--reason <text>', 'for the audit trail', reason)
    .option('--json', 'print one JSON document')
    .action(async (options) => end(await (await commands.auditSeal()).auditNewSegment(globals(), options)));
}

function addKeys(program: Command, globals: () => Globals, end: End): void {
  const keys = program.command('keys').description('private keys: import, rewrap, cbom');
  keys
    .command('import')
    .description('adopt the private keys that clients sign with now, each proven first')
    .argument('[client]', 'deployment/app-slug/oauth_client_id, with --file')
    .option('--file <file>', 'its private key: PEM or JWK; - reads it from stdin')
    .option('--dir <dir>', 'of many clients: a folder of files named by client reference or client_id')
    .option('--map <file>', 'of many clients: CSV or JSON lines with client (or client_id), file, and alg if needed')
    .option('--dry-run', 'with --dir or --map: match and prove, and change nothing')
    .option('--alg <alg>', 'the alg it signs with, when neither the file nor the server says')
    .option('--passphrase-file <file>', 'the passphrase of encrypted PEM')
    .option('--unproven', 'import without a sign-in, where no issuer can be reached from here')
    .option('--enroll', 'enroll the clients, too: their applications take their keys from their key folders')
    .option('--json', 'print one JSON document')
    .action(async (client, options) => end(await (await commands.keysImport()).keysImport(globals(), client, options)));
  keys
    .command('rewrap')
    .description('re-encrypt all stored private keys under the first KEK')
    .option('--json', 'print one JSON document')
    .action(async (options) => end(await (await commands.keysRewrap()).keysRewrap(globals(), options)));
  keys
    .command('cbom')
    .description('print the present keys as a CycloneDX CBOM, with their age against must_by')
    .argument('[client...]', 'only these')
    .option('--app <deployment/slug>', 'only clients of an app')
    .option('--policy <name>', 'only clients under a policy')
    .action(async (clients, options) => end(await (await commands.keysCbom()).keysCbom(globals(), clients, options)));
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
    .option('--reason <text>', 'for the audit trail', reason)
    .option('--json', 'print one JSON document')
    .action(async (options) => end(await (await commands.store()).storeDeclareLoss(globals(), options)));
}

function addTokens(program: Command, globals: () => Globals, end: End): void {
  const token = program.command('token').description('who may use the HTTP API: create, list, revoke');
  token
    .command('create')
    .description('make a token; its value is shown once, on stdout')
    .argument('<name>', 'lower-case letters, digits and hyphens')
    .requiredOption('--scope <scope...>', 'rotate, read, metrics; the name of the token comes before it', scopes)
    .option('--app <deployment/slug>', 'for the clients of this app only')
    .option('--client <reference>', 'for this client only')
    .option('--expires <duration>', 'how long it is valid', '90d')
    .option('--reason <text>', 'for the audit trail', reason)
    .option('--json', 'print one JSON document')
    .action(async (name, options) => end(await (await commands.token()).tokenCreate(globals(), name, options)));
  token
    .command('list')
    .description('show the tokens, and never their values')
    .option('--json', 'print one JSON document')
    .action(async (options) => end(await (await commands.token()).tokenList(globals(), options)));
  token
    .command('revoke')
    .description('take a token away: workers refuse it within a second')
    .argument('[name]', 'the token')
    .option('--all', 'every token, also where their list cannot be read')
    .option('--reason <text>', 'for the audit trail', reason)
    .action(async (name, options) => end(await (await commands.token()).tokenRevoke(globals(), name, options)));
}

function addWebhooks(program: Command, globals: () => Globals, end: End): void {
  const webhooks = program.command('webhooks').description('who is told what happens: list, dead, retry, discard');
  const load = commands.webhooks;
  webhooks
    .command('list')
    .description('show how webhooks stand; ends with 1 when one fails')
    .option('--json', 'print one JSON document')
    .action(async (options) => end(await (await load()).webhooksList(globals(), options)));
  webhooks
    .command('dead')
    .description('show the events that could not be delivered')
    .argument('<name>', 'the webhook')
    .option('--json', 'print one JSON document')
    .action(async (name, options) => end(await (await load()).webhooksDead(globals(), name, options)));
  webhooks
    .command('retry')
    .description('try a webhook at once, even when it has stopped, and its dead letters once more')
    .argument('<name>', 'the webhook')
    .argument('[seq...]', 'only these dead letters')
    .option('--reason <text>', 'for the audit trail', reason)
    .option('--json', 'print one JSON document')
    .action(async (name, seqs, options) => end(await (await load()).webhooksRetry(globals(), name, seqs, options)));
  webhooks
    .command('discard')
    .description('remove dead letters; the entries stay in the audit log')
    .argument('<name>', 'the webhook')
    .argument('[seq...]', 'only these dead letters')
    .option('--reason <text>', 'for the audit trail', reason)
    .option('--json', 'print one JSON document')
    .action(async (name, seqs, options) => end(await (await load()).webhooksDiscard(globals(), name, seqs, options)));
}
