import { putOffRequests } from '../../jobs/waiting.ts';
import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/model.ts';
import { CLIENT_STATES, isClientState } from '../core/state.ts';
import { knownOtherwise } from '../rotation/naming.ts';
import type { Resources } from '../rotation/resources.ts';
import { aroundOf } from '../status/fleet/fleet.ts';
import { surroundingsOf } from '../status/surroundings.ts';
import type { Status } from '../status/views.ts';
import { type Globals, withResourcesOf } from './open.ts';
import { beginJson, note, printElement, printJson, screenful } from './output.ts';
import { withQueues } from './queues.ts';
import { selectionOf, usage } from './select.ts';
import { type Filter, type Survey, survey } from './status/survey.ts';
import { printStatus } from './status/text.ts';
import { watching } from './status/watch.ts';

export interface StatusOptions {
  readonly app?: string;
  readonly policy?: string;
  readonly state?: string;
  readonly limit?: number;
  readonly watch?: boolean;
  readonly json?: boolean;
}

export async function status(globals: Globals, named: readonly string[], options: StatusOptions): Promise<number> {
  const { watch = false, json = false } = options;
  if (watch && json) throw usage('--json prints one document and --watch has no end: take one of them.');
  const config = await loadConfig(globals.file, globals.env);
  const filter = filterOf(named, options, config);
  return withResourcesOf(config, (resources) =>
    watch ? watching(globals, resources, filter) : show(resources, filter, json),
  );
}

/** Somebody who reads it on a screen sees the summary, and those that need a person. */
function filterOf(named: readonly string[], options: StatusOptions, config: Config): Filter {
  const { app, policy, state, json, watch } = options;
  const asked = { ...(app !== undefined && { app }), ...(policy !== undefined && { policy }) };
  const { select } = selectionOf(named, asked, config);
  const isNamed = select !== null && 'clients' in select;
  const limit = options.limit ?? (isNamed || json || watch ? Number.POSITIVE_INFINITY : screenful());
  if (state === undefined) return { select, state: null, limit };
  if (isClientState(state)) return { select, state, limit };
  throw usage(`There is no state ${JSON.stringify(state)}. There are: ${CLIENT_STATES.join(', ')}.`);
}

/** Ends with 1 when a client that was named is not known. */
async function show(resources: Resources, filter: Filter, json: boolean): Promise<number> {
  const seen = await surroundingsOf(resources);
  const found = await survey(filter, seen, resources);
  const { due } = found.tally;
  const around = {
    due,
    ...(await aroundOf(resources, seen, found.tally, () => withQueues(resources, putOffRequests))),
  };
  if (json) await printDocument(found, around);
  else await printStatus(found, around, seen.now, filter);
  for (const ref of found.unknown)
    note(
      (await knownOtherwise(resources.store, ref)) ??
        `${ref} is not known. \`rekeyd plan ${ref}\` asks the API for it.`,
    );
  return found.unknown.length === 0 ? 0 : 1;
}

async function printDocument({ tally, pages }: Survey, around: Omit<Status, 'counts' | 'clients'>): Promise<void> {
  beginJson({ counts: tally.counts }, 'clients');
  for await (const page of pages()) for (const client of page) printElement(client);
  printJson(around);
}
