/** What the config asks for and cannot have, as the commands show it: each warning with the place of its setting. */
import cron from 'node-cron';
import { policyFor } from '../config/lookup.ts';
import type { Config, PolicyConfig } from '../config/model.ts';
import { formatPath } from '../config/problems.ts';
import { type ClientRef, splitReference } from '../core/client.ts';
import type { ObservedClient } from '../core/document.ts';
import { isEligible } from '../core/due.ts';
import {
  capacityOf,
  limitWarnings,
  type PolicyShare,
  platformWarnings,
  type RateLimit,
  windowWarnings,
} from './capacity.ts';
import { policyWarnings, type Warning } from './warnings.ts';

/** Members as in the JSON document. `path` as in problems of the config. */
export interface PlacedWarning {
  readonly code: Warning['code'];
  readonly path: string;
  readonly message: string;
}

/** What a deployment can do for its clients; members as in the JSON document. Times assume that nothing has to be tried twice. */
export interface DeploymentOutlook {
  readonly deployment: string;
  readonly clients: number;
  /** Part of the rate limit that scheduled rotations use. */
  readonly load: number;
  readonly rotate_all_seconds: number;
  readonly compromise_all_seconds: number;
}

/** The next `count` ticks of a schedule, in ms since the epoch. */
export function nextTicks(
  { schedule, timezone }: Pick<PolicyConfig, 'schedule' | 'timezone'>,
  count: number,
): readonly number[] {
  const task = cron.createTask(schedule, () => {}, { timezone });
  try {
    return task.getNextRuns(count).map(Number);
  } finally {
    task.destroy();
  }
}

/** Few ticks are enough for a schedule that looks once a day or more rarely, and finding them is slow where years lie between them. */
const FEW_TICKS = 40;
const MANY_TICKS = 1_000;
const WEEKS_MS = 5 * 7 * 86_400_000;

function ticksOf(policy: PolicyConfig): readonly number[] {
  const few = nextTicks(policy, FEW_TICKS);
  const span = (few.at(-1) ?? 0) - (few[0] ?? 0);
  return span < WEEKS_MS ? nextTicks(policy, MANY_TICKS) : few;
}

/** Warnings that need no list of clients. */
export function configWarnings({ deployments, policies }: Config): readonly PlacedWarning[] {
  const limits = deployments.flatMap(({ rateLimit }, index) =>
    platformWarnings(rateLimit).map((warning) => placed(['deployments', index], warning)),
  );
  const policed = Object.entries(policies).flatMap(([name, policy]) =>
    policyWarnings(policy, ticksOf(policy)).map((warning) => placed(['policies', name], warning)),
  );
  return [...limits, ...policed];
}

export interface FleetOutlook {
  readonly warnings: readonly PlacedWarning[];
  readonly deployments: readonly DeploymentOutlook[];
}

export interface FleetCount {
  /** A client as the API lists it. Those that no policy takes care of, or that have no keys, do not count. */
  add(ref: ClientRef, client: ObservedClient): void;
  /** Warnings about the clients that were counted, and what each deployment can do for them. */
  outlook(): FleetOutlook;
}

/**
 * Counts a fleet client by client, so that nobody has to hold it.
 * @param isOverlap whether strategy `auto` is an overlap in an app (`deployment/slug`)
 */
export function countFleet(config: Config, isOverlap: (app: string) => boolean): FleetCount {
  /** By deployment, then by policy and strategy. */
  const fleets = new Map(config.deployments.map(({ id }) => [id, new Map<string, Group>()]));
  return {
    add(ref, client) {
      const found = policyFor(config, ref);
      const { deployment, app } = splitReference(ref);
      const groups = fleets.get(deployment);
      if (!isEligible(client) || found === null || groups === undefined) return;
      const { name } = found;
      const policy = policyIn(`${deployment}/${app}`, found.policy, isOverlap);
      const { strategy } = policy;
      const group = groups.get(`${name} ${strategy}`) ?? { name, policy, clients: 0 };
      group.clients += 1;
      groups.set(`${name} ${strategy}`, group);
    },
    outlook: () => outlookOf(config, fleets),
  };
}

function policyIn(app: string, policy: PolicyConfig, isOverlap: (app: string) => boolean): PolicyConfig {
  return policy.strategy === 'auto' && isOverlap(app) ? { ...policy, strategy: 'overlap' } : policy;
}

/** How many clients of one app are under one policy. */
export interface AppShare {
  /** `deployment/slug` */
  readonly app: string;
  /** Its name. */
  readonly policy: string;
  readonly clients: number;
}

/**
 * How long all clients of one deployment take, in s.
 * @param isOverlap as for {@link countFleet}
 * @returns null when there are no clients
 */
export function timesOf(
  config: Pick<Config, 'policies'>,
  rateLimit: RateLimit,
  shares: readonly AppShare[],
  isOverlap: (app: string) => boolean,
): Pick<DeploymentOutlook, 'rotate_all_seconds' | 'compromise_all_seconds'> | null {
  const groups = shares.flatMap(({ app, policy: name, clients }) => {
    const policy = config.policies[name];
    return policy === undefined ? [] : [{ policy: policyIn(app, policy, isOverlap), clients }];
  });
  const { clients, rotationMs, compromiseMs } = capacityOf(groups, rateLimit);
  return clients === 0
    ? null
    : { rotate_all_seconds: rotationMs / 1_000, compromise_all_seconds: compromiseMs / 1_000 };
}

interface Group {
  readonly name: string;
  readonly policy: PolicyConfig;
  clients: number;
}

function outlookOf(config: Config, fleets: ReadonlyMap<string, ReadonlyMap<string, Group>>): FleetOutlook {
  const warnings: PlacedWarning[] = [];
  const deployments: DeploymentOutlook[] = [];
  for (const [index, { id, rateLimit }] of config.deployments.entries()) {
    const counted = [...(fleets.get(id)?.values() ?? [])];
    const groups: readonly PolicyShare[] = counted.map((group) => ({ ...group, ticks: ticksOf(group.policy) }));
    if (groups.length === 0) continue;
    const limits = limitWarnings(groups, rateLimit).map((warning) => placed(['deployments', index], warning));
    const about = groups.flatMap((group) =>
      windowWarnings(group, rateLimit).map((warning) => placed(['policies', group.name], warning)),
    );
    warnings.push(...limits, ...about);
    const { clients, load, rotationMs, compromiseMs } = capacityOf(groups, rateLimit);
    deployments.push({
      deployment: id,
      clients,
      load,
      rotate_all_seconds: rotationMs / 1_000,
      compromise_all_seconds: compromiseMs / 1_000,
    });
  }
  return { warnings, deployments };
}

function placed(place: readonly PropertyKey[], { code, setting, message }: Warning): PlacedWarning {
  return { code, path: formatPath([...place, setting]), message };
}
