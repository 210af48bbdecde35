/** Holds back a compromise of much of a fleet until somebody confirms it, so that neither a mistake nor a flood of reports replaces every key. */
import type { Config } from '../src/config/model.ts';
import type { AuditData, AuditDraft, AuditType } from '../src/core/audit.ts';
import type { ClientRef } from '../src/core/client.ts';
import { RekeydError } from '../src/errors.ts';
import type { Store } from '../src/store/store.ts';
import { approvalOf } from './approval.ts';
import type { Asking } from './begin-asked.ts';
import type { Request } from './schemas.ts';
import { isNamed } from './selection.ts';

/** Reports within this time, in ms, count together: many small ones are as much as a large one. */
const TOGETHER_MS = 3_600_000;

/** In that time this many clients may be reported, however small the fleet is. */
const LEAST_TOGETHER = 20;

/** Clients that a compromise could be about. @param isEveryone found clients are rotated too */
export async function fleetSize(isEveryone: boolean, store: Pick<Store, 'enrolmentCounts'>): Promise<number> {
  const { clients: known, found } = await store.enrolmentCounts();
  return isEveryone ? known : known - found;
}

/** Those that it would rotate. */
async function rotatedOf(
  refs: readonly ClientRef[],
  isEveryone: boolean,
  store: Pick<Store, 'foundAmong'>,
): Promise<readonly ClientRef[]> {
  const alone = new Set(isEveryone ? [] : await store.foundAmong(refs));
  return refs.filter((ref) => !alone.has(ref));
}

/** One client is never too much. @param breaker a part of 1 */
export function isOver(
  { clients, fleet }: { readonly clients: number; readonly fleet: number },
  breaker: number,
): boolean {
  return clients > 1 && clients > breaker * fleet;
}

export interface CompromiseSize {
  /** The clients that it would rotate. */
  readonly rotated: readonly ClientRef[];
  /** How many clients a compromise could rotate at the most. */
  readonly fleet: number;
  /** More than the breaker allows at once. */
  readonly isMuch: boolean;
  /** How many clients may be reported within an hour without a confirmation. */
  readonly most: number;
}

/** The numbers that the breaker compares. @param refs the clients that the request is about */
export async function compromiseSize(
  asked: Pick<Request, 'select' | 'take_over'>,
  refs: readonly ClientRef[],
  {
    store,
    config,
  }: { readonly store: Pick<Store, 'enrolmentCounts' | 'foundAmong'>; readonly config: Pick<Config, 'breaker'> },
): Promise<CompromiseSize> {
  const isEveryone = isNamed(asked.select) || asked.take_over;
  const rotated = await rotatedOf(refs, isEveryone, store);
  const clients = rotated.length;
  const fleet = Math.max(await fleetSize(isEveryone, store), clients);
  const most = Math.max(LEAST_TOGETHER, config.breaker * fleet);
  return { rotated, fleet, isMuch: isOver({ clients, fleet }, config.breaker), most };
}

/** @returns how many clients the breaker counts: these and those of the last hour, at the most. A client that was reported before counts twice. */
export async function reportedWith(clients: number, store: Pick<Store, 'now' | 'reportedSince'>): Promise<number> {
  return clients + (await store.reportedSince((await store.now()) - TOGETHER_MS));
}

/**
 * @throws RekeydError `breaker` when it takes a confirmation that the request does not have; `not_approved` while it waits for another person
 */
export async function passBreaker(asking: Asking, refs: readonly ClientRef[]): Promise<void> {
  const { asked, job, tally, context } = asking;
  const { store, config } = context.resources;
  const { breaker } = config;
  const { rotated, fleet, isMuch, most } = await compromiseSize(asked, refs, { store, config });
  const clients = rotated.length;
  // Without the size of the fleet: a caller who is restricted to some clients reads this, too.
  const size = `${clients} clients`;
  const together = isMuch ? 0 : await store.noteReported(rotated, { ms: TOGETHER_MS, most });
  if (!isMuch && together <= most) return;
  if (!asked.confirm) {
    const left = tally.begun.size;
    const begun = left === 0 ? 'Nothing was started.' : `The ${left} that were known are replaced, the others are not.`;
    const what = isMuch ? `It is about ${size}` : `${together} clients were reported within an hour`;
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
