/** What a client is seen against: the time, its deployment, and the pauses that people set. */
import { byScope, type Pause } from '../core/pause.ts';
import type { Hold } from '../core/state.ts';
import type { Resources } from '../rotation/resources.ts';
import type { DeploymentState } from '../store/deployments.ts';
import type { DeploymentStatus, PauseStatus } from './model.ts';

export interface Surroundings {
  /** The store's clock, ms since the epoch. */
  readonly now: number;
  /** By id. */
  readonly deployments: ReadonlyMap<string, DeploymentState>;
  /** Pauses in force, by the name of their scope: see {@link byScope}. */
  readonly pauses: ReadonlyMap<string, Pause>;
}

/** Of the deployments of the config. */
export async function surroundingsOf({ store, config }: Pick<Resources, 'store' | 'config'>): Promise<Surroundings> {
  const [now, deployments, paused] = await Promise.all([
    store.now(),
    store.deploymentStates(config.deployments.map(({ id }) => id)),
    store.pauses(),
  ]);
  return { now, deployments, pauses: byScope(paused, now) };
}

/** What a deployment keeps its clients from. @param deployment its id */
export function holdOf(
  deployment: string,
  { deployments }: Pick<Surroundings, 'deployments'>,
): Pick<Hold, 'paused' | 'throttled'> {
  const state = deployments.get(deployment);
  return { paused: state?.paused != null, throttled: state?.throttledUntil != null };
}

export function deploymentStatus(deployment: string, { paused, throttledUntil }: DeploymentState): DeploymentStatus {
  return { deployment, paused, throttled_until: iso(throttledUntil) };
}

export function pauseStatus({ scope, actor, reason, at, until }: Pause): PauseStatus {
  return { ...scope, actor, reason, since: new Date(at).toISOString(), until: iso(until) };
}

function iso(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}
