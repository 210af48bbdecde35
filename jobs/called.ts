/** The audit entry of a request that came over the HTTP API. */
import type { AuditDraft } from '../src/core/audit.ts';
import type { Store } from '../src/store/store.ts';
import type { Claim, Via } from './claim.ts';
import type { Request } from './schemas.ts';

export interface Called {
  readonly asked: Request;
  /** The id of its job. */
  readonly job: string;
  readonly claimedBy: string;
  readonly via: Via;
}

/**
 * Writes the entry of a call, once however often it is told. The API writes it before it adds the job: a request without an entry would be worse than an
 * entry without its request. The worker that takes the job writes it again before anything else: a power cut may have taken the entry away before the job
 * was added.
 */
export async function noteCall({ asked, job, claimedBy, via }: Called, store: Pick<Store, 'append'>): Promise<void> {
  const { actor, reason, select, compromised } = asked;
  const [kind = ''] = Object.keys(select);
  const data = { request: job, ...via, select: kind, compromised: compromised !== false };
  const who = { actor, claimed_by: claimedBy, reason };
  const draft: AuditDraft = { type: 'api.called', client: null, rotation: null, ...who, data };
  await store.append([draft], `api ${job}`);
}

/** Of the job that a worker has taken. */
export async function noteTaken(
  asked: Request,
  job: string,
  claim: Claim | null,
  store: Pick<Store, 'append'>,
): Promise<void> {
  if (claim?.via !== undefined) await noteCall({ asked, job, claimedBy: claim.claimedBy, via: claim.via }, store);
}
