/** `rekeyd drift accept` and `drift repair`: a person decides what is right. The server is looked at first, in one list for each app. */
import { change } from '../../../jobs/by-hand.ts';
import { type Listed, type Missing, readListing } from '../../../jobs/listing.ts';
import { takeSeen } from '../../../jobs/start.ts';
import { type ClientRef, parseReference, unconfigured } from '../../core/client.ts';
import type { ClientPolicy } from '../../core/policy.ts';
import type { ClientRecord } from '../../core/record.ts';
import { accept as accepted, repair as repaired, type Settling } from '../../core/settling.ts';
import { andThen } from '../../core/transition.ts';
import { appOf } from '../../rotation/facts.ts';
import type { Resources } from '../../rotation/resources.ts';
import { type Changed, type ChangeOptions, tell, wake } from '../clients.ts';
import { caller, type Globals, withResources } from '../open.ts';
import { usage } from '../select.ts';

export interface RepairOptions extends ChangeOptions {
  readonly dropForeign?: readonly string[];
}

interface Decided extends Changed {
  readonly done: Settling['done'];
}

type Decide = (record: ClientRecord, policy: ClientPolicy, now: number) => Settling;

/** What the servers of these clients show becomes what is known. */
export async function driftAccept(globals: Globals, named: readonly string[], options: ChangeOptions): Promise<number> {
  const cause = causeOf(options);
  return settle(globals, named, options, (record, policy, now) => accepted(record, cause, { policy, now }));
}

/** What rekeyd publishes of these clients is published again. */
export async function driftRepair(globals: Globals, named: readonly string[], options: RepairOptions): Promise<number> {
  const drop = options.dropForeign ?? [];
  if (drop.length > 0 && named.length > 1) throw usage('--drop-foreign is about the keys of one client: name one.');
  const cause = causeOf(options);
  return settle(globals, named, options, (record, policy, now) => repaired(record, { cause, drop }, { policy, now }));
}

function causeOf({ reason }: ChangeOptions) {
  const why = reason?.trim() ?? '';
  if (why === '') throw usage('--reason is blank. Say why: the audit trail shows it.');
  return { ...caller(), reason: why, request: null };
}

async function settle(
  globals: Globals,
  named: readonly string[],
  options: ChangeOptions,
  decide: Decide,
): Promise<number> {
  const refs = [...new Set(named.map(parseReference))];
  return withResources(globals, async (resources) => {
    const decided: Decided[] = [];
    let workers = 0;
    // All lists before the first decision: where one cannot be read, nothing is decided.
    const shown = await shownNow(resources, refs);
    for (const ref of refs) {
      const listed = shown.get(ref);
      const one = typeof listed === 'object' ? await decideOne(resources, ref, listed, decide) : null;
      decided.push(one ?? { client: ref, error: listed === 'unreadable' ? UNREADABLE : unconfigured(ref), done: null });
      if (needsWork(one?.done)) workers = await wake(resources, ref);
    }
    tell(decided, options, (one) => lineOf(one, workers));
    return decided.every(({ error }) => error === null) ? 0 : 1;
  });
}

const UNREADABLE = 'the server shows it in a way that cannot be read: nothing was changed';

/** What servers show of these clients. Those that the config does not name are left out. @throws ApiError: a list that cannot be read is not an empty list */
async function shownNow(
  resources: Resources,
  refs: readonly ClientRef[],
): Promise<ReadonlyMap<ClientRef, Listed | Missing | 'unreadable'>> {
  const shown = new Map<ClientRef, Listed | Missing | 'unreadable'>();
  const wanted = new Set(refs);
  const context = { resources, log: resources.log };
  for (const { id, apps } of resources.config.deployments) {
    for (const { slug } of apps) {
      const some = refs.filter((ref) => appOf(ref) === `${id}/${slug}`);
      if (some.length === 0) continue;
      const how = { wanted: (_: unknown, ref: ClientRef) => wanted.has(ref), urgent: true };
      const { clients, unreadable, readAt } = await readListing(context, id, slug, how);
      for (const ref of some)
        shown.set(ref, unreadable.has(ref) ? 'unreadable' : (clients.get(ref) ?? { client: null, readAt }));
    }
  }
  return shown;
}

async function decideOne(
  resources: Resources,
  ref: ClientRef,
  listed: Listed | Missing,
  decide: Decide,
): Promise<Decided> {
  let done: Settling['done'] = null;
  const error = await change(resources, ref, (record, policy, now) => {
    const seen = takeSeen(record, listed, policy);
    return andThen(seen, (next) => {
      const settling = decide(next, policy, now);
      done = settling.done;
      return settling;
    });
  });
  return { client: ref, error, done: error === null ? done : null };
}

function needsWork(done: Settling['done'] | undefined): boolean {
  return done === 'repairing' || done === 'restoring';
}

function lineOf({ client, done }: Decided, workers: number): string {
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
