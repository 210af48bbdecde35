/** What a client is up to, in one word: the same in every view of a fleet. */
import type { ClientRef } from './client.ts';
import { dueAt, inUseSince, isScheduled, overdueFrom } from './due.ts';
import { activeKey, holds, usesReportedKey } from './keys.ts';
import type { ClientPolicy } from './policy.ts';
import type { ClientRecord } from './record.ts';

/** Those that need a person come first. */
export const CLIENT_STATES = [
  'halted',
  'failed',
  'overdue',
  'paused',
  'throttled',
  'rotating',
  'due',
  'held',
  'found',
  'healthy',
] as const;

export type ClientState = (typeof CLIENT_STATES)[number];

export function isClientState(text: string): text is ClientState {
  return (CLIENT_STATES as readonly string[]).includes(text); // the only way to ask a tuple for any text
}

/** The order of clients that need a person: those with a lower number come first. */
export function urgencyOf({
  compromised,
  state,
}: {
  readonly compromised: boolean;
  readonly state: ClientState;
}): number {
  return compromised ? -1 : CLIENT_STATES.indexOf(state);
}

/** What keeps a client from being worked on. */
export interface Hold {
  /** Its deployment: the API key is refused. */
  readonly paused: boolean;
  /** Its deployment: the API asks to be left alone. */
  readonly throttled: boolean;
  /** A person holds scheduled rotations back. */
  readonly suspended: boolean;
}

/** What a record says of a client for as long as nobody changes it: with that, its state at any time is told without the record. */
export interface Standing {
  readonly is: 'halted' | 'rotating' | 'failed' | 'found' | 'held' | 'settled';
  /** Since when its key is in use; when a schedule rotates it; when its key is older than the policy bears. In ms since the epoch; null: never, or not known. */
  readonly since: number | null;
  readonly dueAt: number | null;
  readonly overdueFrom: number | null;
  /** A key that was reported as compromised is still in use, and no rotation replaces it. */
  readonly compromised: boolean;
}

/** @param policy null when the config no longer takes care of the client */
export function standingOf(record: ClientRecord, policy: ClientPolicy | null): Standing {
  const { rotation } = record;
  const active = activeKey(record);
  return {
    is: standsAs(record),
    since: active === undefined ? null : inUseSince(active),
    // A key that is offered is no scheduled rotation any more.
    dueAt:
      policy !== null && rotation?.phase.name !== 'offered' && isScheduled(record, policy)
        ? dueAt(record, policy)
        : null,
    overdueFrom: policy === null ? null : overdueFrom(record, policy),
    compromised: usesReportedKey(record),
  };
}

function standsAs(record: ClientRecord): Standing['is'] {
  const { halted, rotation, failure, enrolment } = record;
  if (halted !== null) return 'halted';
  if (rotation !== null && rotation.phase.name !== 'offered') return 'rotating';
  if (failure !== null || displaced(record) !== null) return 'failed';
  return enrolment === 'enrolled' ? 'settled' : enrolment;
}

export function stateOf(
  { is, dueAt, overdueFrom }: Standing,
  now: number,
  { paused, throttled, suspended }: Hold,
): ClientState {
  if (is === 'rotating') return paused ? 'paused' : throttled ? 'throttled' : 'rotating';
  if (is !== 'settled') return is;
  if (overdueFrom !== null && now >= overdueFrom) return 'overdue';
  if (suspended) return 'paused';
  return dueAt !== null && now >= dueAt ? 'due' : 'healthy';
}

/** @param policy null when the config no longer takes care of the client */
export function clientState(record: ClientRecord, policy: ClientPolicy | null, now: number, hold: Hold): ClientState {
  return stateOf(standingOf(record, policy), now, hold);
}

/** What the rotation under way last failed with, or waits for; null when nothing. Not what ended an earlier one. */
export function rotationError({ rotation, signers, server }: ClientRecord): string | null {
  return rotation?.tries.error ?? signers.tries.error ?? server.tries.error;
}

/** What went wrong last and still matters, or null. */
export function lastError(record: ClientRecord): string | null {
  const { halted, rotation, retirements, server, signers, failure } = record;
  const tries = [rotation, ...retirements, signers, server].map((part) => part?.tries.error ?? null);
  return halted ?? tries.find((error) => error !== null) ?? failure ?? displaced(record) ?? notTaken(record);
}

function notTaken({ enrolment, rotation, declined }: ClientRecord): string | null {
  if (enrolment !== 'found' || rotation !== null || declined === undefined) return null;
  return `our key was offered to its application and is withdrawn: ${declined.why}`;
}

/**
 * An imported key that the server no longer shows: somebody replaced it, or the store was restored from before its first rotation. What rekeyd published
 * itself is put right; of a key that it never published nobody knows what is right.
 */
export function displaced({ ref, rotation, keys, server, doubted }: ClientRecord): string | null {
  const active = keys.find(({ state }) => state === 'active');
  const isKnown = rotation === null && server.inFlight === null && server.confirmedAt === null && !doubted;
  const { client } = server.observed;
  if (active === undefined || !isKnown || !client.active || client.jwksUri !== null) return null;
  if (client.keys.some((shown) => holds(shown, active.id))) return null;
  return `the server does not show key ${active.kid}, which was imported: its application cannot sign in with it. ${howToReplace(ref)}`;
}

/** What a person does about a {@link displaced} key. */
export function howToReplace(ref: ClientRef): string {
  return `\`rekeyd rotate ${ref}\` replaces what the server shows; or \`rekeyd release ${ref}\`, then import the key in use`;
}
