/** How a rotation starts, is joined, or becomes urgent. */
import { RekeydError } from '../errors.ts';
import type { AuditData, AuditDraft } from './audit.ts';
import { asAsked, type Change, entry, relieved, summarize } from './change.ts';
import { activate, discardIncoming } from './ending.ts';
import { activeKey, incomingKid, keyOf, letGo, withKey } from './keys.ts';
import type { ClientPolicy } from './policy.ts';
import { samePublicKey } from './public-key.ts';
import type { Cause, ClientRecord, CutoverRotation, KeyState, Rotation, RotationSummary } from './record.ts';

export interface RotationRequest extends Cause {
  /** The id of the rotation, should this request start one. */
  readonly id: string;
  readonly compromised: { readonly kid: string | null } | null;
}

export interface Started extends Change {
  /** The rotation that answers the request: a new one, or the one already under way. */
  readonly rotation: string;
}

/**
 * Starts a rotation, joins the one under way, or takes a halted one up again. A hundred requests at once are one rotation. Where nothing changes, the
 * record stays the same object; the entry then tells who asked.
 * @throws RekeydError `not_found` when a compromised kid is unknown to this client
 */
export function request(record: ClientRecord, asked: RotationRequest, policy: ClientPolicy, now: number): Started {
  // The same request again, because its first answer was lost.
  if (record.history.some((summary) => summary.id === asked.id)) return { record, entries: [], rotation: asked.id };
  if (asked.compromised !== null) return compromise(record, asked, asked.compromised, policy, now);
  const resumed = record.halted === null ? record : { ...relieved(record), halted: null, conflicts: 0 };
  const { rotation } = resumed;
  if (rotation === null) return start(resumed, asked, policy, now);
  const joined = record.halted === null ? record : summarize(resumed, rotation.id, { state: 'running', error: null });
  const data = { ...exposed(asked), joins: rotation.id };
  return { record: joined, entries: [requested(joined, data, rotation.id, asked)], rotation: rotation.id };
}

function start(record: ClientRecord, asked: RotationRequest, policy: ClientPolicy, now: number): Started {
  const base = {
    id: asked.id,
    actor: asked.actor,
    reason: asked.reason,
    request: asked.request,
    startedAt: now,
    alg: policy.alg,
    format: policy.format,
    compromised: asked.compromised,
    before: record.observed.client,
    phase: { name: 'requested' as const },
  };
  const strategy = chooseStrategy(record, policy, asked);
  const rotation: Rotation = strategy === 'overlap' ? { ...base, strategy } : { ...base, strategy };
  const replaces = activeKey(record)?.kid ?? null;
  const summary: RotationSummary = {
    id: asked.id,
    actor: asked.actor,
    reason: asked.reason,
    request: asked.request,
    state: 'running',
    strategy,
    kid: null,
    replaces,
    startedAt: now,
    activeAt: null,
    endedAt: null,
    error: null,
  };
  const next: ClientRecord = { ...relieved(record), conflicts: 0, rotation, history: [summary, ...record.history] };
  const trimmed = summarize(next, asked.id, {});
  return {
    record: trimmed,
    entries: [
      requested(trimmed, exposed(asked), asked.id, asked),
      entry(trimmed, 'rotation.started', { strategy, alg: policy.alg, format: policy.format, replaces }),
    ],
    rotation: asked.id,
  };
}

function requested(record: ClientRecord, data: AuditData, rotation: string, asked: Cause): AuditDraft {
  return asAsked(asked, entry(record, 'rotation.requested', data, rotation));
}

function exposed({ compromised }: RotationRequest): AuditData {
  return compromised === null ? { compromised: false } : { compromised: true, kid: compromised.kid };
}

function exposure(record: ClientRecord, kid: string, from: KeyState, rotation: string, asked: Cause): AuditDraft {
  return asAsked(asked, entry(record, 'key.compromised', { kid, from, to: 'compromised' }, rotation));
}

/** An overlap needs a server that is known to take several keys, and time: a single PEM, a compromise or doubt mean a cutover. */
function chooseStrategy(record: ClientRecord, policy: ClientPolicy, asked: RotationRequest): 'overlap' | 'cutover' {
  if (asked.compromised !== null || policy.format === 'pem' || policy.strategy !== 'overlap') return 'cutover';
  // Leaving a single PEM behind replaces it: there is nothing to overlap with.
  return record.format === 'pem' ? 'cutover' : 'overlap';
}

function compromise(
  record: ClientRecord,
  asked: RotationRequest,
  { kid }: { readonly kid: string | null },
  policy: ClientPolicy,
  now: number,
): Started {
  // Keys of others were the ones in use where none of ours is. No rotation brings them back.
  const named = kid === null ? [] : record.foreign.filter((key) => key.kid === kid);
  const left = letGo(record, (key) =>
    kid === null ? activeKey(record) === undefined : named.some((gone) => samePublicKey(gone, key)),
  );
  // Nothing that the exposed key stood beside may wait out an overlap.
  const hurried: ClientRecord = {
    ...relieved(left),
    halted: null,
    conflicts: 0,
    retiring: record.retiring.map((old) =>
      old.kind === 'discard' ? old : { ...old, until: Math.min(old.until, now) },
    ),
  };
  const leaving = kid === null ? undefined : record.retiring.find((old) => old.kid === kid);
  if (leaving !== undefined && kid !== null) {
    const from = keyOf(record, kid).state;
    const marked = withKey(hurried, kid, { state: 'compromised' });
    const told = requested(marked, { ...exposed(asked), joins: leaving.rotation }, leaving.rotation, asked);
    const entries = from === 'compromised' ? [told] : [told, exposure(marked, kid, from, leaving.rotation, asked)];
    return { record: marked, entries, rotation: leaving.rotation };
  }
  const { rotation } = hurried;
  const known = kid === null || activeKey(record)?.kid === kid || incomingKid(rotation) === kid;
  if (!known && ![...record.foreign, ...(record.dropped ?? [])].some((key) => key.kid === kid)) {
    throw new RekeydError(
      'not_found',
      `${record.ref} has no key ${kid}. \`rekeyd status ${record.ref}\` lists its keys; without a kid, the one in use is replaced.`,
    );
  }
  if (rotation === null) return start(hurried, asked, policy, now);
  if (rotation.phase.name === 'proven' && rotation.strategy === 'cutover' && isExposed(rotation, kid)) {
    // The server takes nothing else, and signers may hold it as theirs already: it is the one in use.
    const done = activate(hurried, rotation, rotation.phase.kid, { policy, now });
    const next = start(done.record, asked, policy, now);
    return { ...next, entries: [...done.entries, ...next.entries] };
  }
  return { ...escalate(hurried, rotation, asked, record.halted !== null), rotation: rotation.id };
}

/**
 * True when the new key is meant: by its name, or as the one in use, which it is for signers that have it already. Somebody who has reported the key in
 * use before its rotation came that far does not mean the new one.
 */
function isExposed({ phase, compromised }: Rotation, kid: string | null): boolean {
  if (phase.name === 'requested') return false;
  return kid === null ? phase.name === 'proven' && compromised === null : phase.kid === kid;
}

/**
 * A rotation under way becomes a cutover without waits. A new key that is itself exposed, is being taken back or got the client halted is thrown
 * away for another.
 */
function escalate(record: ClientRecord, rotation: Rotation, asked: RotationRequest, wasHalted: boolean): Change {
  const incoming = incomingKid(rotation);
  const isMeant = incoming !== null && isExposed(rotation, asked.compromised?.kid ?? null);
  const discard = isMeant || (incoming !== null && (rotation.phase.name === 'reverting' || wasHalted));
  const marked = isMeant ? withKey(record, incoming, { state: 'compromised' }) : record;
  const next: Rotation = {
    ...rotation,
    strategy: 'cutover',
    compromised: asked.compromised,
    phase: discard ? { name: 'requested' } : withoutOverlap(rotation),
  };
  const hastened = summarize(
    { ...(discard ? discardIncoming(marked, rotation) : marked), rotation: next },
    rotation.id,
    { state: 'running', strategy: 'cutover', error: null },
  );
  const told = requested(hastened, { ...exposed(asked), escalates: rotation.id }, rotation.id, asked);
  if (!isMeant) return { record: hastened, entries: [told] };
  const from = keyOf(record, incoming).state;
  return { record: hastened, entries: [told, exposure(hastened, incoming, from, rotation.id, asked)] };
}

/**
 * Where an overlap published both keys, the cutover has yet to take the old one away; where a cutover left a key of others that is reported now, that
 * one. One that is proven takes it away when signers have the new key: they would be sent back otherwise.
 */
function withoutOverlap(rotation: Rotation): CutoverRotation['phase'] {
  const { strategy, phase } = rotation;
  if (phase.name === 'published' || phase.name === 'cut_over') return { name: 'delivered', kid: phase.kid };
  return strategy === 'overlap' && phase.name === 'proven' ? { name: 'delivered', kid: phase.kid } : phase;
}
