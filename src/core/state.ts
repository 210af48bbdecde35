/** What a client is up to, in one word: the same in every view of a fleet. */
import { whyDue } from './due.ts';
import type { ClientPolicy } from './policy.ts';
import type { ClientRecord } from './record.ts';

export const CLIENT_STATES = [
  'halted',
  'failed',
  'paused',
  'throttled',
  'rotating',
  'due',
  'held',
  'found',
  'healthy',
] as const;

export type ClientState = (typeof CLIENT_STATES)[number];

/** What keeps a whole deployment. */
export interface DeploymentHold {
  readonly paused: boolean;
  readonly throttled: boolean;
}

/** @param policy null when the config no longer takes care of the client */
export function clientState(
  record: ClientRecord,
  policy: ClientPolicy | null,
  now: number,
  { paused, throttled }: DeploymentHold,
): ClientState {
  const { halted, rotation, failure, enrolment } = record;
  if (halted !== null) return 'halted';
  if (rotation !== null && rotation.phase.name !== 'offered')
    return paused ? 'paused' : throttled ? 'throttled' : 'rotating';
  if (failure !== null) return 'failed';
  if (enrolment !== 'enrolled') return enrolment;
  return policy !== null && whyDue(record, policy, now) !== null ? 'due' : 'healthy';
}

/** What the rotation under way last failed with, or waits for; null when nothing. Not what ended an earlier one. */
export function rotationError({ rotation, signers, server }: ClientRecord): string | null {
  return rotation?.tries.error ?? signers.tries.error ?? server.tries.error;
}

/** What went wrong last and still matters, or null. */
export function lastError(record: ClientRecord): string | null {
  const { halted, rotation, retirements, server, signers, failure, enrolment, declined } = record;
  const tries = [rotation, ...retirements, signers, server].map((part) => part?.tries.error ?? null);
  const offer = enrolment === 'found' && rotation === null && declined !== undefined ? offerError(declined.why) : null;
  return halted ?? tries.find((error) => error !== null) ?? failure ?? offer;
}

function offerError(why: string): string {
  return `our key was offered to its application and is withdrawn: ${why}`;
}
