/** What a view of the fleet shows beside the counts of clients: deployments, policies, workers, and what keeps rekeyd from its work. */

import { policiesOf } from '../../config/lookup.ts';
import { freezesFrom } from '../../core/calendar.ts';
import { takesSeveral } from '../../core/findings.ts';
import { nextTicks, timesOf } from '../../forecast/fleet.ts';
import type { Resources } from '../../rotation/resources.ts';
import type { Counts } from '../census/tally.ts';
import type { PutOffRequests } from '../model.ts';
import { deploymentStatus, pauseStatus, type Surroundings } from '../surroundings.ts';
import type { DeploymentView, FleetView, PolicyView } from '../views.ts';
import { auditLogStatus } from './audit-log.ts';
import { wavesOf } from './waves.ts';
import { webhookStatuses } from './webhooks.ts';
import { workersOf } from './workers.ts';

type Around = Omit<FleetView, 'at' | 'reading' | keyof Omit<Counts, 'groups'>>;

const TICKS = 3;

/** @param requests reads the requests that were put off, from the queues */
export async function aroundOf(
  resources: Resources,
  seen: Surroundings,
  { groups }: Pick<Counts, 'groups'>,
  requests: () => Promise<PutOffRequests>,
): Promise<Around> {
  const { store, config } = resources;
  const [deployments, workers, waves, asked, audit, webhooks] = await Promise.all([
    deploymentViews(resources, seen, groups),
    workersOf(store),
    wavesOf(resources),
    requests(),
    auditLogStatus(resources),
    webhookStatuses(config, store),
  ]);
  return {
    deployments,
    policies: policyViews(config, seen.now, groups),
    workers,
    pauses: [...seen.pauses.values()].map(pauseStatus),
    waves,
    ...asked,
    audit,
    webhooks,
  };
}

async function deploymentViews(
  { config, store, facts }: Resources,
  seen: Surroundings,
  groups: Counts['groups'],
): Promise<readonly DeploymentView[]> {
  const isOverlap = (app: string) => takesSeveral(facts.ofApp(app));
  const views = config.deployments.map(async ({ id, rateLimit }): Promise<readonly DeploymentView[]> => {
    const state = seen.deployments.get(id);
    if (state === undefined) return [];
    const own = [...groups].filter(([{ deployment }]) => deployment === id);
    const shares = own.flatMap(([{ app, policy }, { eligible }]) =>
      policy === null ? [] : [{ app, policy, clients: eligible }],
    );
    const { rotate_all_seconds = null, compromise_all_seconds = null } =
      timesOf(config, rateLimit, shares, isOverlap) ?? {};
    const used = await store.spentPart(id, rateLimit);
    return [
      {
        ...deploymentStatus(id, state),
        clients: own.reduce((sum, [, { clients }]) => sum + clients, 0),
        budget: { max: rateLimit.max, per_seconds: rateLimit.perMs / 1000, used: Math.round(used * 1000) / 1000 },
        rotate_all_seconds,
        compromise_all_seconds,
      },
    ];
  });
  return (await Promise.all(views)).flat();
}

/** The policies that apps and clients of the config name. */
function policyViews(config: Resources['config'], now: number, groups: Counts['groups']): readonly PolicyView[] {
  const apps = config.deployments.flatMap(({ id, apps }) => apps.map(({ slug }) => policiesOf(config, id, slug)));
  const used = new Map(apps.flatMap((policies) => [...policies]));
  return [...used].map(([name, policy]) => ({
    policy: name,
    clients: [...groups].reduce((sum, [group, { clients }]) => sum + (group.policy === name ? clients : 0), 0),
    owner: policy.owner ?? null,
    schedule: policy.schedule,
    timezone: policy.timezone,
    rotate_every_seconds: policy.rotateEveryMs / 1000,
    next_ticks: nextTicks(policy, TICKS).map((at) => new Date(at).toISOString()),
    freezes: freezesFrom(policy, now).map(({ from, until }) => ({
      from: new Date(from).toISOString(),
      until: new Date(until).toISOString(),
      active: from <= now,
    })),
  }));
}
