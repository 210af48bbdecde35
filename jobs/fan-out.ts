/** Begins a rotation for each client that a request selects. */
import { policyFor } from '../src/config/lookup.ts';
import { type ClientRef, misnamed, notListed, splitReference } from '../src/core/client.ts';
import { isEligible } from '../src/core/due.ts';
import { RekeydError } from '../src/errors.ts';
import { inParallel, pagesOf } from '../src/parallel.ts';
import { exposedBy, isLeak, nobodyHas, type Search } from '../src/rotation/exposed.ts';
import { appOf } from '../src/rotation/facts.ts';
import { type Asking, begin, type Tally } from './begin-asked.ts';
import { passBreaker } from './breaker.ts';
import { FLEET_LANES, type JobContext } from './context.ts';
import { takeNew } from './discover.ts';
import type { Listed } from './listing.ts';
import { departedApps, knownAs, knownBefore } from './renamed.ts';
import type { RequestResult } from './request.ts';
import type { Request } from './schemas.ts';
import { type Apps, isNamed, knownRefs, noteUnread, type Read, readApps, selectedApps } from './selection.ts';
import { tellUnknown } from './unknown.ts';

/**
 * Clients that the store knows are begun with first, and after a compromise without asking the API anything: the rotation itself looks at the server
 * before it writes.
 *
 * @param soFar what earlier tries of the job came to
 * @param by the request, who made it and when; a retry of the same job asks for the same rotations
 * @throws when something has to be waited for; what was begun by then is in `soFar`
 * @throws RekeydError `breaker`; `job_invalid` when nothing at all is meant
 */
export async function fanOut(
  by: Pick<Asking, 'asked' | 'job' | 'claim' | 'askedAt' | 'isLast' | 'context'>,
  soFar: Pick<Tally, 'begun' | 'takenOver'>,
): Promise<RequestResult> {
  const { asked, context } = by;
  const apps = selectedApps(asked.select, context);
  const leak = await leakedBy(by);
  const exposed = leak?.exposed ?? null;
  // The request waits for the clients that cannot be searched; the others begin at once.
  const waiting = (leak?.unread ?? []).map((why) => new Error(why));
  const tally: Tally = { ...soFar, errors: new Map(), unknown: new Set(), skipped: new Map(), waiting };
  const compromised = compromisedOf(asked);
  const isCompromise = asked.compromised !== false;
  const asking: Asking = { ...by, isCompromise, compromised, exposed, tally };
  const known = exposed === null ? await knownRefs(asked.select, apps, context) : [...exposed.keys()];
  if (isCompromise) await passBreaker(asking, known);
  const concerned = isNamed(asked.select) ? appsOf(known, apps) : apps;
  await context.resources.facts.refresh(concerned.map(({ deployment, app }) => `${deployment}/${app}`));
  const unread = isCompromise ? new Map<string, unknown>() : await silent(concerned, context);
  const targets = known.map((ref) => [ref, null] as const);
  const left = await beginAll(targets, unread, asking);
  if (exposed === null && (!isNamed(asked.select) || left.length > 0)) {
    const wanted = isNamed(asked.select) ? appsOf(left, apps) : apps;
    const read = await readApps(wanted, context, { urgent: isCompromise });
    await beginListed(left, read, asking);
  }
  await context.resources.guard.remember();
  if (tally.waiting.length > 0) throw tally.waiting[0];
  await tellUnknown(asking);
  return resultOf(tally);
}

function compromisedOf({ compromised }: Request): Asking['compromised'] {
  if (compromised === false) return null;
  return { kid: compromised === true ? null : compromised.kid };
}

/**
 * Which keys leaked, where the request does not name clients. The search is made once: a job that is tried again would not find a key that was replaced
 * meanwhile, and its answer would leave it out.
 * @throws RekeydError `job_invalid` when nobody has such a key
 */
async function leakedBy({
  asked: { select },
  job,
  context: { resources },
}: Pick<Asking, 'asked' | 'job' | 'context'>): Promise<Search | null> {
  if (!isLeak(select)) return null;
  const { store } = resources;
  const noted = await store.targets(job);
  if (noted !== null) return { exposed: new Map(JSON.parse(noted)), unread: [], left: 0 }; // written below
  const search = await exposedBy(select, resources);
  const { exposed, unread } = search;
  if (exposed.size === 0 && unread.length === 0)
    throw new RekeydError('job_invalid', `Nothing was started: ${nobodyHas(select)}`);
  // What was begun by then is told by the job itself.
  if (unread.length === 0) await store.noteTargets(job, JSON.stringify([...exposed]));
  return search;
}

function appsOf(refs: readonly ClientRef[], apps: Apps): Apps {
  const wanted = new Set(refs.map(appOf));
  return apps.filter(({ deployment, app }) => wanted.has(`${deployment}/${app}`));
}

/** The deployments with an API that does not answer, and why. An ordinary rotation that begins during an outage uses its attempts up and fails. */
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
  unread: ReadonlyMap<string, unknown>,
  asking: Asking,
): Promise<readonly ClientRef[]> {
  const { tally } = asking;
  const unknown: ClientRef[] = [];
  await inParallel(targets, FLEET_LANES, async ([ref, listed]) => {
    if (tally.begun.has(ref)) return;
    const failure = unread.get(splitReference(ref).deployment);
    if (failure !== undefined) tally.waiting.push(failure);
    else if (!(await begin(ref, listed, asking))) unknown.push(ref);
  });
  return unknown;
}

/** The second round: what only the lists know. */
async function beginListed(left: readonly ClientRef[], { listed, unread }: Read, asking: Asking): Promise<void> {
  const { asked, tally, context } = asking;
  if (isNamed(asked.select)) {
    const ids = [...listed].map(([ref, { client }]) => [ref, client.clientId] as const);
    const renamed = await renamedAmong(left, listed, asking);
    for (const ref of left) {
      const failure = unread.get(appOf(ref));
      const old = renamed.get(ref);
      if (failure !== undefined) tally.waiting.push(failure);
      else if (old !== undefined) tally.errors.set(ref, knownAs(ref, old));
      else if (!(await begin(ref, listed.get(ref) ?? null, asking))) {
        tally.errors.set(ref, misnamed(ref, ids) ?? notListed(ref));
        tally.unknown.add(ref);
      }
    }
    return;
  }
  tally.waiting.push(...unread.values());
  const fresh = [...listed].filter(([ref, { client }]) => isEligible(client) && isMeant(asked, ref, context));
  // Without take_over, those that the store does not know are left alone.
  if (asking.isCompromise && asked.take_over) {
    await passBreaker(asking, [...new Set([...tally.begun.keys(), ...fresh.map(([ref]) => ref)])]);
  }
  const renamed = await takeAll(fresh, asked, context);
  for (const [ref, old] of renamed) tally.errors.set(ref, knownAs(ref, old));
  await beginAll(
    fresh.filter(([ref]) => !renamed.has(ref)),
    new Map(),
    asking,
  );
}

/** New clients among these that are known under another name. Not after a compromise: a leaked key goes, and the answer says what its application has to do. */
async function renamedAmong(
  refs: readonly ClientRef[],
  listed: Read['listed'],
  { isCompromise, context: { resources } }: Asking,
): Promise<ReadonlyMap<ClientRef, ClientRef>> {
  if (isCompromise) return new Map();
  const seen = await resources.store.seen(refs);
  const fresh = refs.flatMap((ref, index) => {
    const one = listed.get(ref);
    return one === undefined || (seen[index] ?? null) !== null ? [] : [[ref, one.client] as const];
  });
  return knownBefore(fresh, await departedApps(resources), resources);
}

function isMeant({ select }: Request, ref: ClientRef, { resources: { config } }: JobContext): boolean {
  const policy = policyFor(config, ref)?.name;
  return policy !== undefined && (!('policy' in select) || select.policy === policy);
}

/**
 * Clients that the store does not know are noted before they are asked about: then the same rules hold for them.
 * @returns those that it knows under another name, with that name
 */
async function takeAll(
  listed: readonly (readonly [ClientRef, Listed])[],
  { actor, reason }: Request,
  context: JobContext,
): Promise<ReadonlyMap<ClientRef, ClientRef>> {
  const departed = await departedApps(context.resources);
  const all = new Map<ClientRef, ClientRef>();
  for (const page of pagesOf(listed)) {
    const seen = await context.resources.store.seen(page.map(([ref]) => ref));
    const fresh = page.filter((_, index) => (seen[index] ?? null) === null);
    const { renamed } = await takeNew(fresh, { actor, reason }, departed, context);
    for (const [ref, old] of renamed) all.set(ref, old);
  }
  return all;
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
