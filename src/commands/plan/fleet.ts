/** Plans clients while the lists of their apps arrive. Memory does not grow with clients of which nothing is shown. */

import { type ClientPlan, planOf, type Situation } from '../../../jobs/plan/client.ts';
import { appPaths } from '../../config/lookup.ts';
import type { Config } from '../../config/model.ts';
import { type ClientRef, makeReference, misnamed, notListed, splitReference, unconfigured } from '../../core/client.ts';
import type { ObservedClient } from '../../core/document.ts';
import { isEligible } from '../../core/due.ts';
import { type AppFacts, NOTHING_KNOWN, takesSeveral } from '../../core/findings.ts';
import { byScope, pauseOf } from '../../core/pause.ts';
import type { ClientRecord } from '../../core/record.ts';
import { configWarnings, countFleet, type DeploymentOutlook, type PlacedWarning } from '../../forecast/fleet.ts';
import type { Exposed } from '../../rotation/exposed.ts';
import { appOf } from '../../rotation/facts.ts';
import type { Select } from '../select.ts';
import { type ApiView, policyOf, type StoreView } from '../view.ts';

export interface Outlook {
  readonly warnings: readonly PlacedWarning[];
  readonly deployments: readonly (DeploymentOutlook & { readonly enrolled: number })[];
}

/** What `plan` was asked for, and who is told what came of it. */
export interface PlanRequest extends Pick<Situation, 'compromised' | 'keepStandby' | 'takeOver'> {
  /** Null: every client under a policy. */
  readonly select: Select | null;
  /** Which keys leaked, where `select` names a key, a KEK or a host. Else null. */
  readonly exposed: Exposed | null;
  /** Once for each client that can be planned, in the order of the lists. */
  planned(plan: ClientPlan): void;
  failed(client: ClientRef, message: string): void;
  /** A row of a list that is not as Wacht documents it. @param row `deployment/app-slug/id` */
  unreadable(row: string, problem: string): void;
}

interface Sources {
  readonly config: Config;
  readonly store: StoreView['store'];
  readonly apis: ApiView;
}

type Listed = readonly [ref: ClientRef, client: ObservedClient];

/** By app (`deployment/slug`). */
type KnownFacts = ReadonlyMap<string, AppFacts>;

type PlanOne = (ref: ClientRef, client: ObservedClient | null, record: ClientRecord | null) => void;

/** Plans what was asked for, and says nothing of the fleet where clients are named. @throws ApiError */
export async function planFleet(request: PlanRequest, sources: Sources): Promise<Outlook> {
  const facts = await factsOf(sources);
  const planOne = await planner(request, facts, sources);
  const named = namedBy(request);
  if (named === null) return planListed(request, planOne, facts, sources);
  await planNamed(named, request, planOne, sources);
  return { warnings: configWarnings(sources.config), deployments: [] };
}

function namedBy({ select, exposed }: Pick<PlanRequest, 'select' | 'exposed'>): readonly ClientRef[] | null {
  if (exposed !== null) return [...exposed.keys()];
  return select !== null && 'clients' in select ? select.clients : null;
}

async function planListed(
  request: PlanRequest,
  planOne: PlanOne,
  facts: KnownFacts,
  sources: Sources,
): Promise<Outlook> {
  const { config, store } = sources;
  const fleet = countFleet(config, (app) => takesSeveral(facts.get(app) ?? NOTHING_KNOWN));
  const enrolled = new Map<string, number>();
  await readLists(request, sources, async (listed) => {
    const records = await store.loadMany(listed.map(([ref]) => ref));
    for (const [ref, client] of listed) {
      fleet.add(ref, client);
      const record = records.get(ref)?.record ?? null;
      const { deployment } = splitReference(ref);
      if (record?.enrolment === 'enrolled') enrolled.set(deployment, (enrolled.get(deployment) ?? 0) + 1);
      if (isMeant(config, ref, client, request.select)) planOne(ref, client, record);
    }
  });
  const { warnings, deployments } = fleet.outlook();
  return {
    warnings: [...configWarnings(config), ...warnings],
    deployments: deployments.map((one) => ({ ...one, enrolled: enrolled.get(one.deployment) ?? 0 })),
  };
}

/** As with `rotate`: somebody who names a client gets an answer about it, whatever it is. */
async function planNamed(
  named: readonly ClientRef[],
  request: PlanRequest,
  planOne: PlanOne,
  sources: Sources,
): Promise<void> {
  const found = new Map<ClientRef, ObservedClient>();
  const refs = new Set(named);
  const ids = new Set(named.map((ref) => splitReference(ref).id));
  /** Clients that somebody named by the OAuth `client_id` in place of the id. */
  const meant: (readonly [ClientRef, string])[] = [];
  await readLists(request, sources, async (listed) => {
    for (const [ref, client] of listed) {
      if (refs.has(ref)) found.set(ref, client);
      if (ids.has(client.clientId)) meant.push([ref, client.clientId]);
    }
  });
  const records = await sources.store.loadMany(named);
  for (const ref of named) {
    const [client, record] = [found.get(ref) ?? null, records.get(ref)?.record ?? null];
    const isKnown = client !== null || record !== null || policyOf(sources.config, ref) === null;
    if (isKnown) planOne(ref, client, record);
    else request.failed(ref, misnamed(ref, meant) ?? notListed(ref));
  }
}

async function planner(request: PlanRequest, facts: KnownFacts, { config, store }: Sources): Promise<PlanOne> {
  const { select, exposed, keepStandby, takeOver } = request;
  const isNamed = select !== null && 'clients' in select;
  const now = await store.now();
  const deployments = await store.deploymentStates(config.deployments.map(({ id }) => id));
  const pauses = byScope(await store.pauses(), now);
  return (ref, client, record) => {
    const applied = policyOf(config, ref, facts.get(appOf(ref)));
    if (applied === null) return request.failed(ref, unconfigured(ref));
    const pause = pauseOf(pauses, ref, applied.name);
    const kids = exposed?.get(ref);
    const compromised = kids === undefined ? request.compromised : { kids };
    const asked = { isNamed, compromised, keepStandby, takeOver };
    const plan = planOf({ ref, client, record, ...applied, now, ...asked, deployments, pause });
    if ('message' in plan) request.failed(ref, plan.message);
    else request.planned(plan);
  };
}

/** Reads the lists of the apps that are asked about; each piece is forgotten when `take` has seen it. @throws ApiError */
async function readLists(
  { select, exposed, unreadable }: PlanRequest,
  { config, apis }: Sources,
  take: (listed: readonly Listed[]) => Promise<void>,
): Promise<void> {
  for (const { id, apps } of config.deployments) {
    for (const { slug } of apps) {
      const place = `${id}/${slug}`;
      if (!isAsked(place, select, exposed)) continue;
      const keep = async (clients: readonly ObservedClient[]) => {
        await take(clients.map((client) => [makeReference(id, slug, client.id), client]));
        return [];
      };
      const list = await apis.clients.get(id)?.listClients(slug, keep);
      for (const [row, problem] of list?.unreadable ?? []) unreadable(`${place}/${row}`, problem);
    }
  }
}

function isAsked(place: string, select: Select | null, exposed: Exposed | null): boolean {
  if (select !== null && 'app' in select) return select.app === place;
  const named = namedBy({ select, exposed });
  return named === null || named.some((ref) => ref.startsWith(`${place}/`));
}

function isMeant(config: Config, ref: ClientRef, client: ObservedClient, select: Select | null): boolean {
  const policy = policyOf(config, ref)?.name;
  if (policy === undefined || !isEligible(client)) return false;
  return select === null || !('policy' in select) || select.policy === policy;
}

/** Of each app in the config. */
async function factsOf({ config, store }: Sources): Promise<KnownFacts> {
  const apps = appPaths(config);
  return new Map(await Promise.all(apps.map(async (app) => [app, await store.appFacts(app)] as const)));
}
