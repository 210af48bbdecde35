/** An on-demand request: fans out to the clients that it selects. */
import { DelayedError, type Job } from 'bullmq';
import { policyFor } from '../src/config/model.ts';
import { type ClientRef, splitReference } from '../src/core/client.ts';
import { isEligible } from '../src/core/due.ts';
import { backoffMs } from '../src/core/policy.ts';
import { members } from '../src/core/reply.ts';
import { hasCode, messageOf, RekeydError } from '../src/errors.ts';
import { inParallel } from '../src/parallel.ts';
import { clientPolicy } from '../src/rotation/policy.ts';
import { systemClock } from '../src/time.ts';
import { ApiError } from '../src/wacht/api-error.ts';
import { FLEET_LANES, type JobContext, noteApiFailure } from './context.ts';
import { type Listed, readListing } from './listing.ts';
import type { PutOff } from './result.ts';
import { parseJob, type Request, requestSchema } from './schemas.ts';
import { rotationId, startRotation } from './start.ts';

export interface RequestResult {
  readonly rotations: readonly { readonly id: string; readonly client: ClientRef }[];
  /** Clients for which nothing was started, and why. Absent when there are none. */
  readonly errors?: readonly { readonly client: string; readonly message: string }[];
}

/** Between two tries, with full jitter. */
const BACKOFF = { baseMs: 500, maxMs: 30_000 };

/**
 * A request is somebody's word, and who gave it may not look after it: what may pass is waited out, however few attempts the producer allowed, until it
 * is answered.
 */
export async function requestJob(job: Job, token: string | undefined, context: JobContext): Promise<RequestResult> {
  const asked = parseJob(requestSchema, job.name, job.data);
  const { rotations: earlier = [] } = members(job.progress) as Partial<PutOff>; // only this function writes it
  const begun = new Map(earlier.map(({ id, client }) => [client, id]));
  try {
    return await fanOut(asked, job.id ?? '', begun, context);
  } catch (error) {
    if (hasCode(error, 'job_invalid')) throw error;
    const { attemptsStarted: tries } = job;
    const waitMs = waitAfter(error, tries);
    const why = messageOf(error);
    context.log.warn({ job: job.id, tries, wait_ms: waitMs, error: why }, 'a request waits: it is tried again');
    await job.updateProgress({ tries, why, rotations: listOf(begun) } satisfies PutOff);
    await job.moveToDelayed(systemClock.now() + waitMs, token);
    throw new DelayedError();
  }
}

function waitAfter(error: unknown, tries: number): number {
  if (error instanceof ApiError && error.reply.class === 'throttled') return error.reply.retryAfterMs;
  return backoffMs(tries, { policy: { backoff: BACKOFF }, random: Math.random() });
}

function listOf(begun: ReadonlyMap<ClientRef, string>): RequestResult['rotations'] {
  const rotations = [...begun].map(([client, id]) => ({ id, client }));
  return rotations.sort((a, b) => (a.client < b.client ? -1 : 1));
}

/**
 * @param job the job's id: a retry of the same job asks for the same rotations
 * @param begun takes what was begun, or joined, by client; what an earlier try put there is not asked for again
 */
async function fanOut(
  asked: Request,
  job: string,
  begun: Map<ClientRef, string>,
  context: JobContext,
): Promise<RequestResult> {
  const { parts, queues } = context;
  const named = 'clients' in asked.select;
  const { targets, unread } = await selectClients(asked.select, context);
  const waiting: unknown[] = [];
  const errors: { client: string; message: string }[] = [];
  const compromised =
    asked.compromised === false ? null : { kid: asked.compromised === true ? null : asked.compromised.kid };
  await inParallel(targets, FLEET_LANES, async ([ref, found]) => {
    if (begun.has(ref)) return;
    const policy = clientPolicy(parts, ref);
    if (policy === null) {
      errors.push({
        client: ref,
        message: `The config has no policy for ${ref}. Add its app (and the client, unless clients: all).`,
      });
      return;
    }
    const failure = unread.get(appOf(ref));
    // Begun in the middle of an outage, a rotation uses its attempts up and fails; after a compromise it goes on.
    if (failure !== undefined && compromised === null) {
      waiting.push(failure);
      return;
    }
    // Somebody who names a client gets the server's own answer; a whole app leaves out what keys cannot be rotated for.
    if (!named && (found === null || !isEligible(found.client))) return;
    try {
      const cause = { actor: asked.actor, reason: asked.reason, request: job, compromised };
      const id = await startRotation(parts.store, ref, found, policy, { ...cause, id: rotationId(job, ref) });
      await queues.wake(ref, id, compromised !== null);
      begun.set(ref, id);
    } catch (error) {
      if (!hasCode(error, 'not_found')) throw error;
      if (failure !== undefined) waiting.push(failure);
      else errors.push({ client: ref, message: messageOf(error) });
    }
  });
  // Whose clients are not even known.
  if (!named) waiting.push(...unread.values());
  await parts.identity.remember();
  if (waiting.length > 0) throw waiting[0];
  const rotations = listOf(begun);
  return errors.length === 0 ? { rotations } : { rotations, errors };
}

interface Selection {
  /** The selected clients as the server lists them now, null for those it does not list. */
  readonly targets: ReadonlyMap<ClientRef, Listed | null>;
  /**
   * By `deployment/slug`: why the list of an app could not be read. The others need not wait for it, and after a compromise what is known of a named
   * client will do.
   */
  readonly unread: ReadonlyMap<string, unknown>;
}

/** Each app's list is read once. */
async function selectClients(select: Request['select'], context: JobContext): Promise<Selection> {
  if ('clients' in select) {
    const named = new Set(select.clients.map(appOf));
    const { listed, unread } = await listApps(context, (app) => named.has(app));
    return { targets: new Map(select.clients.map((ref) => [ref, listed.get(ref) ?? null])), unread };
  }
  const { config } = context.parts;
  if ('policy' in select && config.policies[select.policy] === undefined) {
    throw new RekeydError(
      'job_invalid',
      `The config has no policy ${select.policy}. It has: ${Object.keys(config.policies).join(', ')}.`,
    );
  }
  const { listed, unread } = await listApps(context, (app) => !('app' in select) || select.app === app);
  if ('app' in select && !knowsApp(context, select.app)) {
    throw new RekeydError(
      'job_invalid',
      `The config has no app ${select.app}. Write deployment/app-slug as they stand in the config.`,
    );
  }
  if (!('policy' in select)) return { targets: listed, unread };
  return { targets: new Map([...listed].filter(([ref]) => policyFor(config, ref)?.name === select.policy)), unread };
}

function appOf(ref: ClientRef): string {
  const { deployment, app } = splitReference(ref);
  return `${deployment}/${app}`;
}

function knowsApp({ parts }: JobContext, place: string): boolean {
  return parts.config.deployments.some(({ id, apps }) => apps.some(({ slug }) => `${id}/${slug}` === place));
}

async function listApps(
  context: JobContext,
  wanted: (place: string) => boolean,
): Promise<{ listed: Map<ClientRef, Listed>; unread: Map<string, unknown> }> {
  const listed = new Map<ClientRef, Listed>();
  const unread = new Map<string, unknown>();
  for (const deployment of context.parts.config.deployments) {
    for (const app of deployment.apps) {
      const place = `${deployment.id}/${app.slug}`;
      if (!wanted(place)) continue;
      try {
        const { clients } = await readListing(context, deployment.id, app.slug);
        for (const [ref, found] of clients) listed.set(ref, found);
      } catch (error) {
        await noteApiFailure(context, deployment.id, error);
        unread.set(place, error);
      }
    }
  }
  return { listed, unread };
}
