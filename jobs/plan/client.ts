/** What a rotation of one client would be, were it asked for now. */
import type { Compromised, RotationRequest } from '../../src/core/begin.ts';
import { type Calendar, nextBeginning } from '../../src/core/calendar.ts';
import { type ClientRef, splitReference } from '../../src/core/client.ts';
import { foreignKeys } from '../../src/core/desired.ts';
import type { ObservedClient } from '../../src/core/document.ts';
import { type DueReason, dueAt, isEligible, isOverdue, whyDue } from '../../src/core/due.ts';
import { found, observed } from '../../src/core/enrolment.ts';
import { findKey, isKnown } from '../../src/core/keys.ts';
import { type Pause, scopeWords, selectorOf } from '../../src/core/pause.ts';
import type { ClientPolicy } from '../../src/core/policy.ts';
import type { ClientRecord, Enrolment } from '../../src/core/record.ts';
import { request } from '../../src/core/request.ts';
import { type ClientState, clientState } from '../../src/core/state.ts';
import { hasCode, messageOf } from '../../src/errors.ts';
import { plannedKey } from '../../src/forecast/planned-key.ts';
import { type PreviewStep, preview } from '../../src/forecast/preview.ts';
import { holdOf } from '../../src/status/surroundings.ts';
import type { DeploymentState } from '../../src/store/deployments.ts';

/** Members as in the JSON document; times are RFC 3339. */
export interface ClientPlan {
  readonly client: ClientRef;
  readonly policy: string;
  /** False: it is not in the store yet, and would be adopted first. */
  readonly known: boolean;
  readonly enrolment: Enrolment;
  /** As `rekeyd status` calls it. */
  readonly state: ClientState;
  /** Why the schedule would rotate it now; null when it would not. */
  readonly due: DueReason | null;
  /** The key in use is older than `must_by`. */
  readonly overdue: boolean;
  readonly next_due: string;
  /** From when on a rotation may start: due, inside a window and outside a freeze; after a compromise at once. A pause is among the warnings. */
  readonly next_start: string;
  /** It would be replaced as compromised. */
  readonly compromised: boolean;
  /**
   * Of a compromise, what becomes of the key that is kept ready. `used`: one PATCH, and no key has to be made. `discarded`: it may have leaked with the other
   * one. Null: none is kept.
   */
  readonly standby: 'used' | 'discarded' | null;
  /** Of a compromise: the names of published keys that are not ours, and stay published. */
  readonly stays: readonly string[];
  /** Of a whole app or fleet, a compromise leaves it alone. */
  readonly skipped: boolean;
  /** The rotation under way, which a request joins. */
  readonly joins: string | null;
  readonly strategy: 'overlap' | 'cutover' | null;
  readonly steps: readonly PreviewStep[];
  readonly warnings: readonly string[];
}

export interface Situation {
  readonly ref: ClientRef;
  /** As the API lists it; null when it does not. */
  readonly client: ObservedClient | null;
  /** Null: not known yet. Either this or `client` is there. */
  readonly record: ClientRecord | null;
  readonly name: string;
  readonly policy: ClientPolicy & Calendar;
  /** On the store's clock. */
  readonly now: number;
  /** Somebody named this client, and not its app, its policy or all. */
  readonly isNamed: boolean;
  /** What leaked; null: nothing. */
  readonly compromised: Compromised | null;
  readonly keepStandby: boolean;
  readonly takeOver: boolean;
  readonly deployments: ReadonlyMap<string, DeploymentState>;
  /** By a person. */
  readonly pause: Pause | null;
}

const ASKED = { id: 'planned', actor: 'cli', reason: 'plan', request: null };

export function planOf(situation: Situation): ClientPlan | { readonly message: string } {
  const { ref, name, policy, now, compromised, keepStandby } = situation;
  const record = recordNow(situation);
  if (isSkipped(situation, record)) return leftAlone(situation, record, null);
  const takeOver = situation.takeOver || policy.adopt === 'take_over';
  const started = attempt(record, { ...ASKED, compromised, keepStandby, takeOver }, policy, now);
  if ('notEnrolled' in started) return leftAlone(situation, record, started.notEnrolled);
  if ('message' in started) return started;
  const steps = preview(started.record, policy, now, plannedKey);
  const due = Math.max(now, dueAt(record, policy));
  const start = compromised === null ? nextBeginning(policy, due) : now;
  return {
    client: ref,
    policy: name,
    known: situation.record !== null,
    enrolment: record.enrolment,
    state: stateOf(situation, record),
    due: whyDue(record, policy, now),
    overdue: isOverdue(record, policy, now),
    next_due: new Date(due).toISOString(),
    next_start: new Date(start).toISOString(),
    ...(compromised === null ? NO_COMPROMISE : compromiseOf(record, started.record, steps, policy)),
    skipped: false,
    joins: started.rotation === ASKED.id ? null : started.rotation,
    strategy: started.record.rotation?.strategy ?? null,
    steps,
    warnings: warningsOf(situation, started.record, steps, started.rotation === ASKED.id),
  };
}

const NO_COMPROMISE = { compromised: false, standby: null, stays: [] } as const;

/** @param after with the rotation that was asked for */
function compromiseOf(
  { standby }: ClientRecord,
  after: ClientRecord,
  steps: readonly PreviewStep[],
  policy: ClientPolicy,
): Pick<ClientPlan, 'compromised' | 'standby' | 'stays'> {
  const isKept = standby !== undefined && standby.kid !== null && standby.leaving === null;
  const isMade = steps.some(({ step }) => step === 'generate');
  const isShown = after.rotation?.format === 'jwks' && policy.foreignKeys === 'keep';
  const stays = isShown ? foreignKeys(after).map(({ jwk, ids }) => String(jwk.kid ?? ids[0] ?? 'unnamed')) : [];
  return { compromised: true, standby: isKept ? (isMade ? 'discarded' : 'used') : null, stays };
}

function recordNow({ ref, client, record, policy, now }: Situation): ClientRecord {
  if (client !== null)
    return (record === null ? found(ref, client, ASKED, now) : observed(record, client, policy, now)).record;
  if (record !== null) return record;
  throw new Error(`nothing is known of ${ref}`);
}

/** As a request does: found clients are replaced only where somebody names them, or takes them over. */
function isSkipped({ compromised, isNamed, takeOver }: Situation, record: ClientRecord): boolean {
  if (compromised === null || isNamed || takeOver || record.enrolment !== 'found') return false;
  return !('kids' in compromised && compromised.kids.some((kid) => findKey(record, kid) !== undefined));
}

const REFUSALS = ['not_found', 'not_eligible', 'under_way', 'algorithm_unsupported', 'key_destroyed'] as const;

function attempt(record: ClientRecord, asked: RotationRequest, policy: ClientPolicy, now: number) {
  try {
    return request(record, asked, policy, now);
  } catch (error) {
    if (hasCode(error, 'not_enrolled')) return { notEnrolled: error.message };
    if (REFUSALS.some((code) => hasCode(error, code))) return { message: messageOf(error) };
    throw error;
  }
}

/** A schedule does nothing for it, and a request is refused or, as part of a fleet, skips it. */
function leftAlone(situation: Situation, record: ClientRecord, why: string | null): ClientPlan {
  const { ref, name, policy, now, record: known, compromised } = situation;
  const next = new Date(Math.max(now, dueAt(record, policy))).toISOString();
  return {
    client: ref,
    policy: name,
    known: known !== null,
    enrolment: record.enrolment,
    state: stateOf(situation, record),
    due: null,
    overdue: false,
    next_due: next,
    next_start: next,
    ...NO_COMPROMISE,
    compromised: compromised !== null,
    skipped: why === null,
    joins: null,
    strategy: null,
    steps: [],
    warnings: why === null ? [] : [why],
  };
}

function stateOf({ ref, policy, now, pause, ...seen }: Situation, record: ClientRecord): ClientState {
  return clientState(record, policy, now, {
    ...holdOf(splitReference(ref).deployment, seen),
    suspended: pause !== null,
  });
}

/** @param isNew `record` holds the rotation that was asked for, and not an earlier one that it joins */
function warningsOf(
  situation: Situation,
  record: ClientRecord,
  steps: readonly PreviewStep[],
  isNew: boolean,
): string[] {
  const { ref, client, pause } = situation;
  const { deployment } = splitReference(ref);
  const halted = situation.record?.halted ?? null;
  const failure = steps.find((step) => step.step === 'fail');
  return [
    failure === undefined || client === null ? null : `It would fail at once: ${failure.why}`,
    client === null ? 'The API no longer lists this client: a PATCH would be answered with 404.' : null,
    client !== null && !isEligible(client) && failure === undefined ? refusal(client) : null,
    isNew ? noOverlap(situation, record) : null,
    foreignOnes(situation, record, steps),
    halted === null ? null : `It is halted, and a request takes it up again: ${halted}`,
    pause === null ? null : pausedBy(pause),
    holdOf(deployment, situation).paused
      ? `Deployment ${deployment} is paused, because its API key was refused: nothing is sent until it is accepted again.`
      : null,
  ].filter((warning) => warning !== null);
}

function pausedBy({ scope, actor, reason, until }: Pause): string {
  const end = until === null ? '' : ` until ${new Date(until).toISOString()}`;
  return `No scheduled rotation begins${end}: ${actor} paused ${scopeWords(scope)} (${reason}). \`rekeyd rotate\` goes through; \`rekeyd resume ${selectorOf(scope)}\` ends the pause.`;
}

function noOverlap({ policy, compromised }: Situation, { rotation }: ClientRecord): string | null {
  if (policy.strategy !== 'overlap' || compromised !== null || rotation?.strategy !== 'cutover') return null;
  const why = 'strategy cutover: a single PEM leaves no room for a second key';
  return rotation.format === 'pem' ? `${why}. Set format: jwks for an overlap.` : `${why}. Later rotations overlap.`;
}

/** Where the server accepts several keys, those that nobody rotates go on to sign in. */
function foreignOnes(
  { client, policy }: Situation,
  record: ClientRecord,
  steps: readonly PreviewStep[],
): string | null {
  const overlaps = steps.some((step) => step.step === 'patch' && step.purpose === 'publish');
  const foreign = client?.keys.filter((key) => !isKnown(record, key)).length ?? 0;
  if (policy.foreignKeys === 'retire' || !overlaps || foreign === 0) return null;
  const keys = foreign === 1 ? '1 published key was' : `${foreign} published keys were`;
  return `${keys} not made by rekeyd, and will be accepted however old. Import what the client signs with; once nobody signs with them, write foreign_keys: retire.`;
}

function refusal({ active, authMethod }: ObservedClient): string {
  if (!active) return 'The client is not active: the server would refuse the PATCH.';
  return `The client authenticates with ${authMethod}: the server takes keys only for private_key_jwt.`;
}
