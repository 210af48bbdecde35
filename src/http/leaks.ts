/**
 * Keys that were found where they must not be: which clients have them, whether they still sign in, and their replacement. A private half that was given is used in
 * this process alone, for a sign-in, and is in no answer, log, job or record.
 */
import { leakVerdict } from '../core/leaked.ts';
import type { AnyKey, Meant } from '../keys/any-key.ts';
import { isWhole } from '../keys/whole.ts';
import type { FoundKeys } from '../leaks/find-keys.ts';
import { inParallel } from '../parallel.ts';
import { type Tried, trySigningIn } from '../rotation/identify.ts';
import { type Candidate, ownersInStore } from '../rotation/owners.ts';
import { after, untilAborted } from '../time.ts';
import { openReplacements, type Replacement } from './leak-requests.ts';
import { soon } from './patience.ts';
import { mayTouch, type Principal } from './principal.ts';
import type { ApiContext } from './route.ts';

export interface LeakReport {
  readonly found: FoundKeys;
  /** Null: a scanner that signed it. */
  readonly principal: Principal | null;
  /** Who says so, for the audit log. */
  readonly claimedBy: string;
  readonly address: string;
  readonly reason: string;
  readonly rotate: boolean;
  readonly takeOver: boolean;
  readonly confirm: boolean;
  readonly signal: AbortSignal;
}

/** One of the keys, or names, of a report. What was given is not repeated: it may be a private key that was taken for a name. */
export interface LeakedItem {
  /** Null for a name. */
  readonly id: string | null;
  readonly thumbprint: string | null;
  readonly private: boolean;
  readonly clients: readonly LeakedClient[];
}

export interface LeakedClient {
  readonly candidate: Candidate;
  readonly tried: Tried;
  /** The name by which it is replaced: see {@link Replacement.kid}. Null: it is not. */
  readonly replace: string | null;
  /** Why none is asked for; null where one is, or nobody asked. */
  readonly left: string | null;
}

export interface LeakOutcome {
  readonly items: readonly LeakedItem[];
  /** By {@link LeakedClient.replace}. */
  readonly replacements: ReadonlyMap<string, Replacement>;
}

/** Sign-ins for one report: each is a call of the client's server. */
const MOST_TRIED = 20;
const LANES = 4;

/** How long all sign-ins of one report may take together, in ms. A leaked key is replaced after them, and an issuer that hangs must not hold that up. */
const TRYING_MS = 5_000;

/** @throws RekeydError `redis_unreachable`, `not_durable` */
export async function answerLeak(report: LeakReport, context: ApiContext): Promise<LeakOutcome> {
  const owned = await soon(ownersOf(report, context));
  const signal = AbortSignal.any([report.signal, after(TRYING_MS)]);
  const tried = await tryAll(owned, context, signal);
  const asked = openReplacements(report, context);
  const items = owned.map((item) => ({
    ...shownItem(item),
    clients: item.candidates.map((candidate): LeakedClient => {
      const known = { candidate, tried: tried.get(candidate) ?? NOT_TRIED };
      const verdict = verdictOf(item, candidate, report);
      if (verdict === null || 'left' in verdict) return { ...known, replace: null, left: verdict?.left ?? null };
      asked.add(verdict.replace, candidate);
      return { ...known, replace: verdict.replace, left: null };
    }),
  }));
  tell(items, report, context);
  return { items, replacements: await asked.send() };
}

interface OwnedItem {
  /** Null for a name. */
  readonly key: AnyKey | null;
  /** The private half, when it belongs to the public one. */
  readonly whole: AnyKey | null;
  readonly candidates: readonly Candidate[];
}

async function ownersOf({ found, principal }: LeakReport, { resources }: ApiContext): Promise<readonly OwnedItem[]> {
  const meant: readonly (readonly [AnyKey | null, Meant])[] = [
    ...found.keys.map((key) => [key, { keys: [key] }] as const),
    ...found.names.map((name) => [null, { name }] as const),
  ];
  const owned: OwnedItem[] = [];
  for (const [key, one] of meant) {
    const all = await ownersInStore(resources.store, one);
    const candidates = principal === null ? all : all.filter(({ client }) => mayTouch(principal, client));
    // For keys that belong to no client nothing is signed, and no API is called.
    const isOurs = candidates.length > 0 && key !== null && key.privateKey !== null && isWhole(key.privateKey);
    owned.push({ key, whole: isOurs ? key : null, candidates });
  }
  return owned;
}

function shownItem({ key, whole }: OwnedItem): Omit<LeakedItem, 'clients'> {
  return { id: key?.id ?? null, thumbprint: key?.thumbprint ?? null, private: whole !== null };
}

const NOT_TRIED: Tried = { sign_in: null, detail: null };
const TOO_LATE: Tried = {
  sign_in: 'unknown',
  detail: 'the sign-ins for this report took too long: not tried to the end',
};

/** Only with what was given: ours stays sealed. */
async function tryAll(
  owned: readonly OwnedItem[],
  { resources }: ApiContext,
  signal: AbortSignal,
): Promise<ReadonlyMap<Candidate, Tried>> {
  const tried = new Map<Candidate, Tried>();
  const wanted = owned.flatMap(({ whole, candidates }) =>
    whole === null ? [] : candidates.map((candidate) => ({ whole, candidate })),
  );
  await inParallel(wanted.slice(0, MOST_TRIED), LANES, async ({ whole, candidate }) => {
    const trying = trySigningIn(candidate, [whole], resources, [], signal);
    // It may have to ask the API for the issuer first, and the signal does not end that.
    tried.set(candidate, await untilAborted(trying, signal).catch(() => TOO_LATE));
  });
  for (const { candidate } of wanted.slice(MOST_TRIED)) {
    tried.set(candidate, { sign_in: 'unknown', detail: `not tried: a report is good for ${MOST_TRIED} sign-ins` });
  }
  return tried;
}

/**
 * Null: no replacement was asked for. Anybody can make a scanner report a public key, a thumbprint or a hash, so such a report of a scanner replaces no key. A
 * person with the private half could use the key anyway: a report that shows it counts.
 */
function verdictOf({ whole }: OwnedItem, candidate: Candidate, { rotate, takeOver, principal }: LeakReport) {
  if (!rotate || candidate.record === null) return null;
  if (principal === null && whole === null) return { left: 'the report does not show its private half' };
  return leakVerdict(candidate.record, candidate, takeOver);
}

/** Named in the log of one report. */
const MOST_TOLD = 20;

function tell(
  items: readonly LeakedItem[],
  { claimedBy, address, reason, rotate }: LeakReport,
  context: ApiContext,
): void {
  const ours = items.flatMap(({ id, private: isPrivate, clients }) =>
    clients.map(({ candidate: { client, kid, state }, tried, left }) => {
      return { client, id, kid, state, private: isPrivate, sign_in: tried.sign_in, ...(left !== null && { left }) };
    }),
  );
  if (ours.length === 0) return;
  const about = { claimed_by: claimedBy, address, reason, count: ours.length, keys: ours.slice(0, MOST_TOLD) };
  context.resources.log.warn(
    about,
    rotate ? 'a leaked key was reported' : 'a leaked key was reported; nothing is replaced unless somebody asks for it',
  );
}
