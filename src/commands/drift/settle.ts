/** `rekeyd drift accept` and `drift repair`: a person decides what is right. The server is looked at first, in one list for each app. */
import { type Decide, type Decided, settle, shownNow } from '../../../jobs/settle.ts';
import { type ClientRef, parseReference } from '../../core/client.ts';
import { accept as accepted, repair as repaired } from '../../core/settling.ts';
import { type Changed, type ChangeOptions, tell, wake } from '../clients.ts';
import { caller, type Globals, withResources } from '../open.ts';
import { usage } from '../select.ts';

export interface RepairOptions extends ChangeOptions {
  readonly dropForeign?: readonly string[];
}

type DecidedClient = Changed & Decided;

/** What the servers of these clients show becomes what is known. */
export async function driftAccept(globals: Globals, named: readonly string[], options: ChangeOptions): Promise<number> {
  const cause = causeOf(options);
  return settleAll(globals, named, options, (record, policy, now) => accepted(record, cause, { policy, now }));
}

/** What rekeyd publishes of these clients is published again. */
export async function driftRepair(globals: Globals, named: readonly string[], options: RepairOptions): Promise<number> {
  const drop = options.dropForeign ?? [];
  if (drop.length > 0 && named.length > 1) throw usage('--drop-foreign is about the keys of one client: name one.');
  const cause = causeOf(options);
  return settleAll(globals, named, options, (record, policy, now) =>
    repaired(record, { cause, drop }, { policy, now }),
  );
}

function causeOf({ reason }: ChangeOptions) {
  const why = reason?.trim() ?? '';
  if (why === '') throw usage('--reason is blank. Say why: the audit trail shows it.');
  return { ...caller(), reason: why, request: null };
}

async function settleAll(
  globals: Globals,
  named: readonly string[],
  options: ChangeOptions,
  decide: Decide,
): Promise<number> {
  const refs = [...new Set(named.map(parseReference))];
  return withResources(globals, async (resources) => {
    const decided: DecidedClient[] = [];
    let workers = 0;
    const wakeOne = async (ref: ClientRef) => {
      workers = await wake(resources, ref);
    };
    // All lists before the first decision: where one cannot be read, nothing is decided.
    const shown = await shownNow(resources, refs);
    for (const ref of refs) {
      decided.push({ client: ref, ...(await settle(resources, ref, shown.get(ref), decide, wakeOne)) });
    }
    tell(decided, options, (one) => lineOf(one, workers));
    return decided.every(({ error }) => error === null) ? 0 : 1;
  });
}

function lineOf({ client, done }: DecidedClient, workers: number): string {
  const then = workers > 0 ? '' : ' No worker is connected: it is done when one starts (`rekeyd start`).';
  switch (done) {
    case null:
      return `${client}: the server shows what is known. Nothing was changed.`;
    case 'known':
      return `${client}: what the server shows is accepted.`;
    case 'left':
      return `${client}: what the server shows is accepted, and stays until the next rotation. \`rekeyd drift repair ${client}\` undoes that.`;
    case 'found':
      return `${client}: what the server shows is accepted. Its active key is not ours, so the client is found, and nothing is done to it. Our keys are kept: until the next rotation \`rekeyd drift repair ${client}\` makes them its keys again.`;
    case 'restoring':
      return `${client}: the foreign keys that the repair took away are published again.${then}`;
    case 'repairing':
      return `${client}: our document is published again. \`rekeyd status ${client}\` shows what came of it.${then}`;
    default:
      return done satisfies never;
  }
}
