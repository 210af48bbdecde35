/** What a worker does before it answers a request that came over the HTTP API: a power cut may have undone what the API wrote before it added the job. */
import type { AuditDraft } from '../src/core/audit.ts';
import type { Store } from '../src/store/store.ts';
import type { ApiCall } from './claim.ts';
import type { Request } from './schemas.ts';

export interface Called {
  readonly asked: Request;
  /** The id of its job. */
  readonly job: string;
  readonly claimedBy: string;
  readonly call: ApiCall;
}

/**
 * Writes the entry of a call, once however often it is told. The API writes it before it adds the job, because a request without an entry would be worse
 * than an entry without its request; the worker writes it again before anything else.
 */
export async function noteCall({ asked, job, claimedBy, call }: Called, store: Pick<Store, 'append'>): Promise<void> {
  const { actor, reason, select, compromised } = asked;
  const { route, address } = call;
  const [kind = ''] = Object.keys(select);
  const data = { request: job, route, address, select: kind, compromised: compromised !== false };
  const who = { actor, claimed_by: claimedBy, reason };
  const draft: AuditDraft = { type: 'api.called', client: null, rotation: null, ...who, data };
  await store.append([draft], `api ${job}`);
}

/**
 * The request for which the Idempotency-Key of this one stands by now; null: for this one, or there is no key. The same call, repeated after a power cut that
 * took the key away, is another request: the first of the two that a worker takes answers both.
 */
export async function otherOfKey(
  job: string,
  { once }: ApiCall,
  store: Pick<Store, 'takeKey'>,
): Promise<string | null> {
  if (once === undefined) return null;
  const { request } = await store.takeKey(once.name, { body: once.body, request: job });
  return request === job ? null : request;
}
