/**
 * Records as version 0.1 wrote them, read as records of today. They are written anew with their next commit; rotations that ended, which stood in the
 * record, go to the list beside it with that same commit.
 */
import type { ClientRef } from '../core/client.ts';
import type { KeyDocument, ObservedClient, PatchBody, PublicJwk } from '../core/document.ts';
import type { Cause, RotationSummary } from '../core/history.ts';
import type { FormerKey, ManagedKey } from '../core/keys.ts';
import type { ClientRecord, Enrolment } from '../core/record.ts';
import { type Retirement, retire } from '../core/retirement.ts';
import { incomingKid, inPhase, type Rotation } from '../core/rotation.ts';
import type { Delivery } from '../core/signers.ts';
import { NO_TRIES, type Tries } from '../core/tries.ts';
import { pemKeyId, publishedKey } from '../keys/key-id.ts';

interface OldKey extends Omit<ManagedKey, 'id' | 'state'> {
  readonly state: ManagedKey['state'] | 'destroyed';
  readonly destroyedAt: number | null;
}

type OldClient = Omit<ObservedClient, 'keys'> & { readonly keys: readonly PublicJwk[] };

interface OldRotation
  extends Cause,
    Pick<Rotation, 'id' | 'startedAt' | 'alg' | 'format' | 'compromised' | 'strategy' | 'phase'> {
  readonly before: OldClient;
  readonly sent?: true;
}

interface OldRetirement {
  readonly kind: 'overlap' | 'cutover' | 'discard';
  readonly kid: string | null;
  readonly rotation: string;
  readonly phase?: 'waiting' | 'withdrawing' | 'withdrawn' | 'refused';
  readonly until?: number;
}

interface OldRecord {
  readonly v: 1;
  readonly ref: ClientRef;
  readonly clientId: string;
  readonly adoptedAt: number;
  readonly keys: readonly OldKey[];
  readonly observed: { readonly client: OldClient; readonly at: number };
  readonly format: ClientRecord['server']['format'];
  readonly published: object | null;
  readonly served: readonly PublicJwk[] | null;
  readonly dropped?: readonly PublicJwk[];
  readonly inFlight: { readonly document: PatchBody; readonly deadline: number; readonly again: boolean } | null;
  readonly delivered: Delivery | null;
  readonly rotation: OldRotation | null;
  readonly retiring: readonly OldRetirement[];
  readonly history: readonly Omit<RotationSummary, 'marks'>[];
  readonly attempts: number;
  readonly conflicts: number;
  readonly notBefore: number;
  readonly lastError: string | null;
  readonly halted: string | null;
}

export interface Upgraded {
  readonly record: ClientRecord;
  /** Oldest first. */
  readonly carried: readonly RotationSummary[];
}

/** @param stored only this project writes it, in one of the two versions */
export function upgradedRecord(stored: ClientRecord | OldRecord): Upgraded {
  return stored.v === 2 ? { record: stored, carried: [] } : upgrade(stored);
}

function upgrade(old: OldRecord): Upgraded {
  const tries: Tries = { failed: old.attempts, refused: 0, notBefore: old.notBefore, error: old.lastError };
  const client = observedClient(old.observed.client);
  const record: ClientRecord = {
    v: 2,
    ref: old.ref,
    clientId: old.clientId,
    foundAt: old.adoptedAt,
    enrolment: enrolmentOf(old),
    keys: old.keys.flatMap(managedKey),
    former: [...old.keys.flatMap(formerKey), ...(old.dropped ?? []).flatMap((jwk) => droppedKey(jwk, old.observed.at))],
    rotation: old.rotation === null ? null : rotationOf(old, old.rotation, tries),
    retirements: [],
    server: {
      observed: { client, at: old.observed.at },
      format: old.format,
      confirmedAt: old.published === null ? null : old.observed.at,
      served: old.served,
      inFlight:
        old.inFlight === null ? null : { ...old.inFlight, document: documentOf(old.inFlight.document), isFirst: false },
      conflicts: old.conflicts,
      tries: old.rotation === null && old.retiring.length === 0 ? tries : NO_TRIES,
    },
    signers: { delivered: old.delivered, tries: NO_TRIES },
    failure: old.history[0]?.error ?? null,
    halted: old.halted,
  };
  const retirements = old.retiring.map((leaving, index) =>
    retirementOf(leaving, old, record, old.rotation === null && index === 0 ? tries : NO_TRIES),
  );
  const ended = old.history.filter(
    ({ id, state }) => id !== old.rotation?.id && state !== 'running' && state !== 'active',
  );
  const carried = ended.map((summary) => ({ ...summary, marks: [] })).reverse();
  return withoutLockout({ ...record, retirements }, carried, old);
}

/**
 * An application takes its key from us when it signs with one that we made: else it could not sign in any more. Version 0.1 rotated clients on schedule
 * without knowing that; what was sent cannot be unsent, and goes on.
 */
function enrolmentOf({ keys, rotation, inFlight }: OldRecord): Enrolment {
  const active = keys.find(({ state }) => state === 'active');
  const isOurs = active !== undefined && active.proof !== null;
  const isCutOver = rotation?.phase.name === 'cut_over' || (rotation?.strategy === 'cutover' && inFlight !== null);
  const isAsked = rotation !== null && !rotation.actor.startsWith('schedule:');
  if (isOurs || isCutOver || isAsked || rotation?.phase.name === 'proven') return 'enrolled';
  return active === undefined ? 'found' : 'held';
}

/** A rotation that a schedule began for an application which may still sign with a key of its own ends here. */
function withoutLockout(record: ClientRecord, carried: readonly RotationSummary[], old: OldRecord): Upgraded {
  const { rotation } = record;
  if (rotation === null || record.enrolment === 'enrolled') return { record, carried };
  const why =
    'begun by version 0.1 for a client that is not enrolled: its application may not take its key from rekeyd';
  const kid = incomingKid(rotation);
  if (kid !== null && rotation.before !== null) {
    return { record: { ...record, rotation: inPhase(rotation, { name: 'reverting', kid, why }) }, carried };
  }
  const summary = summaryOf(old, rotation.id);
  const key = record.keys.find((one) => one.kid === kid);
  const how = { role: 'discarded', phase: 'refused', until: 0, rotation: summary } as const;
  const retirements = key === undefined ? record.retirements : [...record.retirements, retire(record, key, how)];
  const ended = { ...summary, state: 'failed' as const, endedAt: old.observed.at, error: why };
  return { record: { ...record, rotation: null, retirements }, carried: [...carried, ended] };
}

function observedClient(client: OldClient): ObservedClient {
  return { ...client, keys: client.keys.map(publishedKey) };
}

function managedKey({ destroyedAt: _, state, ...key }: OldKey): ManagedKey[] {
  return state === 'destroyed' ? [] : [{ ...key, state, id: idOf(key) }];
}

function formerKey(key: OldKey): FormerKey[] {
  if (key.state !== 'destroyed') return [];
  return [{ id: idOf(key), kid: key.kid, at: key.destroyedAt ?? key.createdAt, compromised: false }];
}

function idOf({ pem, kid }: { readonly pem: string; readonly kid: string }): string {
  const id = pemKeyId(pem);
  if (id === null) throw new Error(`the public half of key ${kid} cannot be read`);
  return id;
}

/** A foreign key that was dropped was not to be published again. */
function droppedKey(jwk: PublicJwk, at: number): FormerKey[] {
  return publishedKey(jwk).ids.map((id) => ({ id, kid: String(jwk.kid ?? id), at, compromised: true }));
}

function rotationOf(old: OldRecord, rotation: OldRotation, tries: Tries): Rotation {
  const { before, sent, ...same } = rotation;
  const { name } = rotation.phase;
  const wasSent =
    sent === true ||
    (name === 'delivered' && old.inFlight !== null) ||
    !['requested', 'stored', 'delivered'].includes(name);
  const { alg, jwksUri, keys } = observedClient(before);
  return {
    ...same,
    before: wasSent ? { alg, jwksUri, keys, sentAt: old.observed.at } : null,
    foreignKeys: 'keep',
    keysMade: name === 'requested' ? 0 : 1,
    abandoned: null,
    marks: [],
    tries,
  } as Rotation; // phase and strategy belong together, as they did before
}

function documentOf({
  jwks,
  public_key_pem: pem,
  jwks_uri: uri,
  token_endpoint_auth_signing_alg: alg,
}: PatchBody): KeyDocument {
  if (pem !== undefined) return { alg, format: 'pem', pem, id: pemKeyId(pem) ?? '' };
  if (uri !== undefined) return { alg, format: 'jwks_uri', uri };
  return { alg, format: 'jwks', keys: (jwks?.keys ?? []).map(publishedKey) };
}

function retirementOf(leaving: OldRetirement, old: OldRecord, record: ClientRecord, tries: Tries): Retirement {
  const { kid, kind, until = 0 } = leaving;
  const key = record.keys.find((one) => one.kid === kid);
  const rotation = summaryOf(old, leaving.rotation);
  const role = kind === 'discard' ? ('discarded' as const) : ('replaced' as const);
  const made = retire(record, key, { role, phase: phaseOf(leaving, old, key), until, rotation });
  return { ...made, kid, tries };
}

function phaseOf(
  { kind, phase, rotation }: OldRetirement,
  old: OldRecord,
  key: ManagedKey | undefined,
): Retirement['phase'] {
  if (kind === 'overlap') return phase === 'waiting' || phase === undefined ? 'overlap' : phase;
  if (kind === 'cutover') return phase === 'refused' ? 'refused' : 'withdrawn';
  const wasRolledBack = old.history.some(({ id, state }) => id === rotation && state === 'rolled_back');
  if (key?.publishedAt == null && !wasRolledBack) return 'refused';
  return rotation === old.rotation?.id ? 'withdrawing' : 'withdrawn';
}

function summaryOf(old: OldRecord, id: string): RotationSummary {
  const known = old.history.find((summary) => summary.id === id);
  if (known !== undefined) return { ...known, marks: [] };
  return {
    id,
    actor: 'rekeyd',
    reason: 'not known any more',
    request: null,
    state: 'active',
    strategy: 'cutover',
    kid: null,
    replaces: null,
    startedAt: old.adoptedAt,
    activeAt: null,
    endedAt: null,
    error: null,
    marks: [],
  };
}
