/** What a proof does to the record: the new key is seen to be accepted, and an old one to be refused. */
import { advance, type Change, entry, leftAlone, putOff, relieved } from './change.ts';
import { bearRefusal, recounted, tryAgain, turnBack } from './ending.ts';
import { keyOf, withKey } from './keys.ts';
import type { Context } from './policy.ts';
import type { Verdict } from './proof.ts';
import type { ClientRecord, Retirement } from './record.ts';

/**
 * A refusal that may have another reason is believed the third time: a new key that overlaps may still be hidden by the server's cache, and many
 * servers say no more than `invalid_client` (RFC 6749 section 5.2) to an old one.
 */
const REFUSALS_BELIEVED = 3;

export function proved(
  record: ClientRecord,
  kid: string,
  expect: 'accepted' | 'refused',
  proof: Verdict,
  context: Context,
): Change {
  if (proof.verdict === 'throttled') return leftAlone(record, proof.retryAfterMs, proof.message, context);
  return expect === 'accepted' ? provedNew(record, kid, proof, context) : provedOld(record, kid, proof, context);
}

type Answered = Exclude<Verdict, { verdict: 'throttled' }>;

function provedNew(record: ClientRecord, kid: string, proof: Answered, context: Context): Change {
  const { rotation } = record;
  if (rotation === null) return { record, entries: [] };
  if (proof.verdict === 'accepted') {
    const next = withKey(advance(record, rotation, { name: 'proven', kid }), kid, { proof: 'accepted' });
    return { record: next, entries: [entry(next, 'key.proven', { kid, expected: 'accepted', verdict: 'accepted' })] };
  }
  if (proof.verdict === 'unknown') return tryAgain(record, context, noResult(kid, proof.message));
  const why = `the server refuses the new key ${kid} (${proof.status}): ${proof.message}`;
  // While the old key still works, a refusal may be a cache; after a cutover every second counts, and there is a way back.
  const patient =
    rotation.strategy === 'overlap' ? REFUSALS_BELIEVED : rotation.compromised !== null ? context.policy.attempts : 1;
  if (recounted(record, context).attempts + 1 < patient) return bearRefusal(record, context, why);
  return turnBack(record, rotation, kid, why);
}

function provedOld(record: ClientRecord, kid: string, proof: Answered, context: Context): Change {
  // A rotation under way has nothing to do with an older key: it is put off, and not given up for that.
  const later = (why: string): Change => ({ record: putOff(record, context, why), entries: [] });
  if (proof.verdict === 'accepted') return later(`the server still accepts the old key ${kid}`);
  const unsure = proof.verdict === 'unknown' || (proof.claims && record.attempts + 1 < REFUSALS_BELIEVED);
  if (unsure) return later(noResult(kid, proof.message));
  const old = record.retiring.find((leaving) => leaving.kid === kid);
  const next = refusedNow(record, old);
  return {
    record: next,
    entries: [entry(next, 'key.proven', { kid, expected: 'refused', verdict: 'refused' }, old?.rotation)],
  };
}

/**
 * The private half of an old key cannot be opened, so no assertion shows that the server refuses it. It was taken off the server, which was read back:
 * that has to do. Not at once, since a KEK that is missing may be back in a moment.
 */
export function unprovable(record: ClientRecord, kid: string, why: string, context: Context): Change {
  if (record.attempts + 1 < context.policy.attempts) return { record: putOff(record, context, why), entries: [] };
  const taken = takenUnproven(record, kid, 'refused');
  const rotation = record.retiring.find((old) => old.kid === kid)?.rotation;
  const data = { kid, expected: 'refused', verdict: 'unknown', error: why };
  return { record: taken.record, entries: [entry(taken.record, 'key.proven', data, rotation)] };
}

function noResult(kid: string, message: string): string {
  return `the proof of key ${kid} has no result: ${message}`;
}

/** Without a proof: what was read back has to do. */
export function takenUnproven(record: ClientRecord, kid: string | null, expect: 'accepted' | 'refused'): Change {
  if (expect === 'refused') {
    const ready = record.retiring.find((old) => old.kid === kid && old.kind !== 'discard' && old.phase !== 'refused');
    return { record: refusedNow(record, ready), entries: [] };
  }
  const { rotation } = record;
  if (rotation === null || kid === null) return { record, entries: [] };
  keyOf(record, kid);
  return {
    record: withKey(advance(record, rotation, { name: 'proven', kid }), kid, { proof: 'read_back' }),
    entries: [],
  };
}

function refusedNow(record: ClientRecord, gone: Retirement | undefined): ClientRecord {
  return {
    ...relieved(record),
    retiring: record.retiring.map((old) =>
      old === gone && old.kind !== 'discard' ? { ...old, phase: 'refused' as const } : old,
    ),
  };
}
