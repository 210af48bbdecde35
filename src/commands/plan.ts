import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/model.ts';
import { type ClientRef, makeReference } from '../core/client.ts';
import type { ObservedClient } from '../core/document.ts';
import { isEligible } from '../core/due.ts';
import { configWarnings, fleetOutlook } from '../forecast/fleet.ts';
import { lost, readFacts, readMarker, whyLost } from '../store/identity.ts';
import type { Globals } from './open.ts';
import { note, print, printJson } from './output.ts';
import { type ClientPlan, planOf } from './plan/client.ts';
import { outlookLine, planLines } from './plan/text.ts';
import { type Select, type SelectOptions, selectionOf } from './select.ts';
import { type ApiView, policyOf, type StoreView, viewApis, viewStore } from './view.ts';

export interface PlanOptions extends SelectOptions {
  readonly takeOver?: boolean;
  readonly json?: boolean;
}

/** Reads the store and the client lists, and writes nothing. */
export async function plan(globals: Globals, named: readonly string[], options: PlanOptions): Promise<number> {
  const config = await loadConfig(globals.file, globals.env);
  const { select, compromised } = selectionOf(named, options, config);
  const apis = viewApis(config);
  try {
    const view = await viewStore(config);
    try {
      await expectPresent(config, view);
      const { targets, listed } = await selected(config, apis, select);
      const { plans, errors } = await planAll(targets, config, view, {
        compromised,
        takeOver: options.takeOver ?? false,
      });
      const { warnings, deployments } = outlook(config, listed);
      if (options.json) printJson({ clients: plans, errors, warnings, deployments });
      else for (const one of plans) for (const line of planLines(one, select !== null)) print(line);
      for (const one of deployments) note(outlookLine(one));
      for (const { path, message } of warnings) note(`warning: ${path}: ${message}.`);
      for (const { client, message } of errors) note(`${client}: ${message}`);
      if (targets.size === 0) note('No client with private_key_jwt matches.');
      return errors.length === 0 ? 0 : 1;
    } finally {
      await view.close();
    }
  } finally {
    await apis.close();
  }
}

/** A plan over a store that was lost would tell that every client is new. @throws RekeydError `store_lost` */
async function expectPresent({ dataDir }: Config, { redis }: StoreView): Promise<void> {
  const marker = await readMarker(dataDir);
  const why = whyLost(marker, await readFacts(redis));
  if (marker !== null && why !== null) throw lost(marker, why);
}

type Targets = ReadonlyMap<ClientRef, ObservedClient | null>;

/** Counts the clients of the lists that had to be read: with a selection, those of its apps only. */
function outlook(config: Config, listed: ReadonlyMap<ClientRef, ObservedClient>) {
  const { warnings, deployments } = fleetOutlook(config, listed);
  return { warnings: [...configWarnings(config), ...warnings], deployments };
}

/** The selected clients as the server lists them now, null for those it does not list; and every client that was listed. @throws ApiError */
async function selected(config: Config, { clients: apis }: ApiView, select: Select | null) {
  const listed = new Map<ClientRef, ObservedClient>();
  const named = select !== null && 'clients' in select ? select.clients : null;
  const found = new Map<ClientRef, ObservedClient | null>(named?.map((ref) => [ref, null]));
  for (const { id, apps } of config.deployments) {
    for (const { slug } of apps) {
      const place = `${id}/${slug}`;
      if (select !== null && 'app' in select && select.app !== place) continue;
      if (named !== null && !named.some((ref) => ref.startsWith(`${place}/`))) continue;
      const list = await apis.get(id)?.listClients(slug);
      for (const [row, problem] of list?.unreadable ?? [])
        note(`${place}/${row}: the API shows it in a way that cannot be read (${problem})`);
      for (const client of list?.clients ?? []) {
        const ref = makeReference(id, slug, client.id);
        listed.set(ref, client);
        // As with `rotate`: somebody who names a client gets an answer about it, whatever it is.
        if (named === null ? isMeant(config, ref, client, select) : found.has(ref)) found.set(ref, client);
      }
    }
  }
  return { targets: found satisfies Targets, listed };
}

function isMeant(config: Config, ref: ClientRef, client: ObservedClient, select: Select | null): boolean {
  const policy = policyOf(config, ref)?.name;
  if (policy === undefined || !isEligible(client)) return false;
  return select === null || !('policy' in select) || select.policy === policy;
}

interface ClientError {
  readonly client: ClientRef;
  readonly message: string;
}

async function planAll(
  targets: Targets,
  config: Config,
  { store }: StoreView,
  { compromised, takeOver }: { readonly compromised: boolean | { readonly kid: string }; readonly takeOver: boolean },
): Promise<{ readonly plans: readonly ClientPlan[]; readonly errors: readonly ClientError[] }> {
  const plans: ClientPlan[] = [];
  const errors: ClientError[] = [];
  const now = await store.now();
  const states = await store.deploymentStates(config.deployments.map(({ id }) => id));
  const paused = new Set([...states].flatMap(([id, state]) => (state.paused === null ? [] : [id])));
  for (const [ref, client] of targets) {
    const applied = policyOf(config, ref);
    const record = (await store.load(ref))?.record ?? null;
    if (applied === null) {
      const message = 'The config has no policy for it. Add its app (and the client, unless clients: all).';
      errors.push({ client: ref, message });
    } else if (record === null && client === null) {
      errors.push({ client: ref, message: 'The API lists no such client. Check the reference.' });
    } else {
      const answer = planOf({ ref, client, record, ...applied, now, compromised, takeOver, paused });
      if ('message' in answer) errors.push({ client: ref, message: answer.message });
      else plans.push(answer);
    }
  }
  return { plans, errors };
}
