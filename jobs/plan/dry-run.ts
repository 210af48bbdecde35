/**
 * What a request would do, before it is made. It reads the store alone: it calls no API and writes nothing. All clients of the request are counted; the steps
 * are planned for the first {@link MOST_PLANNED}.
 */
import { policyFor } from '../../src/config/lookup.ts';
import type { Config } from '../../src/config/model.ts';
import type { Compromised } from '../../src/core/begin.ts';
import { type ClientRef, unconfigured } from '../../src/core/client.ts';
import { byScope, pauseOf } from '../../src/core/pause.ts';
import { type Exposed, exposedBy, isLeak } from '../../src/rotation/exposed.ts';
import { appOf } from '../../src/rotation/facts.ts';
import { clientPolicy } from '../../src/rotation/policy.ts';
import type { Resources } from '../../src/rotation/resources.ts';
import { after } from '../../src/time.ts';
import { type CompromiseSize, compromiseSize, reportedWith } from '../breaker.ts';
import type { Request } from '../schemas.ts';
import { isNamed, knownRefs, selectedApps } from '../selection.ts';
import { type ClientPlan, planOf } from './client.ts';

export interface DryRun {
  /** How many clients it would rotate, and how many it is about. */
  readonly rotated: number;
  readonly clients: number;
  /** Null: it is no compromise. */
  readonly breaker: Breaking | null;
  /** Of the first {@link MOST_PLANNED}, in order. */
  readonly plans: readonly ClientPlan[];
  readonly errors: readonly { readonly client: ClientRef; readonly message: string }[];
  /** How many clients were not searched, because the time was up. They are not in the other counts. */
  readonly left: number;
  /** Why it is not known of some clients whether the request is about them; a sentence for each. */
  readonly unread: readonly string[];
}

export interface Breaking {
  readonly fleet: number;
  /** A part of 1. */
  readonly breaker: number;
  /** More than that part of the fleet. */
  readonly isMuch: boolean;
  /** The request needs a confirmation, or may need one: reports of the last hour count too, and so may clients that were not searched. */
  readonly asksForConfirmation: boolean;
  /** How many people then have to agree. */
  readonly people: number;
}

/** How many clients are planned one by one at the most. */
export const MOST_PLANNED = 50;

/** How long clients are searched for a key, in ms. */
const SEARCH_MS = 5_000;

type Parts = Pick<Resources, 'config' | 'store' | 'sinks' | 'folder' | 'facts'>;

/**
 * @param enough ends the search for a key when it aborts
 * @throws RekeydError `not_configured` when the config does not have what is selected
 */
export async function dryRun(asked: Request, parts: Parts, enough: AbortSignal = after(SEARCH_MS)): Promise<DryRun> {
  const { select, take_over: takeOver } = asked;
  const search = isLeak(select) ? await exposedBy(select, parts, enough) : null;
  const exposed = search?.exposed ?? null;
  const refs =
    exposed === null
      ? await knownRefs(select, selectedApps(select, { resources: parts }), { resources: parts })
      : [...exposed.keys()];
  const { rotated, ...size } = await compromiseSize(asked, refs, parts);
  const isWhole = (search?.left ?? 0) + (search?.unread.length ?? 0) === 0;
  const isCompromise = asked.compromised !== false;
  const breaker = isCompromise ? await breakingOf(rotated.length, { ...size, isWhole }, parts) : null;
  const planned = await plansOf(isNamed(select) || takeOver ? refs : rotated, asked, exposed, parts);
  return {
    ...{ rotated: rotated.length, clients: refs.length, breaker },
    ...planned,
    ...{ left: search?.left ?? 0, unread: search?.unread ?? [] },
  };
}

async function breakingOf(
  clients: number,
  { fleet, isMuch, most, isWhole }: Omit<CompromiseSize, 'rotated'> & { readonly isWhole: boolean },
  { config, store }: Pick<Parts, 'config' | 'store'>,
): Promise<Breaking> {
  const together = await reportedWith(clients, store);
  const people = config.approval?.compromiseAll ?? 1;
  return { fleet, breaker: config.breaker, isMuch, asksForConfirmation: isMuch || together > most || !isWhole, people };
}

async function plansOf(
  refs: readonly ClientRef[],
  asked: Request,
  exposed: Exposed | null,
  parts: Parts,
): Promise<Pick<DryRun, 'plans' | 'errors'>> {
  const { store, config } = parts;
  const first = refs.slice(0, MOST_PLANNED);
  if (first.length === 0) return { plans: [], errors: [] };
  await parts.facts.refresh(first.map(appOf));
  const [now, deployments, paused, loaded] = await Promise.all([
    store.now(),
    store.deploymentStates(config.deployments.map(({ id }) => id)),
    store.pauses(),
    store.loadMany(first),
  ]);
  const pauses = byScope(paused, now);
  const plans: ClientPlan[] = [];
  const errors: { client: ClientRef; message: string }[] = [];
  for (const ref of first) {
    const record = loaded.get(ref)?.record;
    const policy = clientPolicy(parts, ref);
    const name = nameOf(config, ref);
    if (policy === null || name === null) {
      errors.push({ client: ref, message: unconfigured(ref) });
      continue;
    }
    if (record === undefined) {
      errors.push({ client: ref, message: `${ref} is not known here.` });
      continue;
    }
    const plan = planOf({
      ...{ ref, record, name, policy, now, deployments },
      // As it was last observed: the API is not asked.
      client: record.server.observed.client,
      isNamed: isNamed(asked.select),
      compromised: compromisedOf(asked, exposed?.get(ref)),
      keepStandby: asked.keep_standby,
      takeOver: asked.take_over,
      pause: pauseOf(pauses, ref, name),
    });
    if ('message' in plan) errors.push({ client: ref, message: plan.message });
    else plans.push(plan);
  }
  return { plans, errors };
}

function compromisedOf({ compromised }: Request, kids: readonly string[] | undefined): Compromised | null {
  if (kids !== undefined) return { kids };
  if (compromised === false) return null;
  return { kid: compromised === true ? null : compromised.kid };
}

function nameOf(config: Config, ref: ClientRef): string | null {
  return policyFor(config, ref)?.name ?? null;
}
