/** A probe of one app: one at a time, its leftovers removed, what it found stored with its audit entries. */
import { policiesOf } from '../config/lookup.ts';
import { type AuditDraft, type Who, whoOf } from '../core/audit.ts';
import { type ClientRef, makeReference } from '../core/client.ts';
import { type Findings, NOTHING_KNOWN, takesSeveral } from '../core/findings.ts';
import { ALGORITHMS } from '../core/keys.ts';
import { shortMessage } from '../core/reply.ts';
import { messageOf, RekeydError } from '../errors.ts';
import { ApiError } from '../wacht/api-error.ts';
import { probe } from '../wacht/probe.ts';
import { awaitTurn, noteAnswer, noteFailedRead } from './deployment.ts';
import { strategyEntry } from './facts.ts';
import { type AppPlace, removeLeftovers } from './leftovers.ts';
import { holdApp, type Lease } from './probe-lease.ts';
import type { DeploymentResources, Resources } from './resources.ts';

export interface ProbeOptions extends Who {
  readonly reason: string;
  readonly signal: AbortSignal;
  /** Told that another probe of this app is under way, and in how many ms it is tried again. */
  readonly onWait?: (ms: number) => void;
  /** A probe that was killed keeps the next one waiting for this long, in ms. */
  readonly leaseMs?: number;
  /** For how long a change may take to have an effect, in ms. */
  readonly patienceMs?: number;
}

export interface ProbeResult {
  readonly findings: Findings;
  /** What strategy `auto` means in this app from now on, where that is something else than before. */
  readonly strategy: 'overlap' | 'cutover' | null;
  /** Disposable clients of earlier probes that were found active, and deactivated. */
  readonly removed: number;
  /** Why the disposable client may still be active; null when it was deactivated. */
  readonly leftover: string | null;
}

type Caused = Pick<ProbeOptions, 'actor' | 'claimed_by' | 'reason'>;

const LEASE_MS = 15_000;
const PATIENCE_MS = 60_000;

interface Place extends AppPlace {
  /** `deployment/slug` */
  readonly app: string;
}

/**
 * @throws RekeydError `not_found` (the config has no such app), `probe_failed`, `issuer_changed`, ApiError; the reason of `signal`. What was known of the app
 * stays as it is then, and that it failed is noted
 */
export async function probeApp(
  resources: Resources,
  id: string,
  slug: string,
  options: ProbeOptions,
): Promise<ProbeResult> {
  const place = placeOf(resources, id, slug);
  const { store, facts } = resources;
  const lease = await holdApp(store, place.app, { ...options, leaseMs: options.leaseMs ?? LEASE_MS });
  try {
    return await probeHeld(resources, place, lease, options);
  } catch (error) {
    if (!options.signal.aborted) await noteFailed(resources, place, shortMessage(messageOf(error)), options);
    if (error instanceof ApiError) await noteFailure(resources, place, error);
    throw error;
  } finally {
    await lease.letGo();
    await facts.refresh([place.app]);
  }
}

function placeOf({ config, deployments }: Resources, id: string, slug: string): Place {
  const deployment = deployments.get(id);
  const app = `${id}/${slug}`;
  const policies = policiesOf(config, id, slug);
  if (deployment === undefined || policies.size === 0)
    throw new RekeydError(
      'not_found',
      `The config has no app ${app}. Write deployment/app-slug as they stand in the config.`,
    );
  for (const [name, { probe: when }] of policies) {
    if (when !== 'never') continue;
    throw new RekeydError(
      'probe_failed',
      `Policy ${name} of ${app} says probe: never, so no client is made there. Write probe: manual to allow it.`,
    );
  }
  return { deployment, slug, app };
}

async function probeHeld(
  resources: Resources,
  place: Place,
  { signal, isLost }: Lease,
  { patienceMs = PATIENCE_MS, ...cause }: ProbeOptions,
): Promise<ProbeResult> {
  const { store, log } = resources;
  const { app } = place;
  const removed = await removeLeftovers(resources, place, signal);
  if (removed > 0) log.warn({ app, clients: removed }, 'disposable clients of earlier probes were deactivated');
  const left: string[] = [];
  try {
    const learned = await learn(resources, place, signal, patienceMs, (why) => void left.push(why));
    const findings: Findings = { ...learned, at: await store.now() };
    const strategy = await storeFindings(resources, app, findings, cause);
    const leftover = left.at(-1) ?? null;
    if (leftover !== null) log.warn({ app, error: leftover }, STAYS);
    return { findings, strategy, removed, leftover };
  } catch (error) {
    if (left.length > 0 && !isLost()) {
      // By its mark: where no answer came, its id is not known.
      await removeLeftovers(resources, place).catch((why: unknown) => log.warn({ app, error: messageOf(why) }, STAYS));
    }
    // The call that was cut off says nothing of the lease.
    throw isLost() ? signal.reason : error;
  }
}

const STAYS = 'a disposable client may be active: the next probe removes it';

/** @returns what strategy `auto` means from now on, where that is something else than before */
async function storeFindings(
  { store, log }: Resources,
  app: string,
  findings: Findings,
  cause: Caused,
): Promise<ProbeResult['strategy']> {
  const several = takesSeveral({ ...NOTHING_KNOWN, findings });
  const entries = [probedEntry(app, findings, cause)];
  if (several === takesSeveral(await store.appFacts(app))) {
    await store.storeFindings(app, findings, entries);
    return null;
  }
  const strategy = several ? 'overlap' : 'cutover';
  const why = whyStrategy(app, strategy, findings);
  await store.storeFindings(app, findings, [...entries, strategyEntry(app, strategy, why, cause)]);
  log.warn({ app, strategy }, why);
  return strategy;
}

async function learn(
  resources: Resources,
  { deployment, slug, app }: Place,
  signal: AbortSignal,
  patienceMs: number,
  onLeft: (why: string) => void,
) {
  const { folder, clock, generateKey, store, log } = resources;
  const served: ClientRef[] = [];
  try {
    return await probe({
      wacht: deployment.wacht,
      app: slug,
      prover: deployment.proverOf(slug),
      issuer: await deployment.issuers.of(slug),
      generateKey,
      maker: store.id,
      turn: () => awaitTurn(resources, deployment, `Probing ${app}`, false),
      spend: () => deployment.countCall(),
      serve:
        folder === null
          ? null
          : async (ref, keys) => {
              served.push(ref);
              await folder.write(ref, { keys });
              return folder.urlFor(ref);
            },
      now: () => clock.now(),
      patienceMs,
      throttleMaxMs: deployment.config.throttleMaxMs,
      signal,
      onLeft,
    });
  } finally {
    for (const ref of served) {
      const told = 'a public set of a disposable client stays in the publish folder';
      await folder?.remove(ref).catch((error: unknown) => log.warn({ client: ref, error: messageOf(error) }, told));
    }
  }
}

/** A client was made and changed there, so the audit log has the failure too. */
async function noteFailed({ store }: Resources, { app }: Place, error: string, cause: Caused): Promise<void> {
  const about = { client: null, rotation: null, ...whoOf(cause), reason: cause.reason, data: { app, error } };
  await store.append([{ type: 'app.probe_failed', ...about }]);
  await store.noteFailedProbe(app, error);
}

/** What the error means for the deployment. A key that may not make clients may still change them, so a 403 pauses nothing. */
async function noteFailure(resources: Resources, { deployment, slug }: Place, error: ApiError): Promise<void> {
  const { reply } = error;
  const { id } = deployment.config;
  if (reply.class === 'throttled') await noteAnswer(resources, deployment, makeReference(id, slug, 'probe'), reply);
  if (reply.class === 'credential') await noteFailedRead(resources, deployment, await readError(deployment));
}

async function readError({ listApps }: DeploymentResources): Promise<unknown> {
  return listApps().then(
    () => null,
    (error: unknown) => error,
  );
}

function probedEntry(app: string, findings: Findings, cause: Caused): AuditDraft {
  const { picks, pemMember, forms, algs, fit, effectMs, removalMs } = findings;
  const data = {
    app,
    picks: picks.result,
    pem_member: pemMember.result,
    forms: Object.entries(forms).flatMap(([form, { result }]) => (result === 'accepted' ? [form] : [])),
    algs: ALGORITHMS.filter((alg) => algs[alg].result === 'accepted'),
    keys: fit.keys,
    effect_ms: effectMs,
    removal_ms: removalMs,
  };
  return { type: 'app.probed', client: null, rotation: null, ...whoOf(cause), reason: cause.reason, data };
}

function whyStrategy(app: string, strategy: 'overlap' | 'cutover', { picks }: Findings): string {
  const several = strategy === 'overlap' ? 'takes several keys at a time' : 'takes one key at a time';
  return `${app} ${several} (${picks.evidence}): its clients under strategy auto are rotated by ${strategy} from now on`;
}
