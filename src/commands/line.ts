/** The command line: what can be typed, what it says about itself, and the exit code of what came of it. */
import { Command, CommanderError } from 'commander';
import packageFile from '../../package.json' with { type: 'json' };
import { type ErrorCode, messageOf, RekeydError } from '../errors.ts';
import { ApiError } from '../wacht/api-error.ts';
import { addCompletion } from './line-completion.ts';
import { helpOnlyForCommands } from './line-help.ts';
import { addKeeping } from './line-keeping.ts';
import { addSteppingIn, selecting } from './line-stepping-in.ts';
import { count, reason } from './line-values.ts';
import type { Globals } from './open.ts';
import { note, printJson } from './output.ts';

/** Loaded only when the command is run: `status`, for example, does not need the HTTP server in memory. */
const commands = {
  config: () => import('./config.ts'),
  doctor: () => import('./doctor.ts'),
  health: () => import('./health.ts'),
  plan: () => import('./plan.ts'),
  probe: () => import('./probe.ts'),
  reload: () => import('./reload.ts'),
  rotate: () => import('./rotate.ts'),
  start: () => import('./start.ts'),
  status: () => import('./status.ts'),
};

const ABOUT = `
Clients are named deployment/app-slug/oauth_client_id, as in \`rekeyd status\`.

Examples:
  $ rekeyd config check
  $ rekeyd doctor
  $ rekeyd start
  $ rekeyd probe 185019846023/mcp-auth
  $ rekeyd plan --app 185019846023/mcp-auth
  $ rekeyd rotate 185019846023/mcp-auth/4711 --reason "new laptop" --wait
  $ rekeyd keys import 185019846023/mcp-auth/4711 --file key.pem
  $ rekeyd keys import --dir keys-of-all-clients --dry-run
  $ rekeyd enroll 185019846023/mcp-auth/4711
  $ rekeyd pause --all --reason "incident 4711" --for 4h
  $ rekeyd rollback 185019846023/mcp-auth/4711 --reason "the new key is refused by the partner"
  $ rekeyd rotate 185019846023/mcp-auth/4711 --compromised --wait finished --json
  $ source <(rekeyd completion bash)

Exit codes:
  0  done
  1  failed: a rotation, a check
  2  wrong usage or config
  3  Redis or the API could not be reached

Environment:
  REKEYD_CONFIG     the config file, unless --config names one (default ./rekeyd.yaml)
  REKEYD_LOG_LEVEL  of \`rekeyd start\`: trace debug info warn error fatal silent (default info)
  REKEYD_LOG_FORMAT of \`rekeyd start\`: json, or pretty for people (default pretty on a terminal, else json)
  and whatever the config refers to as env:NAME

With --json, stdout is one JSON document; everything else goes to stderr.`;

const EXIT_CODES: Partial<Record<ErrorCode | 'internal', number>> = {
  usage: 2,
  config: 2,
  secret_missing: 2,
  client_reference_invalid: 2,
  redis_unreachable: 3,
  key_unproven: 3,
};

/** @returns the command line; its actions hand their exit code to `end` */
export function commandLine(globalsOf: (file: string | undefined) => Globals, end: (code: number) => void): Command {
  const program = commandsOf(globalsOf, end);
  addCompletion(program, () => commandsOf(globalsOf, end));
  helpOnlyForCommands(program);
  return program;
}

function commandsOf(globalsOf: (file: string | undefined) => Globals, end: (code: number) => void): Command {
  const program = new Command('rekeyd')
    .description(
      'Rotates the signing keys of OAuth clients registered with Wacht: proves a new key before it destroys the old one.',
    )
    .version(packageFile.version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .option('-c, --config <file>', 'the config file')
    .configureHelp({ showGlobalOptions: true })
    .showHelpAfterError('`rekeyd --help` lists commands and options.')
    .addHelpText('after', ABOUT)
    .exitOverride();
  const globals = () => globalsOf(program.opts<{ config?: string }>().config);

  program
    .command('start')
    .description('run the service until SIGTERM or SIGINT')
    .option('--no-schedule', 'do not look for due clients')
    .option('--no-http', 'do not listen')
    .option('--no-worker', 'do not work on jobs')
    .action(async (options) => end(await (await commands.start()).start(globals(), options)));

  suspecting(selecting(program.command('rotate')))
    .description('ask for rotations; the workers do them')
    .option('--reason <text>', 'for the audit trail', reason)
    .option('--yes', 'also a compromise that affects more of the fleet than `breaker` in the config allows')
    .option('--take-over', 'also clients that are not enrolled: their applications must take the new key at once')
    .option('--try-alg', 'named clients only: also to an alg that no client of their app was seen to sign in with')
    .option('--wait [finished]', 'wait until the new keys are in use; with finished, until the old ones are gone')
    .option('--verbose', 'with --wait: a line for each step of each client, and at the end for each client')
    .option('--json', 'print one JSON document')
    .action(async (clients, options) => end(await (await commands.rotate()).rotate(globals(), clients, options)));

  suspecting(selecting(program.command('plan')))
    .description('show what would happen; writes nothing')
    .option('--take-over', 'as if rotated with --take-over')
    .option('--limit <count>', 'list at most so many, failures first', count)
    .option('--verbose', 'all of them, with their steps and PATCH bodies')
    .option('--json', 'print one JSON document')
    .action(async (clients, options) => end(await (await commands.plan()).plan(globals(), clients, options)));

  program
    .command('status')
    .description('show clients, keys, ages and what is due')
    .argument('[client...]', 'only these, with their keys')
    .option('--app <deployment/slug>', 'only clients of an app')
    .option('--policy <name>', 'only clients under a policy')
    .option('--state <state>', 'list only clients in this state')
    .option('--limit <count>', 'list at most so many; on a terminal as many as it has room for', count)
    .option('--watch', 'show the fleet on one screen, again every 2 s, until SIGINT')
    .option('--json', 'print one JSON document')
    .action(async (clients, options) => end(await (await commands.status()).status(globals(), clients, options)));

  addSteppingIn(program, globals, end);

  program
    .command('probe')
    .description('find out on a disposable client how the server of an app picks keys, and which algs it verifies')
    .argument('<deployment/slug>', 'the app')
    .option('--json', 'print one JSON document')
    .action(async (app, options) => end(await (await commands.probe()).probe(globals(), app, options)));

  addKeeping(program, globals, end);

  program
    .command('doctor')
    .description('look for what is wrong, say what to do')
    .option('--json', 'print one JSON document')
    .action(async (options) => end(await (await commands.doctor()).doctor(globals(), options)));

  program
    .command('reload')
    .description('let every service read its config again, as SIGHUP does for one')
    .option('--reason <text>', 'for the audit trail', reason)
    .option('--json', 'print one JSON document')
    .action(async (options) => end(await (await commands.reload()).reload(globals(), options)));

  program
    .command('health')
    .description('ask the worker of this config, on this machine, whether it lives: for a health check')
    .action(async () => end(await (await commands.health()).health(globals())));

  const config = program.command('config').description('the config file: check, schema');
  config
    .command('check')
    .description('check the config file: report all its problems at once')
    .option('--json', 'print one JSON document')
    .action(async (options) => end(await (await commands.config()).configCheck(globals(), options)));
  config
    .command('schema')
    .description('print the JSON Schema of the config file')
    .option('--request', 'of the on-demand job instead')
    .option('--api', 'the description of the HTTP API instead (OpenAPI 3.1)')
    .action(async (options) => end((await commands.config()).printSchema(options)));

  return program;
}

function suspecting(command: Command): Command {
  return command
    .option('--compromised [kid]', 'the key in use (or that one) may have leaked: replace it at once')
    .option('--kid <kid>', 'with --compromised: all clients that have this key')
    .option('--kek <id>', 'with --compromised: all keys that are, or were, encrypted under this KEK')
    .option('--host <name>', 'with --compromised: all keys of clients that have a signer on this host')
    .option('--keep-standby', 'with --compromised: the standby key did not leak, although signers hold it');
}

/** What the process ends with after `error`, which is told on stderr, and with --json on stdout too. */
function failed(error: unknown, json: boolean): number {
  const code = error instanceof RekeydError ? error.code : error instanceof CommanderError ? 'usage' : 'internal';
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return 0; // help or version: commander has printed it, as it has its errors
  } else note(`rekeyd: ${isBug(error) ? error.stack : messageOf(error)}`);
  if (json) printJson({ error: { code, message: messageOf(error) } });
  if (error instanceof ApiError && error.reply.class === 'unknown') return 3;
  return EXIT_CODES[code] ?? 1;
}

/** An error of the system says enough by its message; what is neither that nor ours is found by its stack. */
function isBug(error: unknown): error is Error {
  return error instanceof Error && !(error instanceof RekeydError) && !('code' in error);
}

/** Runs one command. @returns what the process ends with */
export async function run(argv: readonly string[], globalsOf: (file: string | undefined) => Globals): Promise<number> {
  let code = 0;
  try {
    await commandLine(globalsOf, (ended) => {
      code = ended;
    }).parseAsync(argv);
    return code;
  } catch (error) {
    // BullMQ passes on what Redis says: an operator can mend that, and needs no stack trace.
    const { isRefusal, storeError } = await import('../store/redis/replies.ts');
    return failed(isRefusal(error) ? storeError(error) : error, argv.includes('--json'));
  }
}
