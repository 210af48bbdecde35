import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/model.ts';
import { byScope } from '../core/pause.ts';
import { CLIENT_STATES, isClientState } from '../core/state.ts';
import { knownOtherwise } from '../rotation/naming.ts';
import type { Resources } from '../rotation/resources.ts';
import { auditLogStatus } from '../status/audit-log.ts';
import { deploymentStatus, pauseStatus } from '../status/build.ts';
import type { Status } from '../status/model.ts';
import { wavesOf } from '../status/waves.ts';
import { webhookStatuses } from '../status/webhooks.ts';
import { sleep } from '../time.ts';
import { awaitInterruption, type Globals, withResourcesOf } from './open.ts';
import { beginJson, clearScreen, note, printElement, printJson, screenful } from './output.ts';
import { selectionOf, usage } from './select.ts';
import { requestsOf } from './status/requests.ts';
import { type Filter, type Survey, survey } from './status/survey.ts';
import { printStatus } from './status/text.ts';

export interface StatusOptions {
  readonly app?: string;
  readonly policy?: string;
  readonly state?: string;
  readonly limit?: number;
  readonly watch?: boolean;
  readonly json?: boolean;
}

/** Between two looks of `--watch`, in ms. */
const WATCH_MS = 2_000;

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
  const { app, policy, state, json } = options;
  const asked = { ...(app !== undefined && { app }), ...(policy !== undefined && { policy }) };
  const { select } = selectionOf(named, asked, config);
  const isNamed = select !== null && 'clients' in select;
  const limit = options.limit ?? (isNamed || json ? Number.POSITIVE_INFINITY : screenful());
  if (state === undefined) return { select, state: null, limit };
  if (isClientState(state)) return { select, state, limit };
  throw usage(`There is no state ${JSON.stringify(state)}. There are: ${CLIENT_STATES.join(', ')}.`);
}

async function watching(globals: Globals, resources: Resources, filter: Filter): Promise<number> {
  const { signal, release } = awaitInterruption(globals);
  try {
    let code = 0;
    for (; !signal.aborted; await sleep(WATCH_MS, signal)) {
      clearScreen();
      code = await show(resources, filter, false);
    }
    return code;
  } finally {
    release();
  }
}

/** Ends with 1 when a client that was named is not known. */
async function show(resources: Resources, filter: Filter, json: boolean): Promise<number> {
  const { store, config } = resources;
  const [now, deployments, paused] = await Promise.all([
    store.now(),
    store.deploymentStates(config.deployments.map(({ id }) => id)),
    store.pauses(),
  ]);
  const pauses = byScope(paused, now);
  const found = await survey(filter, { now, deployments, pauses }, resources);
  const around = {
    deployments: [...deployments].map(([id, deployment]) => deploymentStatus(id, deployment)),
    pauses: [...pauses.values()].map(pauseStatus),
    waves: await wavesOf(resources),
    requests: await requestsOf(resources),
    audit: await auditLogStatus(resources),
    webhooks: await webhookStatuses(config, store),
  };
  if (json) await printDocument(found, around);
  else await printStatus(found, around, now, filter);
  for (const ref of found.unknown)
    note((await knownOtherwise(store, ref)) ?? `${ref} is not known. \`rekeyd plan ${ref}\` asks the API for it.`);
  return found.unknown.length === 0 ? 0 : 1;
}

async function printDocument({ counts, pages }: Survey, around: Omit<Status, 'counts' | 'clients'>): Promise<void> {
  beginJson({ counts }, 'clients');
  for await (const page of pages()) for (const client of page) printElement(client);
  printJson(around);
}
