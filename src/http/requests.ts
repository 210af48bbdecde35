/** Requests as a caller may see them, and their approval, for the API and for the page. */
import { approve } from '../../jobs/approval.ts';
import type { Queues } from '../../jobs/queues.ts';
import { type RequestState, requestState } from '../../jobs/result.ts';
import { type Request, requestSchema } from '../../jobs/schemas.ts';
import { hasCode, messageOf } from '../errors.ts';
import { keksOf } from '../rotation/policy.ts';
import { maySelect, type Principal } from './principal.ts';
import { ProblemError } from './problem.ts';
import type { ApiContext } from './route.ts';

/**
 * Why a request waits or failed may name clients. So only a caller who may select all of its clients is told.
 * @throws ProblemError 404
 */
export async function requestFor(
  queues: Queues,
  principal: Principal,
  id: string,
): Promise<Exclude<RequestState, { is: 'unknown' }>> {
  const state: RequestState = await requestState(queues, id);
  // A request that cannot be read is taken to select all clients.
  const select = principal.only === null ? null : ((await requestOf(queues, id))?.select ?? { all: true as const });
  const isTold = select === null || maySelect(principal, select);
  if (state.is === 'unknown' || (state.is === 'failed' && !isTold)) {
    throw new ProblemError(404, `The request ${id} is not known here, or not any more.`);
  }
  return state.is === 'waiting' && !isTold ? { ...state, why: '' } : state;
}

/** Null: there is none, or it cannot be read. */
export async function requestOf({ requests }: Pick<Queues, 'requests'>, id: string): Promise<Request | null> {
  const job = await requests.getJob(id);
  return requestSchema.safeParse(job?.data).data ?? null;
}

export interface Approving {
  readonly route: string;
  readonly address: string;
  readonly reason: string;
}

/** @throws ProblemError 403, 404, 409 */
export async function approveFor(
  { resources, queues }: Pick<ApiContext, 'resources' | 'queues'>,
  { claimedBy, only }: Principal,
  request: string,
  { route, address, reason }: Approving,
) {
  if (only !== null) throw new ProblemError(403, `${claimedBy} is for ${only} alone: it approves nothing.`);
  const { store } = resources;
  const by = { actor: claimedBy, claimedBy, reason };
  try {
    const approved = await approve(request, by, { queues, store, keks: keksOf(resources.config) });
    const who = { actor: claimedBy, claimed_by: claimedBy, reason };
    const data = { request, route, address };
    await store.append([{ type: 'api.called', client: null, rotation: null, ...who, data }]);
    return approved;
  } catch (error) {
    if (hasCode(error, 'not_found')) throw new ProblemError(404, messageOf(error));
    if (hasCode(error, 'usage') || hasCode(error, 'not_approved')) throw new ProblemError(409, messageOf(error));
    throw error;
  }
}
