import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/model.ts';
import { type ClientRef, makeReference, misnamed, splitReference } from '../core/client.ts';
import type { ObservedClient } from '../core/document.ts';
import { isEligible } from '../core/due.ts';
import { type AppFacts, NOTHING_KNOWN, takesSeveral } from '../core/findings.ts';
import { byScope, pauseOf } from '../core/pause.ts';
import { configWarnings, fleetOutlook } from '../forecast/fleet.ts';
import { appOf } from '../rotation/facts.ts';
import { lost, readFacts, readMarker, whereNow, whyLost } from '../store/identity.ts';
import type { Globals } from './open.ts';
import { note, noteAbout, print, printJson } from './output.ts';
import { type ClientPlan, planOf, type Situation } from './plan/client.ts';
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
      const chosen = await selected(config, apis, select);
      const facts = await factsOf(config, view.store);
      const { plans, errors } = await planAll(chosen, config, view, facts, {
        isNamed: select !== null && 'clients' in select,
        compromised,
        takeOver: options.takeOver ?? false,
      });
      const { warnings, deployments } = await outlook(config, view, chosen, select, facts);
      if (options.json) printJson({ clients: plans, errors, warnings, deployments });
      else for (const one of plans) for (const line of planLines(one, select !== null)) print(line);
      for (const one of deployments) note(outlookLine(one));
      for (const { path, message } of warnings) note(`warning: ${path}: ${message}.`);
      for (const { client, message } of errors) noteAbout(client, message);
      if (chosen.targets.size === 0) note('No client with private_key_jwt matches.');
      return errors.length === 0 ? 0 : 1;
    } finally {
      await view.close();
    }
  } finally {
    await apis.close();
  }
}

/** A plan over a store that was lost would tell that every client is new. @throws RekeydError `store_lost` */
async function expectPresent({ dataDir }: Config, { redis, store }: StoreView): Promise<void> {
  const marker = await readMarker(dataDir);
  const facts = await readFacts(redis, store.keys);
  const why = whyLost(marker, facts);
  if (marker !== null && why !== null) throw lost(marker, why, store.keys, await whereNow(redis, marker, facts));
}

type Targets = ReadonlyMap<ClientRef, ObservedClient | null>;

type Selected = Awaited<ReturnType<typeof selected>>;

/** Counts the clients of the lists that had to be read: with a selection, those of its apps only. Says nothing of a fleet where clients are named. */
async function outlook(
  config: Config,
  { store }: StoreView,
  { listed }: Selected,
  select: Select | null,
  facts: KnownFacts,
) {
  if (select !== null && 'clients' in select) return { warnings: configWarnings(config), deployments: [] };
  const { warnings, deployments } = fleetOutlook(config, listed, (app) =>
    takesSeveral(facts.get(app) ?? NOTHING_KNOWN),
  );
  const enrolled = new Map<string, number>();
  for (const [ref, { record }] of await store.loadMany([...listed.keys()])) {
    const { deployment } = splitReference(ref);
    if (record.enrolment === 'enrolled') enrolled.set(deployment, (enrolled.get(deployment) ?? 0) + 1);
  }
  return {
    warnings: [...configWarnings(config), ...warnings],
    deployments: deployments.map((one) => ({ ...one, enrolled: enrolled.get(one.deployment) ?? 0 })),
  };
}

/** The selected clients as the server lists them now, null for those it does not list; and every client that was listed. @throws ApiError */
async function selected(config: Config, { clients: apis }: ApiView, select: Select | null) {
  const listed = new Map<ClientRef, ObservedClient>();
  const named = select !== null && 'clients' in select ? select.clients : null;
  const targets = new Map<ClientRef, ObservedClient | null>(named?.map((ref) => [ref, null]));
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
        if (named === null ? isMeant(config, ref, client, select) : targets.has(ref)) targets.set(ref, client);
      }
    }
  }
  return { targets: targets satisfies Targets, listed };
}

function isMeant(config: Config, ref: ClientRef, client: ObservedClient, select: Select | null): boolean {
  const policy = policyOf(config, ref)?.name;
  if (policy === undefined || !isEligible(client)) return false;
  return select === null || !('policy' in select) || select.policy === policy;
}

/** By app (`deployment/slug`). */
type KnownFacts = ReadonlyMap<string, AppFacts>;

/** Of each app in the config. */
async function factsOf({ deployments }: Config, store: StoreView['store']): Promise<KnownFacts> {
  const apps = deployments.flatMap(({ id, apps }) => apps.map(({ slug }) => `${id}/${slug}`));
  return new Map(await Promise.all(apps.map(async (app) => [app, await store.appFacts(app)] as const)));
}

interface ClientError {
  readonly client: ClientRef;
  readonly message: string;
}

async function planAll(
  { targets, listed }: Selected,
  config: Config,
  { store }: StoreView,
  facts: KnownFacts,
  asked: Pick<Situation, 'isNamed' | 'compromised' | 'takeOver'>,
): Promise<{ readonly plans: readonly ClientPlan[]; readonly errors: readonly ClientError[] }> {
  const plans: ClientPlan[] = [];
  const ids = [...listed].map(([ref, { clientId }]) => [ref, clientId] as const);
  const errors: ClientError[] = [];
  const now = await store.now();
  const states = await store.deploymentStates(config.deployments.map(({ id }) => id));
  const paused = new Set([...states].flatMap(([id, state]) => (state.paused === null ? [] : [id])));
  const pauses = byScope(await store.pauses(), now);
  for (const [ref, client] of targets) {
    const applied = policyOf(config, ref, facts.get(appOf(ref)));
    const record = (await store.load(ref))?.record ?? null;
    if (applied === null) {
      const message = 'The config has no policy for it. Add its app (and the client, unless clients: all).';
      errors.push({ client: ref, message });
    } else if (record === null && client === null) {
      errors.push({
        client: ref,
        message: misnamed(ref, ids) ?? `The API lists no client ${ref}. Check the reference.`,
      });
    } else {
      const pause = pauseOf(pauses, ref, applied.name);
      const answer = planOf({ ref, client, record, ...applied, now, ...asked, paused, pause });
      if ('message' in answer) errors.push({ client: ref, message: answer.message });
      else plans.push(answer);
    }
  }
  return { plans, errors };
}
