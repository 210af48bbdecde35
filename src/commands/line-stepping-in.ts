/** The commands by which a person steps in: enroll, rollback, abandon, pause, resume, release, identify, approve. See {@link ./line.ts}. */
import type { Command } from 'commander';
import { reason } from './line-values.ts';
import type { Globals } from './open.ts';

/** Loaded only when the command is run. */
const commands = {
  approve: () => import('./approve.ts'),
  clients: () => import('./clients.ts'),
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
    .option('--for <duration>', 'until then, such as 4h or 2d; otherwise until `rekeyd resume`')
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

  program
    .command('identify')
    .description('tell which client has a key, and whether it still signs in; a private half is not stored')
    .argument('[file]', 'a file with a key in any form; a thumbprint or a hash; - or nothing reads stdin', '-')
    .option('--json', 'print one JSON document')
    .action(async (file, options) => end(await (await commands.identify()).identify(globals(), file, options)));
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
