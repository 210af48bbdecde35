/** Holds back a compromise of much of a fleet until somebody confirms it: by mistake, or by a flood of reports, nobody replaces every key. */
import type { AuditData, AuditDraft, AuditType } from '../src/core/audit.ts';
import type { ClientRef } from '../src/core/client.ts';
import { RekeydError } from '../src/errors.ts';
import type { Store } from '../src/store/store.ts';
import { approvalOf } from './approval.ts';
import type { Asking } from './begin-asked.ts';
import { isNamed } from './selection.ts';

/** Reports of the last hour count together: many small ones come to the same as a large one. In ms. */
const TOGETHER_MS = 3_600_000;

/** So many clients may be reported in an hour however small the fleet is. */
const LEAST_TOGETHER = 20;

/** How much of a fleet a compromise is about. */
export interface Share {
  /** Clients that it would rotate. */
  readonly clients: number;
  /** Clients that it could be about. */
  readonly fleet: number;
}

/** @param isEveryone found clients are rotated too */
export async function shareOf(
  refs: readonly ClientRef[],
  isEveryone: boolean,
  store: Pick<Store, 'foundAmong' | 'enrolmentCounts'>,
): Promise<Share> {
  const { clients: known, found } = await store.enrolmentCounts();
  const alone = isEveryone ? 0 : (await store.foundAmong(refs)).length;
  const clients = refs.length - alone;
  return { clients, fleet: Math.max(isEveryone ? known : known - found, clients) };
}

/** One client is never too much. @param breaker a part of 1 */
export function isOver({ clients, fleet }: Share, breaker: number): boolean {
  return clients > 1 && clients > breaker * fleet;
}

/**
 * @throws RekeydError `breaker` when it takes a confirmation that the request does not have; `not_approved` while it waits for another person
 */
export async function passBreaker(asking: Asking, refs: readonly ClientRef[]): Promise<void> {
  const { asked, job, tally, context } = asking;
  const { store, config } = context.resources;
  const { breaker } = config;
  const share = await shareOf(refs, isNamed(asked.select) || asked.take_over, store);
  const { clients, fleet } = share;
  const before = await store.reported(TOGETHER_MS);
  const together = new Set([...before, ...refs]).size;
  const isFlood = together > clients && together > Math.max(LEAST_TOGETHER, breaker * fleet);
  const size = `${clients} of ${fleet} clients`;
  if (!isOver(share, breaker) && !isFlood) return store.noteReported(refs, TOGETHER_MS);
  if (!asked.confirm) {
    const left = tally.begun.size;
    const begun = left === 0 ? 'Nothing was started.' : `The ${left} that were known are replaced, the others are not.`;
    const what = isFlood ? `${together} clients were reported within an hour` : `It is about ${size}`;
    const why = `${what}, and more than ${percent(breaker)} of the fleet need a confirmation (breaker in the config). ${begun} Look with \`rekeyd plan --compromised\`, then ask again with --yes (HTTP and queue: "confirm": true).`;
    await tell(asking, 'rotation.refused', 'refused', { code: 'breaker', clients, fleet, error: why });
    throw new RekeydError('breaker', why);
  }
  const approved = await approvalOf(asking, size);
  const data = { clients, fleet, confirmed: true, ...(approved.length > 0 && { approved_by: approved }) };
  await tell(asking, 'rotation.requested', 'confirmed', data);
  context.log.warn({ request: job, ...data }, 'a compromise of much of the fleet was confirmed');
}

/** Once for each request, however often its job is tried. */
async function tell(asking: Asking, type: AuditType, what: string, data: AuditData): Promise<void> {
  const { job, context } = asking;
  await context.resources.store.append([entryOf(asking, type, data)], `${what} request ${job}`);
}

export function entryOf(
  { asked, job, claim }: Pick<Asking, 'asked' | 'job' | 'claim'>,
  type: AuditType,
  data: AuditData,
): AuditDraft {
  const { actor, reason } = asked;
  const who = { actor, ...(claim !== null && { claimed_by: claim.claimedBy }), reason };
  return { type, client: null, rotation: null, ...who, data: { request: job, ...data } };
}

function percent(part: number): string {
  return `${Number((part * 100).toPrecision(3))} %`;
}
