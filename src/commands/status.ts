import { loadConfig } from '../config/load.ts';
import { type Config, policyFor } from '../config/model.ts';
import type { ClientRef } from '../core/client.ts';
import { byScope } from '../core/pause.ts';
import { CLIENT_STATES, type ClientState, isClientState } from '../core/state.ts';
import { pagesOf } from '../parallel.ts';
import { knownOtherwise } from '../rotation/naming.ts';
import type { Resources } from '../rotation/resources.ts';
import { sleep } from '../time.ts';
import { awaitInterruption, type Globals, withResourcesOf } from './open.ts';
import { clearScreen, note, printJson } from './output.ts';
import { type Select, selectionOf, usage } from './select.ts';
import { clientStatus, countsOf, deploymentStatus, pauseStatus } from './status/build.ts';
import type { ClientStatus, Status } from './status/model.ts';
import { requestsOf } from './status/requests.ts';
import { heardNow, MOST_HEARD } from './status/signers.ts';
import { printStatus } from './status/text.ts';
import { wavesOf } from './status/waves.ts';

export interface StatusOptions {
  readonly app?: string;
  readonly policy?: string;
  readonly state?: string;
  readonly limit?: number;
  readonly watch?: boolean;
  readonly json?: boolean;
}

/** Which clients are counted, and which of those are listed. */
interface Filter {
  /** Null: every client that is known. */
  readonly select: Select | null;
  readonly state: ClientState | null;
  readonly limit: number;
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

function filterOf(named: readonly string[], options: StatusOptions, config: Config): Filter {
  const { app, policy, state, limit = Number.POSITIVE_INFINITY } = options;
  const asked = { ...(app !== undefined && { app }), ...(policy !== undefined && { policy }) };
  const { select } = selectionOf(named, asked, config);
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
  const { select, state, limit } = filter;
  const isNamed = select !== null && 'clients' in select;
  const [now, deployments, paused] = await Promise.all([
    store.now(),
    store.deploymentStates(config.deployments.map(({ id }) => id)),
    store.pauses(),
  ]);
  const pauses = byScope(paused, now);
  const clients: ClientStatus[] = [];
  const unknown: ClientRef[] = [];
  // Of a large fleet, records are not kept: what is shown of them is a tenth.
  const refs = await refsOf(select, resources);
  for (const page of pagesOf(refs)) {
    const stored = new Map([...(await store.loadMany(page))].map(([ref, { record }]) => [ref, record]));
    const records = refs.length > MOST_HEARD ? stored : await heardNow(stored, now, resources);
    for (const ref of page) {
      const record = records.get(ref);
      if (record === undefined) unknown.push(ref);
      else clients.push(clientStatus(record, { now, deployments, pauses }, resources));
    }
  }
  const wanted = clients.filter((client) => state === null || client.state === state).sort(inOrder);
  const shown: Status = {
    counts: countsOf(clients),
    clients: wanted.slice(0, limit),
    deployments: [...deployments].map(([id, deployment]) => deploymentStatus(id, deployment)),
    pauses: [...pauses.values()].map(pauseStatus),
    waves: await wavesOf(resources),
    requests: await requestsOf(resources),
  };
  if (json) printJson(shown);
  else {
    const left = wanted.length - shown.clients.length;
    printStatus(shown, now, { details: isNamed, isAll: select === null, left, state });
  }
  if (!isNamed) return 0;
  for (const ref of unknown)
    note((await knownOtherwise(store, ref)) ?? `${ref} is not known. \`rekeyd plan ${ref}\` asks the API for it.`);
  return unknown.length === 0 ? 0 : 1;
}

async function refsOf(select: Select | null, { store, config }: Resources): Promise<readonly ClientRef[]> {
  if (select !== null && 'clients' in select) return select.clients;
  const refs = await store.clientRefs();
  if (select === null || 'all' in select) return refs;
  if ('app' in select) return refs.filter((ref) => ref.startsWith(`${select.app}/`));
  return refs.filter((ref) => policyFor(config, ref)?.name === select.policy);
}

/** Those that need a person first. */
function inOrder(a: ClientStatus, b: ClientStatus): number {
  return rankOf(a) - rankOf(b) || (a.client < b.client ? -1 : 1);
}

function rankOf({ compromised, state }: ClientStatus): number {
  return compromised ? -1 : CLIENT_STATES.indexOf(state);
}
