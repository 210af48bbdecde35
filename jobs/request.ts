/** An on-demand request: fans out to the clients that it selects. */
import { DelayedError, type Job } from 'bullmq';
import { policyFor } from '../src/config.ts';
import { type ClientRef, splitReference } from '../src/core/client.ts';
import { isEligible } from '../src/core/due.ts';
import { backoffMs } from '../src/core/policy.ts';
import { hasCode, messageOf, RekeydError } from '../src/errors.ts';
import { inParallel } from '../src/parallel.ts';
import { systemClock } from '../src/time.ts';
import { ApiError } from '../src/wacht/api-error.ts';
import { clientPolicy } from '../src/world.ts';
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
  try {
    return await fanOut(asked, job.id ?? '', context);
  } catch (error) {
    if (hasCode(error, 'job_invalid')) throw error;
    const { attemptsStarted: tries } = job;
    const waitMs = waitAfter(error, tries);
    const why = messageOf(error);
    context.log.warn({ job: job.id, tries, wait_ms: waitMs, error: why }, 'a request waits: it is tried again');
    await job.updateProgress({ tries, why } satisfies PutOff);
    await job.moveToDelayed(systemClock.now() + waitMs, token);
    throw new DelayedError();
  }
}

function waitAfter(error: unknown, tries: number): number {
  if (error instanceof ApiError && error.reply.class === 'throttled') return error.reply.retryAfterMs;
  return backoffMs(tries, { policy: { backoff: BACKOFF }, random: Math.random() });
}

/** @param job the job's id: a retry of the same job asks for the same rotations */
async function fanOut(asked: Request, job: string, context: JobContext): Promise<RequestResult> {
  const { parts, queues } = context;
  const named = 'clients' in asked.select;
  const { targets, unread } = await selectClients(asked.select, context);
  const waiting: unknown[] = [];
  const rotations: { id: string; client: ClientRef }[] = [];
  const errors: { client: string; message: string }[] = [];
  const compromised =
    asked.compromised === false ? null : { kid: asked.compromised === true ? null : asked.compromised.kid };
  await inParallel(targets, FLEET_LANES, async ([ref, found]) => {
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
      rotations.push({ id, client: ref });
    } catch (error) {
      if (!hasCode(error, 'not_found')) throw error;
      if (failure !== undefined) waiting.push(failure);
      else errors.push({ client: ref, message: messageOf(error) });
    }
  });
  await parts.identity.remember();
  // The next try finds the rotations of this one, so that one answer names all of them.
  if (waiting.length > 0) throw waiting[0];
  rotations.sort((a, b) => (a.client < b.client ? -1 : 1));
  return errors.length === 0 ? { rotations } : { rotations, errors };
}

interface Selection {
  /** The selected clients as the server lists them now, null for those it does not list. */
  readonly targets: ReadonlyMap<ClientRef, Listed | null>;
  /** By `deployment/slug`: why the list of an app could not be read. After a compromise, what is known of a named client will do. */
  readonly unread: ReadonlyMap<string, unknown>;
}

/** Each app's list is read once. */
async function selectClients(select: Request['select'], context: JobContext): Promise<Selection> {
  const unread = new Map<string, unknown>();
  if ('clients' in select) {
    const named = new Set(select.clients.map(appOf));
    const listed = await listApps(context, (app) => named.has(app), unread);
    return { targets: new Map(select.clients.map((ref) => [ref, listed.get(ref) ?? null])), unread };
  }
  const { config } = context.parts;
  if ('policy' in select && config.policies[select.policy] === undefined) {
    throw new RekeydError(
      'job_invalid',
      `The config has no policy ${select.policy}. It has: ${Object.keys(config.policies).join(', ')}.`,
    );
  }
  const listed = await listApps(context, (app) => !('app' in select) || select.app === app, null);
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

/**
 * @param unread takes the failures, by app
 * @throws the first failure where `unread` is null
 */
async function listApps(
  context: JobContext,
  wanted: (place: string) => boolean,
  unread: Map<string, unknown> | null,
): Promise<Map<ClientRef, Listed>> {
  const listed = new Map<ClientRef, Listed>();
  for (const deployment of context.parts.config.deployments) {
    for (const app of deployment.apps) {
      const place = `${deployment.id}/${app.slug}`;
      if (!wanted(place)) continue;
      try {
        const { clients } = await readListing(context, deployment.id, app.slug);
        for (const [ref, found] of clients) listed.set(ref, found);
      } catch (error) {
        await noteApiFailure(context, deployment.id, error);
        if (unread === null) throw error;
        unread.set(place, error);
      }
    }
  }
  return listed;
}
