/**
 * Who was authenticated when a request was made. The command line and the HTTP API sign it with a KEK: a producer that can only write to the queue can say
 * what it likes as `actor`, and cannot say this.
 */
import { hash } from 'node:crypto';
import type { Job } from 'bullmq';
import { canonicalJson } from '../src/core/json.ts';
import { hasCode, RekeydError } from '../src/errors.ts';
import type { Kek } from '../src/keys/kek.ts';
import { signDocument, verifyDocument } from '../src/keys/signed.ts';
import type { Store } from '../src/store/store.ts';
import { REQUESTS } from './inboxes.ts';
import { type Request, type RequestInput, requestSchema } from './schemas.ts';

export interface Claim {
  /** Such as `os:alice`, `token:siem` or `producer:scanner`. */
  readonly claimedBy: string;
  /** When it was made, on the store's clock: ms since the Unix epoch. */
  readonly at: number;
  /** With a KEK. A producer is known by its queue alone: it does not count as a person, neither as the one who asks nor as one who approves. */
  readonly isSigned: boolean;
  /** Absent: it did not come over the HTTP API. */
  readonly call?: ApiCall;
}

/** The call of the HTTP API that a request came by. */
export interface ApiCall {
  readonly route: string;
  /** Of the caller, or of the proxy before it. */
  readonly address: string;
  /** Absent: it came without an Idempotency-Key. */
  readonly once?: OnceKey;
}

/** An Idempotency-Key and what it stands for, as hashes. */
export interface OnceKey {
  readonly name: string;
  readonly body: string;
}

export interface Signing {
  readonly store: Pick<Store, 'id' | 'now'>;
  readonly keks: readonly Kek[];
}

const PURPOSE = 'claims of requests';

interface Document extends Omit<Claim, 'isSigned'> {
  /** A claim of another store, or about another request, is none. */
  readonly store: string;
  readonly request: string;
  /** Nor is that of another job: a request that somebody copies and adds again is not that person's. */
  readonly job: string;
}

/** The same text for the same request, however its members are ordered. */
export function digestOf({ claim: _, ...asked }: Request): string {
  return hash('sha256', canonicalJson(asked), 'base64url');
}

/** The request with its claim, as it goes into the queue as this job. */
export async function claimed(
  request: RequestInput,
  job: string,
  claimedBy: string,
  { store, keks }: Signing,
  call?: ApiCall,
): Promise<RequestInput> {
  const asked = digestOf(requestSchema.parse(request));
  const claim: Document = {
    claimedBy,
    at: await store.now(),
    store: store.id,
    request: asked,
    job,
    ...(call && { call }),
  };
  return { ...request, claim: await signDocument(JSON.stringify(claim), PURPOSE, keks) };
}

/** Null: nobody was authenticated. @throws RekeydError `job_invalid` for a claim that somebody else made, or that belongs to another request; `kms_unavailable` */
export async function claimOf(
  asked: Request,
  { queueName, id }: Pick<Job, 'queueName' | 'id'>,
  { store, keks }: Signing,
): Promise<Claim | null> {
  if (asked.claim === undefined) return null;
  const text = await verifyDocument(asked.claim, PURPOSE, keks).catch((error: unknown) => {
    if (hasCode(error, 'kms_unavailable')) throw error;
    throw new RekeydError('job_invalid', `Nobody knows who made this request: ${FORGED}`, { cause: error });
  });
  const { claimedBy, at, call, ...about }: Document = JSON.parse(text); // only `claimed` signs one
  const isAbout = about.store === store.id && about.request === digestOf(asked);
  if (isAbout && queueName === REQUESTS && about.job === id)
    return { claimedBy, at, isSigned: true, ...(call && { call }) };
  throw new RekeydError('job_invalid', `Nobody knows who made this request: ${FORGED}`);
}

const FORGED =
  'its claim was not made for it with a KEK of this config. Leave `claim` out, or ask with `rekeyd rotate`. It is not tried again.';
