/** Begins a rotation for each client that a request selects. */
import { policyFor } from '../src/config/model.ts';
import { type ClientRef, misnamed, splitReference } from '../src/core/client.ts';
import { isEligible } from '../src/core/due.ts';
import { hasCode, type RekeydError } from '../src/errors.ts';
import { inParallel } from '../src/parallel.ts';
import { appOf } from '../src/rotation/facts.ts';
import { clientPolicy } from '../src/rotation/policy.ts';
import type { Loaded } from '../src/store/records.ts';
import { FLEET_LANES, type JobContext } from './context.ts';
import type { Listed } from './listing.ts';
import { askForProbe, awaitsProbe } from './probing.ts';
import type { NotEnrolled, RequestResult } from './request.ts';
import type { Request } from './schemas.ts';
import { type Apps, isNamed, knownRefs, noteUnread, type Read, readApps, selectedApps } from './selection.ts';
import { rotationId, startRotation, takeFound } from './start.ts';

/** What a request has come to so far. */
interface Tally {
  /** By client: what was begun, or joined. What an earlier try put there is not asked for again. */
  readonly begun: Map<ClientRef, string>;
  /** By client, since both rounds may come to the same. */
  readonly errors: Map<string, string>;
  readonly skipped: Map<ClientRef, NotEnrolled['enrolment']>;
  readonly takenOver: NotEnrolled[];
  /** What has to be waited for. */
  readonly waiting: unknown[];
}

/**
 * Clients that the store knows are begun with first, and after a compromise without asking the API anything: the rotation itself looks at the server
 * before it writes.
 *
 * @param job the job's id: a retry of the same job asks for the same rotations
 * @param soFar what earlier tries of the job came to
 * @throws when something has to be waited for; what was begun by then is in `soFar`
 */
export async function fanOut(
  asked: Request,
  job: string,
  soFar: Pick<Tally, 'begun' | 'takenOver'>,
  context: JobContext,
): Promise<RequestResult> {
  const apps = selectedApps(asked.select, context);
  const tally: Tally = { ...soFar, errors: new Map(), skipped: new Map(), waiting: [] };
  const compromised = exposure(asked);
  const known = await knownRefs(asked.select, apps, context);
  const concerned = isNamed(asked.select) ? appsOf(known, apps) : apps;
  await context.resources.facts.refresh(concerned.map(({ deployment, app }) => `${deployment}/${app}`));
  const unread = compromised === null ? await silent(concerned, context) : new Map<string, unknown>();
  const left = await beginAll(
    known.map((ref) => [ref, null]),
    asked,
    job,
    unread,
    tally,
    context,
  );
  if (!isNamed(asked.select) || left.length > 0) {
    const wanted = isNamed(asked.select) ? appsOf(left, apps) : apps;
    const read = await readApps(wanted, context, { urgent: compromised !== null });
    await beginListed(left, read, asked, job, tally, context);
  }
  await context.resources.guard.remember();
  if (tally.waiting.length > 0) throw tally.waiting[0];
  return resultOf(tally);
}

function exposure({ compromised }: Request): { readonly kid: string | null } | null {
  if (compromised === false) return null;
  return { kid: compromised === true ? null : compromised.kid };
}

function appsOf(refs: readonly ClientRef[], apps: Apps): Apps {
  const wanted = new Set(refs.map(placeOf));
  return apps.filter(({ deployment, app }) => wanted.has(`${deployment}/${app}`));
}

function placeOf(ref: ClientRef): string {
  const { deployment, app } = splitReference(ref);
  return `${deployment}/${app}`;
}

/** Deployments whose API does not answer, and why. Begun in the middle of an outage, an ordinary rotation uses its attempts up and fails. */
async function silent(apps: Apps, context: JobContext): Promise<ReadonlyMap<string, unknown>> {
  const { resources } = context;
  const failures = new Map<string, unknown>();
  const deployments = new Set(apps.map(({ deployment }) => deployment));
  await Promise.all(
    [...deployments].map(async (id) => {
      try {
        await resources.deployments.get(id)?.reachable();
      } catch (error) {
        await noteUnread(id, error, context);
        failures.set(id, error);
      }
    }),
  );
  return failures;
}

/** @returns the clients, or reported keys, that the store does not know */
async function beginAll(
  targets: readonly (readonly [ClientRef, Listed | null])[],
  asked: Request,
  job: string,
  unread: ReadonlyMap<string, unknown>,
  tally: Tally,
  context: JobContext,
): Promise<readonly ClientRef[]> {
  const unknown: ClientRef[] = [];
  await inParallel(targets, FLEET_LANES, async ([ref, listed]) => {
    if (tally.begun.has(ref)) return;
    const failure = unread.get(splitReference(ref).deployment);
    if (failure !== undefined) tally.waiting.push(failure);
    else if (!(await begin(ref, listed, asked, job, tally, context))) unknown.push(ref);
  });
  return unknown;
}

/** False when the store knows neither the client nor the key, and nothing was listed. */
async function begin(
  ref: ClientRef,
  listed: Listed | null,
  asked: Request,
  job: string,
  tally: Tally,
  context: JobContext,
): Promise<boolean> {
  const { resources, queues } = context;
  const { store } = resources;
  const policy = clientPolicy(resources, ref);
  if (policy === null) {
    const message = `The config has no policy for ${ref}. Add its app (and the client, unless clients: all).`;
    tally.errors.set(ref, message);
    return true;
  }
  const compromised = exposure(asked);
  const id = rotationId(store, job, ref);
  const { actor, reason, take_over: takeOver, try_alg: tryAlg } = asked;
  try {
    const held = await store.load(ref);
    if (!isNamed(asked.select) && !takeOver && isSkipped(held, compromised !== null, tally)) return true;
    const isRotated = takeOver || policy.adopt === 'overlap' || held?.record.enrolment === 'enrolled';
    if (compromised === null && awaitsProbe(policy) && isRotated) {
      tally.waiting.push(await askForProbe(appOf(ref), context));
      return true;
    }
    const before = takeOver || compromised !== null ? (held?.record.enrolment ?? 'found') : 'enrolled';
    const request = { id, actor, reason, request: job, compromised, takeOver, tryAlg };
    const { rotation } = await startRotation(store, ref, listed, policy, request, held);
    await queues.wake(ref, compromised !== null);
    tally.begun.set(ref, rotation);
    if (before !== 'enrolled') tally.takenOver.push({ client: ref, enrolment: before });
    return true;
  } catch (error) {
    // What the record says may be old.
    if ((hasCode(error, 'not_found') || hasCode(error, 'not_eligible')) && listed === null) return false;
    if (!isRefusal(error)) throw error;
    tally.errors.set(ref, error.message);
    const data = { request: job, code: error.code, error: error.message };
    const draft = { type: 'rotation.refused', client: ref, rotation: null, actor, reason, data } as const;
    await store.append([draft], `refused ${id}`);
    return true;
  }
}

const REFUSALS = ['not_found', 'not_enrolled', 'not_eligible', 'under_way', 'algorithm_unsupported'] as const;

function isRefusal(error: unknown): error is RekeydError {
  return REFUSALS.some((code) => hasCode(error, code));
}

/** Of a whole app or fleet, clients are left alone that an application may still sign for with a key of its own. */
function isSkipped(held: Loaded | null, isCompromise: boolean, tally: Tally): boolean {
  if (held === null) return false;
  const { record } = held;
  const { ref, enrolment } = record;
  // A held client's key is in our store, so a compromise of all keys is about it too.
  if (enrolment === 'enrolled' || (isCompromise && enrolment === 'held'))
    return !isEligible(record.server.observed.client);
  tally.skipped.set(ref, enrolment);
  return true;
}

/** The second round: what only the lists know. */
async function beginListed(
  left: readonly ClientRef[],
  { listed, unread }: Read,
  asked: Request,
  job: string,
  tally: Tally,
  context: JobContext,
): Promise<void> {
  if (isNamed(asked.select)) {
    const ids = [...listed].map(([ref, { client }]) => [ref, client.clientId] as const);
    for (const ref of left) {
      const failure = unread.get(placeOf(ref));
      if (failure !== undefined) tally.waiting.push(failure);
      else if (!(await begin(ref, listed.get(ref) ?? null, asked, job, tally, context)))
        tally.errors.set(ref, misnamed(ref, ids) ?? notListed(ref));
    }
    return;
  }
  tally.waiting.push(...unread.values());
  const fresh = [...listed].filter(([ref, { client }]) => isEligible(client) && isMeant(asked, ref, context));
  await takeAll(fresh, asked, context);
  await beginAll(
    fresh.map(([ref, found]) => [ref, found]),
    asked,
    job,
    new Map(),
    tally,
    context,
  );
}

function notListed(ref: ClientRef): string {
  return `The API lists no client ${ref}, or not the key that was named. Check the reference, and that the client was not deleted.`;
}

function isMeant({ select }: Request, ref: ClientRef, { resources: { config } }: JobContext): boolean {
  const policy = policyFor(config, ref)?.name;
  return policy !== undefined && (!('policy' in select) || select.policy === policy);
}

/** Found clients are noted before they are asked about: then the same rules hold for them. */
async function takeAll(
  fresh: readonly (readonly [ClientRef, Listed])[],
  { actor, reason }: Request,
  { resources }: JobContext,
): Promise<void> {
  await inParallel(fresh, FLEET_LANES, async ([ref, { client }]) => {
    const policy = clientPolicy(resources, ref);
    if (policy === null || (await resources.store.load(ref)) !== null) return;
    await takeFound(resources.store, ref, client, policy, { actor, reason, request: null });
  });
}

function resultOf({ begun, errors, skipped, takenOver }: Tally): RequestResult {
  const byClient = (a: { client: string }, b: { client: string }) => (a.client < b.client ? -1 : 1);
  const rotations = [...begun].map(([client, id]) => ({ id, client }));
  const refused = [...errors].map(([client, message]) => ({ client, message }));
  const left = [...skipped].map(([client, enrolment]) => ({ client, enrolment }));
  return {
    rotations: rotations.sort(byClient),
    ...(refused.length > 0 && { errors: refused.sort(byClient) }),
    ...(left.length > 0 && { skipped: left.sort(byClient) }),
    ...(takenOver.length > 0 && { taken_over: takenOver.sort(byClient) }),
  };
}
