/**
 * How all clients stand, kept in memory for numbers that are asked for again and again. All records are read once, page by page; from then on only those
 * that the audit log names. Reading 100,000 records takes half a minute, so it cannot be done for each scrape.
 */
import { policyFor } from '../config/model.ts';
import { type ClientRef, splitReference } from '../core/client.ts';
import { DRIFT_KINDS, type DriftKind, kindsOf } from '../core/drift.ts';
import { pauseOf } from '../core/pause.ts';
import type { ClientRecord } from '../core/record.ts';
import { CLIENT_STATES, type ClientState, type Standing, standingOf, stateOf } from '../core/state.ts';
import { AGES, DUE_IN, type FleetNumbers, FOREMOST, MOST_NAMED, type OfClient, type Spread } from '../metrics/fleet.ts';
import { PAGE, pagesOf } from '../parallel.ts';
import { clientPolicy } from '../rotation/policy.ts';
import type { Resources } from '../rotation/resources.ts';
import { monotonic, sleep } from '../time.ts';
import type { Surroundings } from './build.ts';
import { signersStatus } from './signers.ts';

export interface Census {
  /** Takes in what has changed. Of a fleet that is not known yet, or went by another config before, all of it, which takes a while. */
  refresh(signal: AbortSignal): Promise<void>;
  numbers(seen: Surroundings): Promise<CensusNumbers>;
}

type CensusNumbers = Pick<FleetNumbers, 'states' | 'drifted' | 'compromised' | 'signersMissing' | 'ages' | 'dueIn'>;

interface Known extends Standing {
  readonly deployment: string;
  readonly policy: string | null;
  readonly signersMissing: boolean;
  readonly drift: readonly DriftKind[];
}

/** What a commit without an audit entry changed, such as a server that was looked at, is taken in after this time, in ms. */
const WHOLE_EVERY_MS = 30 * 60_000;

/** Entries of the audit log that are read at once. */
const ENTRIES = 1_000;

/** So many clients are counted before others get their turn. */
const COUNTED_AT_ONCE = 10_000;

/** @param current of the config in force */
export function openCensus(current: () => Resources): Census {
  let whole: Whole | null = null;

  return {
    async refresh(signal) {
      const resources = current();
      const { config, store } = resources;
      const [first, size] = [await store.auditFirst(), await store.auditSize()];
      // Entries that were cut before they were read leave open which clients changed.
      const isRead = whole !== null && first <= whole.seq + 1 && size >= whole.seq;
      const isUsable = isRead && whole?.config === config && whole.store === store.id;
      if (whole === null || !isUsable || monotonic() - whole.readAt > WHOLE_EVERY_MS) {
        const known = new Map<ClientRef, Known>();
        const readAt = monotonic();
        await readAll(known, resources, signal);
        whole = { config, store: store.id, known, seq: size, readAt };
      }
      await readChanged(whole, resources, signal);
    },
    numbers: (seen) => numbersOf(whole?.known ?? new Map(), seen),
  };
}

interface Whole {
  /** What it was read by, and from. */
  readonly config: Resources['config'];
  readonly store: string;
  readonly known: Map<ClientRef, Known>;
  readonly readAt: number;
  /** The last audit entry that was looked at. */
  seq: number;
}

async function readAll(known: Map<ClientRef, Known>, resources: Resources, signal: AbortSignal): Promise<void> {
  let last: ClientRef | null = null;
  do {
    signal.throwIfAborted();
    const beganAt = monotonic();
    const page: readonly ClientRef[] = await resources.store.refsAfter(last, PAGE);
    last = page.length < PAGE ? null : (page.at(-1) ?? null);
    await takeIn(page, known, resources);
    // Half of the time is left to what this process is there for.
    await sleep(monotonic() - beganAt, signal);
  } while (last !== null);
}

async function readChanged(whole: Whole, resources: Resources, signal: AbortSignal): Promise<void> {
  const changed = new Set<ClientRef>();
  for (;;) {
    signal.throwIfAborted();
    const entries = await resources.store.auditAfter(whole.seq, ENTRIES);
    for (const { client } of entries) if (client !== null) changed.add(client);
    whole.seq = entries.at(-1)?.seq ?? whole.seq;
    if (entries.length < ENTRIES) break;
  }
  for (const page of pagesOf([...changed])) await takeIn(page, whole.known, resources);
}

async function takeIn(refs: readonly ClientRef[], known: Map<ClientRef, Known>, resources: Resources): Promise<void> {
  for (const [ref, { record, now }] of await resources.store.loadMany(refs)) {
    known.set(ref, {
      ...standingOf(record, clientPolicy(resources, ref)),
      deployment: splitReference(ref).deployment,
      policy: policyFor(resources.config, ref)?.name ?? null,
      signersMissing: isHeldUp(record, now),
      drift: kindsOf(record.drift),
    });
  }
}

/** A signer has not taken the new key, or goes on with the old one beyond `ready_timeout`. */
function isHeldUp(record: ClientRecord, now: number): boolean {
  const missing = record.rotation === null ? [] : (signersStatus(record, now)?.missing ?? []);
  return missing.length > 0 || record.retirements.some(({ delayed }) => delayed);
}

async function numbersOf(known: ReadonlyMap<ClientRef, Known>, seen: Surroundings): Promise<CensusNumbers> {
  const { now } = seen;
  const states = Object.fromEntries(CLIENT_STATES.map((name) => [name, 0])) as Record<ClientState, number>; // one entry for each state
  const drifted = Object.fromEntries(DRIFT_KINDS.map((kind) => [kind, 0])) as Record<DriftKind, number>; // one entry for each kind
  const most = known.size > MOST_NAMED ? FOREMOST : MOST_NAMED;
  const ages = spreading(AGES, most, (a, b) => b - a);
  const dueIn = spreading(DUE_IN, most, (a, b) => a - b);
  let [compromised, signersMissing, counted] = [0, 0, 0];
  for (const [ref, client] of known) {
    states[stateOf(client, now, holdOn(ref, client, seen))] += 1;
    for (const kind of client.drift) drifted[kind] += 1;
    compromised += client.compromised ? 1 : 0;
    signersMissing += client.signersMissing ? 1 : 0;
    if (client.since !== null) ages.add(ref, Math.max(0, now - client.since) / 1000);
    // What is due at once whatever its age has no time at which it became due.
    if (client.dueAt !== null) dueIn.add(ref, (client.dueAt === 0 ? 0 : client.dueAt - now) / 1000);
    counted += 1;
    if (counted % COUNTED_AT_ONCE === 0) await sleep(0);
  }
  return { states, drifted, compromised, signersMissing, ages: ages.spread(), dueIn: dueIn.spread() };
}

function holdOn(ref: ClientRef, { deployment, policy }: Known, { deployments, pauses }: Surroundings) {
  const state = deployments.get(deployment);
  const suspended = pauses.size > 0 && pauseOf(pauses, ref, policy) !== null;
  return { paused: state?.paused != null, throttled: state?.throttledUntil != null, suspended };
}

/** @param order of seconds: those that matter most first */
function spreading(bounds: readonly number[], most: number, order: (a: number, b: number) => number) {
  const counts = bounds.map(() => 0);
  const named: OfClient[] = [];
  let [total, sum] = [0, 0];
  const byOrder = (a: OfClient, b: OfClient) => order(a.seconds, b.seconds);

  return {
    add(client: ClientRef, seconds: number): void {
      total += 1;
      sum += seconds;
      const first = bounds.findIndex((bound) => seconds <= bound);
      if (first !== -1) counts[first] = (counts[first] ?? 0) + 1;
      const last = named.at(-1);
      if (named.length >= most && last !== undefined && order(seconds, last.seconds) >= 0) return;
      named.push({ client, seconds });
      if (most === FOREMOST) named.sort(byOrder).splice(most);
    },
    spread(): Spread {
      let below = 0;
      const cumulative = counts.map((count) => {
        below += count;
        return below;
      });
      return { counts: cumulative, total, sum, named };
    },
  };
}
