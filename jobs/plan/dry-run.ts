/**
 * What a request would come to, for somebody who is about to make it. From the store's records alone: no call to an API is made, and nothing is written. How
 * many clients it is about is counted for a whole fleet; what would happen to each is planned for the first few.
 */
import { type Config, policyFor } from '../../src/config/model.ts';
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
  /** Clients that nobody looked at, because that would take too long: they come on top. */
  readonly left: number;
  /** Clients of which it cannot be told now whether they are concerned, and why. */
  readonly unread: readonly string[];
}

export interface Breaking {
  readonly fleet: number;
  /** A part of 1. */
  readonly breaker: number;
  /** More than that part of the fleet. */
  readonly isMuch: boolean;
  /** It takes a confirmation, or may take one: for what was reported within the last hour counts too, and some clients may not have been looked at. */
  readonly asksForConfirmation: boolean;
  /** How many people it then takes. */
  readonly people: number;
}

/** More are counted, and not planned. */
export const MOST_PLANNED = 50;

/** How long clients are looked through for a key, in ms. */
const SEARCH_MS = 5_000;

type Parts = Pick<Resources, 'config' | 'store' | 'sinks' | 'folder' | 'facts'>;

/**
 * @param enough no further client is looked through for a key once it aborts
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
      // As it was last seen.
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
