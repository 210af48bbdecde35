/** How a rotation starts. */
import { RekeydError } from '../errors.ts';
import type { AuditData, AuditDraft } from './audit.ts';
import type { Format } from './document.ts';
import { takesSeveral } from './findings.ts';
import type { Cause } from './history.ts';
import { type Algorithm, activeKey } from './keys.ts';
import { chosenAlg, foreignLost, presentAlg, presentFormat, showsOwnAddress } from './obstacle.ts';
import type { ClientPolicy } from './policy.ts';
import { isSafeFormat, safeAlg } from './possible.ts';
import type { ClientRecord } from './record.ts';
import type { Rotation } from './rotation.ts';
import { entry, type Transition } from './transition.ts';
import { NO_TRIES } from './tries.ts';
import type { WaveRef } from './wave.ts';

/** The key that may have leaked: its `kid`, or null for the one in use. `kids`: all of these keys, as far as the client still has them. */
export type Compromised = { readonly kid: string | null } | { readonly kids: readonly string[] };

export interface RotationRequest extends Cause {
  /** The id of the rotation, should this request start one. */
  readonly id: string;
  /** What may have leaked. */
  readonly compromised: Compromised | null;
  /** When it was asked for, ms since the Unix epoch: it may have waited in its queue. Absent: just now. */
  readonly askedAt?: number;
  /** Rotate a client also where its application was not seen to take its key from us. */
  readonly takeOver: boolean;
  /** The wave of the sweep that asks. */
  readonly wave?: WaveRef;
  /** After a compromise: use the standby key also where signers hold it beside the exposed one. */
  readonly keepStandby?: boolean;
  /** Try an alg that nobody was seen to sign in with. */
  readonly tryAlg?: boolean;
}

export interface Started extends Transition {
  /** The rotation that answers the request: a new one, or the one already under way. */
  readonly rotation: string;
}

/**
 * @param adopting its key is offered to the application, and does not take over by itself
 * @throws RekeydError `algorithm_unsupported`
 */
export function start(
  record: ClientRecord,
  asked: RotationRequest,
  policy: ClientPolicy,
  now: number,
  adopting = false,
): Started {
  const { alg, format } = asked.compromised === null ? wantedForm(record, policy) : safeForm(record, policy);
  if (alg === null) {
    throw new RekeydError(
      'algorithm_unsupported',
      `${record.ref} is registered with alg ${JSON.stringify(presentAlg(record))}, which rekeyd makes no keys for. Name another alg in its policy.`,
    );
  }
  const strategy = chooseStrategy(record, policy, { alg, format }, asked);
  const rotation = newRotation(asked, { alg, format, strategy }, policy, now, adopting);
  const next: ClientRecord = { ...record, rotation };
  const replaces = activeKey(record)?.kid ?? null;
  return {
    record: next,
    entries: [
      requested(next, exposed(asked), asked.id, asked),
      entry(next, rotation, 'rotation.started', {
        strategy,
        alg,
        format,
        replaces,
        ...(adopting && { adopting }),
      }),
    ],
    rotation: asked.id,
  };
}

export function newRotation(
  { id, actor, reason, request, claimedBy, compromised, askedAt, wave, tryAlg, keepStandby }: RotationRequest,
  { strategy, ...chosen }: Pick<Rotation, 'alg' | 'format' | 'strategy'>,
  { foreignKeys }: Pick<ClientPolicy, 'foreignKeys'>,
  now: number,
  adopting = false,
): Rotation {
  const base = {
    id,
    actor,
    reason,
    request,
    ...(claimedBy !== undefined && { claimedBy }),
    startedAt: now,
    ...chosen,
    foreignKeys,
    compromised: compromised === null ? null : reportOf(compromised, askedAt, now),
    before: null,
    keysMade: 0,
    abandoned: null,
    marks: [],
    tries: NO_TRIES,
    ...(wave !== undefined && { wave }),
    ...(adopting && { adopting }),
    ...(tryAlg === true && { tryAlg }),
    ...(keepStandby === true && { keepStandby }),
    phase: { name: 'requested' as const },
  };
  return strategy === 'overlap' ? { ...base, strategy } : { ...base, strategy };
}

/** What a new key signs, and how it is published. `alg` null: rekeyd makes no keys for the alg of this client. */
interface Form {
  readonly alg: Algorithm | null;
  readonly format: Format;
}

function wantedForm(record: ClientRecord, policy: ClientPolicy): Form {
  const format = policy.format === 'keep' ? presentFormat(record) : policy.format;
  return { alg: chosenAlg(record, policy), format };
}

/** After a compromise: what the policy asks for as far as that is safe for everybody who signs in, else the present form. */
export function safeForm(record: ClientRecord, policy: ClientPolicy): Form {
  const present = presentForm(record, policy);
  const alg = chosenAlg(record, policy);
  return {
    alg: alg === null ? null : safeAlg(alg, present.alg, policy),
    format: policy.format !== 'keep' && isSafe(record, policy.format, policy) ? policy.format : present.format,
  };
}

/** Nobody was refused with a key in that format, and it takes away no foreign key that is to stay. */
function isSafe(record: ClientRecord, format: Format, policy: ClientPolicy): boolean {
  return isSafeFormat(format, policy) && (policy.foreignKeys === 'retire' || foreignLost(record, format) === 0);
}

/** The form of the key in use. A leaked key goes also where its form cannot be kept: from an address of the client's own. */
export function presentForm(record: ClientRecord, policy: ClientPolicy): Form {
  const format = showsOwnAddress(record, policy) ? 'jwks' : presentFormat(record);
  return { alg: chosenAlg(record, { alg: 'keep' }), format };
}

/** An overlap needs a server that is known to take several keys, and time: a single PEM, a compromise or doubt mean a cutover. */
export function chooseStrategy(
  record: ClientRecord,
  policy: ClientPolicy,
  { alg, format }: Pick<Rotation, 'alg' | 'format'>,
  asked: Pick<RotationRequest, 'compromised'>,
): 'overlap' | 'cutover' {
  if (asked.compromised !== null || format === 'pem' || policy.strategy === 'cutover') return 'cutover';
  // Somebody wrote `overlap`: where it cannot be had, the rotation fails and says so.
  const { embedPem, facts } = policy;
  const isSafe = alg === presentAlg(record) && takesSeveral(facts, { format, embedPem });
  if (policy.strategy === 'auto' && !isSafe) return 'cutover';
  // Leaving a single PEM behind replaces it: there is nothing to overlap with.
  return presentFormat(record) === 'pem' ? 'cutover' : 'overlap';
}

/** In the words of the one who asked, also where another rotation is under way. */
export function requested(record: ClientRecord, data: AuditData, rotation: string, asked: Cause): AuditDraft {
  return entry(record, { ...asked, id: rotation }, 'rotation.requested', data);
}

export function exposed({ compromised }: RotationRequest): AuditData {
  if (compromised === null) return { compromised: false };
  return 'kids' in compromised ? { compromised: true, kids: compromised.kids } : { compromised: true, ...compromised };
}

/** @param askedAt by the clock of the one who asked, which may be wrong */
export function reportOf(compromised: Compromised, askedAt: number | undefined, now: number) {
  const at = askedAt !== undefined && askedAt <= now ? askedAt : now; // NaN is not before now either
  return { kid: 'kid' in compromised ? compromised.kid : null, at };
}

/** Somebody asks to go on, whatever failed before. */
export function resumed(record: ClientRecord): ClientRecord {
  const { rotation, server, signers } = record;
  return {
    ...record,
    halted: null,
    rotation: rotation === null ? null : { ...rotation, tries: NO_TRIES },
    server: { ...server, conflicts: 0, tries: NO_TRIES },
    signers: { ...signers, tries: NO_TRIES },
  };
}
