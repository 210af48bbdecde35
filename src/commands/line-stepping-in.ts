/** The commands by which a person steps in: enroll, rollback, abandon, pause, resume, release, drift, identify, approve. See {@link ./line.ts}. */
import type { Command } from 'commander';
import { count, reason, several } from './line-values.ts';
import type { Globals } from './open.ts';

/** Loaded only when the command is run. */
const commands = {
  approve: () => import('./approve.ts'),
  clients: () => import('./clients.ts'),
  drift: () => import('./drift.ts'),
  settle: () => import('./drift/settle.ts'),
  identify: () => import('./identify.ts'),
  pause: () => import('./pause.ts'),
  release: () => import('./release.ts'),
  resume: () => import('./resume.ts'),
  rollback: () => import('./rollback.ts'),
};

const REFERENCE = 'deployment/app-slug/oauth_client_id';

export function addSteppingIn(program: Command, globals: () => Globals, end: (code: number) => void): void {
  explained(program.command('enroll'))
    .description('say that the applications of these clients take their keys from their key folders')
    .argument('<client...>', REFERENCE)
    .action(async (clients, options) => end(await (await commands.clients()).enroll(globals(), clients, options)));

  explained(program.command('rollback'))
    .description('put the previous key back, while its private half exists')
    .argument('<client>', REFERENCE)
    .option('--wait', 'wait until it is in use again')
    .action(async (client, options) => end(await (await commands.rollback()).rollback(globals(), client, options)));

  explained(program.command('abandon'))
    .description('end a rotation that cannot go on, at whichever key the server takes')
    .argument('<client>', REFERENCE)
    .action(async (client, options) => end(await (await commands.clients()).abandon(globals(), client, options)));

  explained(program.command('approve'))
    .description('as a second person, let a compromise go on that is about more of the fleet than the breaker allows')
    .argument('<request>', 'its number: `rekeyd status` lists requests that wait')
    .action(async (request, options) => end(await (await commands.approve()).approve(globals(), request, options)));

  selecting(program.command('pause'))
    .description('begin no scheduled rotation: what runs is finished, requests and compromises go through')
    .requiredOption('--reason <text>', 'why: the audit trail and `rekeyd status` show it', reason)
    .option('--for <duration>', 'how long, such as 4h or 2d; otherwise until `rekeyd resume`')
    .option('--json', 'print one JSON document')
    .action(async (clients, options) => end(await (await commands.pause()).pause(globals(), clients, options)));

  explained(selecting(program.command('resume')))
    .description('end a pause; of a policy, also go on with its wave after that has stopped')
    .action(async (clients, options) => end(await (await commands.resume()).resume(globals(), clients, options)));

  explained(program.command('release'))
    .description("hand a client's key over and stop managing the client")
    .argument('<client>', REFERENCE)
    .option('--to <file>', 'write the private key there, as JWK when it ends in .json or .jwk, else as PEM')
    .action(async (client, options) => end(await (await commands.release()).release(globals(), client, options)));

  addDrift(program, globals, end);

  program
    .command('identify')
    .description('tell which client has a key, and whether it still signs in; a private half is not stored')
    .argument('[file]', 'a file with a key in any form; a thumbprint or a hash; - or nothing reads stdin', '-')
    .option('--json', 'print one JSON document')
    .action(async (file, options) => end(await (await commands.identify()).identify(globals(), file, options)));
}

function addDrift(program: Command, globals: () => Globals, end: (code: number) => void): void {
  const drift = program
    .command('drift')
    .description('show what servers have that rekeyd did not publish; writes nothing')
    .argument('[client...]', REFERENCE)
    .option('--app <deployment/slug>', 'only clients of an app')
    .option('--policy <name>', 'only clients under a policy')
    .option('--limit <count>', 'show at most so many', count)
    .option('--json', 'print one JSON document')
    .action(async (clients, options) => end(await (await commands.drift()).drift(globals(), clients, options)));
  const help = { showGlobalOptions: true, visibleGlobalOptions: () => [...program.options] };
  const deciding = (command: Command) =>
    command
      .configureHelp(help)
      .argument('<client...>', REFERENCE)
      .requiredOption('--reason <text>', 'why: the audit trail shows it', reason)
      .option('--json', 'print one JSON document');
  deciding(drift.command('accept'))
    .description('take in what the server shows: it is right')
    .action(async (clients, options) =>
      end(await (await commands.settle()).driftAccept(globals(), clients, withParents(drift, options))),
    );
  deciding(drift.command('repair'))
    .description('publish our document again: it is right')
    .option(
      '--drop-foreign <kid>',
      'also take this foreign key away: no application signs with it; may be repeated',
      several,
    )
    .action(async (clients, options) =>
      end(await (await commands.settle()).driftRepair(globals(), clients, withParents(drift, options))),
    );
}

/**
 * Commander takes an option that the parent has too for the parent's.
 * @throws CommanderError for one that only the parent has
 */
function withParents<T extends object>(parent: Command, options: T): T & { readonly json?: boolean } {
  const { json, ...others } = parent.opts<{ json?: boolean }>();
  const [name] = Object.keys(others);
  if (name !== undefined) parent.error(`error: --${name} is no option of this command: name the clients`);
  return json === true ? { ...options, json } : options;
}

/** Clients, or all of a kind. */
export function selecting(command: Command): Command {
  return command
    .argument('[client...]', REFERENCE)
    .option('--app <deployment/slug>', 'all clients of an app')
    .option('--policy <name>', 'all clients under a policy')
    .option('--all', 'all clients in the config');
}

function explained(command: Command): Command {
  return command.option('--reason <text>', 'for the audit trail', reason).option('--json', 'print one JSON document');
}
