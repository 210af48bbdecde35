/** The calls that one run makes to the API of its client's deployment, each within the budget of that deployment. */
import type { ClientRef } from '../core/client.ts';
import type { Turn } from '../store/deployments.ts';
import { ApiError } from '../wacht/api-error.ts';
import type { Look } from '../wacht/looks.ts';
import { noteAccepted, noteAnswer, throttledMs } from './deployment.ts';
import type { DeploymentResources, Resources } from './resources.ts';
import type { Effects } from './run.ts';

export interface ApiCalls extends Pick<Effects, 'patchDeadlineMs' | 'look' | 'lookAgain' | 'patch'> {
  /** Asks the budget for one call. */
  readonly turn: (urgent: boolean) => Promise<Turn>;
}

/** Beyond the API's own deadline: time for the intent to reach the disk. */
const INTENT_SLACK_MS = 2_000;

export function apiCalls(ref: ClientRef, deployment: DeploymentResources, resources: Resources): ApiCalls {
  const { id, rateLimit, timeoutMs } = deployment.config;
  /** When the next call succeeds, a pause or a row of refusals is over: that is noted. */
  let isWatched = false;
  /** A try is a PATCH, with the look that comes before it. */
  let isOnTry = false;
  /** After a look its PATCH goes at once: if it waited for a turn of its own, the look would be too old by then. */
  let hasLooked = false;

  async function turn(urgent: boolean): Promise<Turn> {
    if (hasLooked) {
      await deployment.countCall();
      return { go: true, isWatched, isTry: isOnTry };
    }
    if (isOnTry) return { go: true, isWatched, isTry: true };
    const answer = await resources.store.take(id, rateLimit, urgent);
    if (answer.go) ({ isWatched, isTry: isOnTry } = answer);
    return answer;
  }

  async function look(urgent: boolean, signal: AbortSignal): Promise<Look> {
    try {
      const seen = await deployment.looks.look(ref, urgent, signal);
      hasLooked = true;
      return seen;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      const { reply } = error;
      await noteAnswer(resources, deployment, ref, reply);
      if (reply.class !== 'throttled') throw error;
      throw new ApiError(`Looking at ${ref}`, { ...reply, retryAfterMs: throttledMs(deployment, reply.retryAfterMs) });
    }
  }

  return {
    turn,
    look,
    async lookAgain(urgent, signal) {
      await deployment.countCall();
      return look(urgent, signal);
    },
    patchDeadlineMs: timeoutMs + INTENT_SLACK_MS,
    async patch(body, signal) {
      [isOnTry, hasLooked] = [false, false];
      const outcome = await deployment.wacht.patchClient(ref, body, signal);
      if (outcome.class !== 'done') await noteAnswer(resources, deployment, ref, outcome);
      else if (isWatched) await noteAccepted(resources, id);
      if (outcome.class !== 'throttled') return outcome;
      return { ...outcome, retryAfterMs: throttledMs(deployment, outcome.retryAfterMs) };
    },
  };
}
