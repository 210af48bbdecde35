import { DEPLOYMENT, type Fleet } from './fleet.ts';

/** Why the deployment is paused; null when it is not. */
export async function whyPaused({ resources }: Fleet, deployment = DEPLOYMENT): Promise<string | null> {
  const states = await resources.store.deploymentStates([deployment]);
  return states.get(deployment)?.paused ?? null;
}
