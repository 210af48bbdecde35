/**
 * The second person for a compromise of more clients than the breaker allows. Who that is comes from an authentication (a user of the operating system, a
 * token), and is signed with a KEK: neither the free text `actor` nor a program that can only write to Redis counts as a person.
 */
import type { Job } from 'bullmq';
import type { Cause } from '../src/core/history.ts';
import { members } from '../src/core/reply.ts';
import { hasCode, RekeydError } from '../src/errors.ts';
import { signDocument, verifyDocument } from '../src/keys/signed.ts';
import type { Store } from '../src/store/store.ts';
import { sleep } from '../src/time.ts';
import type { Asking } from './begin-asked.ts';
import { claimOf, digestOf, type Signing } from './claim.ts';
import { producerClaim } from './producers.ts';
import type { Queues } from './queues.ts';
import type { PutOff } from './result.ts';
import { parseJob, type Request, requestSchema } from './schemas.ts';
import { findRequest } from './waiting.ts';

const PURPOSE = 'approvals of requests';

/** How long a request waits for a second person, in ms, from when a worker first took it up. */
export const APPROVAL_MS = 24 * 3_600_000;

interface Approval {
  readonly store: string;
  /** The id of its job, and what it asked for: an id may come a second time in a queue that was emptied. */
  readonly job: string;
  readonly request: string;
  readonly claimedBy: string;
}

/** @returns who approved it, without the one who asked @throws RekeydError `not_approved` */
export async function approvalOf({ asked, job, claim, context }: Asking, size: string): Promise<readonly string[]> {
  const { store, config } = context.resources;
  const needed = config.approval?.compromiseAll ?? 1;
  if (needed < 2) return [];
  const approved = await approvers(asked, job, { store, keks: context.keks });
  const own = claim?.isSigned === true ? [claim.claimedBy] : [];
  const people = new Set([...own, ...approved]);
  if (people.size >= needed) return approved.filter((one) => !own.includes(one));
  const left = needed - people.size;
  const so = people.size === 0 ? '' : `, other than ${[...people].join(', ')}`;
  throw new RekeydError(
    'not_approved',
    `It is about ${size} and waits for ${left === 1 ? 'one more person' : `${left} more people`}${so}: \`rekeyd approve ${job}\`.`,
  );
}

async function approvers(
  asked: Request,
  job: string,
  { store, keks }: Signing & { readonly store: Pick<Store, 'approvals'> },
): Promise<readonly string[]> {
  const digest = digestOf(asked);
  const found = new Set<string>();
  for (const signed of await store.approvals(job)) {
    // An approval with a wrong signature does not count.
    const text = await verifyDocument(signed, PURPOSE, keks).catch((error: unknown) => {
      if (hasCode(error, 'key_tampered') || hasCode(error, 'kek_missing')) return null;
      throw error;
    });
    if (text === null) continue;
    const approval: Approval = JSON.parse(text); // only `approve` signs one
    const isAbout = approval.store === store.id && approval.job === job && approval.request === digest;
    if (isAbout) found.add(approval.claimedBy);
  }
  return [...found].sort();
}

export interface Approver extends Omit<Cause, 'request'> {
  readonly claimedBy: string;
}

/**
 * Notes that somebody approves a request, on disk, and has it looked at again. The worker decides whether it takes more.
 * @returns what was approved, and who asked for it
 * @throws RekeydError `not_found` when no such request waits; `usage` for the one who asked; `not_approved` when it has waited too long
 */
export async function approve(
  job: string,
  by: Approver,
  { queues, store, keks }: { readonly queues: Pick<Queues, 'inboxes'>; readonly store: Store } & Pick<Signing, 'keks'>,
): Promise<{ readonly asked: Request; readonly claimedBy: string | null }> {
  const found = await findRequest(queues, job);
  if (found === undefined || found.name !== 'request') {
    throw new RekeydError('not_found', `No request ${job} waits. \`rekeyd status\` lists those that do.`);
  }
  if (found.finishedOn !== undefined) throw new RekeydError('not_found', hasEnded(job, found));
  const { since } = members(found.progress) as Partial<PutOff>; // absent until it is put off
  if (since !== undefined && (await store.now()) - since > APPROVAL_MS) {
    await wake(found);
    throw new RekeydError('not_approved', `Request ${job} has waited for more than 24 h: ${TOO_LATE}`);
  }
  const asked = parseJob(requestSchema, found.name, found.data);
  const claim = (await claimOf(asked, found, { store, keks })) ?? producerClaim(found);
  if (claim?.claimedBy === by.claimedBy) {
    throw new RekeydError('usage', `${by.claimedBy} asked for request ${job}: somebody else has to approve it.`);
  }
  const approval: Approval = { store: store.id, job, request: digestOf(asked), claimedBy: by.claimedBy };
  const { actor, reason, claimedBy } = by;
  const about = { request: job, asked_by: asked.actor, asked_claimed_by: claim?.claimedBy ?? null };
  const data = { ...about, select: JSON.stringify(asked.select).slice(0, 500) };
  const who = { actor, claimed_by: claimedBy, reason };
  const draft = { type: 'rotation.approved', client: null, rotation: null, ...who, data } as const;
  await store.approve(job, await signDocument(JSON.stringify(approval), PURPOSE, keks), [draft]);
  await wake(found);
  return { asked, claimedBy: claim?.claimedBy ?? null };
}

const TOO_LATE = 'it can no longer be approved. Ask for it again, and have that request approved.';

function hasEnded(name: string, { failedReason }: Job): string {
  return `Request ${name} does not wait any more: ${failedReason ? `it failed. ${failedReason}` : 'it was started.'}`;
}

/** How often, and how far apart in ms, {@link wake} tries to promote a job. A worker that has it for longer looks for approvals again some minutes later. */
const LOOKS = 100;
const LOOK_MS = 50;

/** `delayed`: it was put off since it was to be promoted. */
const UNDER_WAY: readonly string[] = ['active', 'delayed'];

async function wake(job: Job): Promise<void> {
  for (let look = 1; look <= LOOKS; look += 1) {
    const isAwake = await job.promote().then(
      () => true,
      () => false,
    );
    // A worker that has it may have looked for approvals before this one came, and is about to put it off.
    if (isAwake || !UNDER_WAY.includes(await job.getState())) return;
    await sleep(LOOK_MS);
  }
}
