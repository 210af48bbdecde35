/**
 * Keys that were found where they must not be: whose they are, whether they still sign in, and their replacement. A private half that was given is used in
 * this process alone, for a sign-in, and is in no answer, log, job or record.
 */
import { hash } from 'node:crypto';
import { requestResult } from '../../jobs/result.ts';
import type { RequestInput } from '../../jobs/schemas.ts';
import type { ClientRef } from '../core/client.ts';
import { leakVerdict } from '../core/leaked.ts';
import { hasCode, messageOf } from '../errors.ts';
import type { AnyKey, Meant } from '../keys/any-key.ts';
import { isWhole } from '../keys/whole.ts';
import type { FoundKeys } from '../leaks/find-keys.ts';
import { inParallel } from '../parallel.ts';
import { type Tried, trySigningIn } from '../rotation/identify.ts';
import { type Candidate, ownersInStore } from '../rotation/owners.ts';
import { after } from '../time.ts';
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
  /** The request that replaces it; null: none. */
  readonly request: string | null;
  /** Why none is asked for; null where one is, or nobody asked. */
  readonly left: string | null;
}

export interface Replacement {
  readonly request: string;
  readonly clients: readonly ClientRef[];
  /** By client: those that were begun or joined. Null: no worker has taken the request yet. */
  readonly rotations: ReadonlyMap<string, string> | null;
  readonly error: string | null;
}

export interface LeakOutcome {
  readonly items: readonly LeakedItem[];
  readonly replacements: readonly Replacement[];
}

/** Sign-ins for one report: each is a call of the client's server. */
const MOST_TRIED = 20;
const LANES = 4;

/** How long a caller waits for a worker to take the requests, and for Redis, in ms. */
const WAIT_MS = 20_000;
const PATIENCE_MS = 5_000;

/** @throws RekeydError `redis_unreachable`, `not_durable` */
export async function answerLeak(report: LeakReport, context: ApiContext): Promise<LeakOutcome> {
  const owned = await ownersOf(report, context);
  const tried = await tryAll(owned, report, context);
  const asked = new Map<
    string,
    { readonly kid: string; readonly clients: Set<ClientRef>; readonly marks: Set<string> }
  >();
  const items = owned.map((item) => ({
    ...shownItem(item),
    clients: item.candidates.map((candidate): LeakedClient => {
      const known = { candidate, tried: tried.get(candidate) ?? NOT_TRIED };
      const verdict = verdictOf(item, candidate, report);
      if (verdict === null || 'left' in verdict) return { ...known, request: null, left: verdict?.left ?? null };
      const one = asked.get(verdict.replace) ?? { kid: verdict.replace, clients: new Set(), marks: new Set() };
      one.clients.add(candidate.client);
      one.marks.add(markOf(candidate));
      asked.set(verdict.replace, one);
      return { ...known, request: verdict.replace, left: null };
    }),
  }));
  const requests = new Map<string, Replacement>();
  for (const { kid, clients, marks } of asked.values()) {
    requests.set(kid, await replace(kid, [...clients].sort(), [...marks].sort(), report, context));
  }
  tell(items, report, context);
  return {
    items: items.map((item) => ({
      ...item,
      clients: item.clients.map((one) => ({ ...one, request: requests.get(one.request ?? '')?.request ?? null })),
    })),
    replacements: [...requests.values()],
  };
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
    // Keys that are nobody's cost no signature, and no call.
    const isOurs = candidates.length > 0 && key !== null && key.privateKey !== null && isWhole(key.privateKey);
    owned.push({ key, whole: isOurs ? key : null, candidates });
  }
  return owned;
}

function shownItem({ key, whole }: OwnedItem): Omit<LeakedItem, 'clients'> {
  return { id: key?.id ?? null, thumbprint: key?.thumbprint ?? null, private: whole !== null };
}

const NOT_TRIED: Tried = { sign_in: null, detail: null };

/** Only with what was given: ours stays sealed. */
async function tryAll(
  owned: readonly OwnedItem[],
  { signal }: LeakReport,
  { resources }: ApiContext,
): Promise<ReadonlyMap<Candidate, Tried>> {
  const tried = new Map<Candidate, Tried>();
  const wanted = owned.flatMap(({ whole, candidates }) =>
    whole === null ? [] : candidates.map((candidate) => ({ whole, candidate })),
  );
  await inParallel(wanted.slice(0, MOST_TRIED), LANES, async ({ whole, candidate }) => {
    tried.set(candidate, await trySigningIn(candidate, [whole], resources, [], signal));
  });
  for (const { candidate } of wanted.slice(MOST_TRIED)) {
    tried.set(candidate, { sign_in: 'unknown', detail: `not tried: a report is good for ${MOST_TRIED} sign-ins` });
  }
  return tried;
}

/**
 * Null: nobody asked for anything. Everybody can have a scanner report a public key, a thumbprint or a hash: such a report takes no key out of use. Who has
 * the private half could use it, and so does no harm with it here.
 */
function verdictOf({ whole }: OwnedItem, candidate: Candidate, { rotate, takeOver, principal }: LeakReport) {
  if (!rotate || candidate.record === null) return null;
  if (principal === null && whole === null) return { left: 'the report does not show its private half' };
  return leakVerdict(candidate.record, candidate, takeOver);
}

/** What is another leak, although the key and the client are the same: it was imported again, or its replacement failed. */
function markOf({ client, sealed, record }: Candidate): string {
  return JSON.stringify([client, sealed?.createdAt ?? null, record?.failure ?? null]);
}

/** The same report asks for the same request, however often it comes. */
async function replace(
  kid: string,
  clients: readonly ClientRef[],
  marks: readonly string[],
  { principal, claimedBy, address, reason, takeOver, signal }: LeakReport,
  { resources: { store }, queues }: ApiContext,
): Promise<Replacement> {
  const request = `leak-${hash('sha256', JSON.stringify([store.id, kid, takeOver, marks]), 'base64url')}`;
  const wanted = {
    v: 1,
    select: { clients: [...clients] },
    ...{ reason, actor: claimedBy, compromised: { kid }, take_over: takeOver },
  } satisfies RequestInput;
  const data = { request, route: 'POST /v1/leaks', address, select: 'clients', compromised: true };
  const entry = { type: 'api.called', client: null, rotation: null, actor: claimedBy, claimed_by: claimedBy } as const;
  // Before it is asked for, and once.
  await store.append([{ ...entry, reason, data }], `api ${request}`);
  await queues.request(wanted, request);
  const begun = { request, clients, rotations: null, error: null };
  // A scanner is told nothing, and does not wait.
  if (principal === null) return begun;
  const waited = { signal: AbortSignal.any([signal, after(WAIT_MS)]), ms: PATIENCE_MS, onRetry: () => {} };
  try {
    const result = (await requestResult(queues, request, waited)) as RequestOutcome | null; // what `fanOut` returns, through JSON
    if (result === null) return begun;
    const error = result.errors?.map(({ client, message }) => `${client}: ${message}`).join(' ') ?? null;
    return { ...begun, rotations: new Map(result.rotations.map(({ client, id }) => [client, id])), error };
  } catch (error) {
    if (!hasCode(error, 'request_failed')) throw error;
    return { ...begun, error: messageOf(error) };
  }
}

type RequestOutcome = {
  readonly rotations: readonly { readonly client: string; readonly id: string }[];
  readonly errors?: readonly { readonly client: string; readonly message: string }[];
};

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
