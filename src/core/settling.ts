/**
 * What a person decides about drift ({@link ./drift.ts}). `accept`: what the server shows is right. `repair`: what rekeyd publishes is right. Until the next
 * rotation each undoes the other.
 */
import { RekeydError } from '../errors.ts';
import { resumed } from './begin.ts';
import { foreignKeys } from './desired.ts';
import type { PublishedKey } from './document.ts';
import { addedKeys, type DriftKind, kindsOf, type Settled, withoutDrift } from './drift.ts';
import type { Cause } from './history.ts';
import { activeKey, remember, wasReported } from './keys.ts';
import { nameOf } from './naming-foreign.ts';
import type { Context } from './policy.ts';
import { hasDrifted } from './publication.ts';
import type { ClientRecord } from './record.ts';
import { leftAlone } from './release.ts';
import {
  nothingOfOurs,
  refusal,
  refuseForeignAddress,
  refuseLosses,
  refuseWhileChanging,
  refuseWhileUnsure,
  showsOurs,
} from './settling-checks.ts';
import { shownNames } from './shown.ts';
import { entry, type Transition } from './transition.ts';
import { NO_TRIES } from './tries.ts';

type Time = Pick<Context, 'policy' | 'now'>;

/** A decision. `done` is null where there was nothing to decide: the record then stays the same object. */
export interface Settling extends Transition {
  readonly done: 'known' | 'left' | 'found' | 'restoring' | 'repairing' | null;
}

const NOTHING = { entries: [], done: null } as const;

/** About foreign keys alone: that can be accepted whatever is under way. */
const ASIDE: ReadonlySet<DriftKind> = new Set(['foreign_added', 'foreign_changed', 'foreign_removed']);

/**
 * What the server shows becomes what is known. Foreign keys are kept as such. Where our active key is not in use there any more, the client becomes a found one:
 * nothing is done to it, and its keys are set aside.
 * @param record has just seen the server
 * @throws RekeydError `under_way`; `not_eligible` where a foreign key that a repair dropped cannot be put back
 */
export function accept(record: ClientRecord, cause: Cause, { policy, now }: Time): Settling {
  const { drift, settled } = record;
  refuseWhileUnsure(record);
  if (drift === undefined) {
    return settled?.did === 'repaired' && settled.dropped.length > 0
      ? putBack(record, settled.dropped, cause)
      : { record, ...NOTHING };
  }
  const next = withoutDrift(record.rotation === null ? resumed(record) : record);
  const what = kindsOf(drift);
  const isAside = what.every((kind) => ASIDE.has(kind)) && showsOurs(record, policy);
  if (isAside || what.includes('vanished')) {
    return told(next, cause, 'drift.accepted', { what, from: record.enrolment, to: record.enrolment }, 'known');
  }
  refuseWhileChanging(record);
  const kept = { enrolment: record.enrolment, server: serverFacts(record), delivered: record.signers.delivered };
  const settling = { did: 'accepted', at: now, ...kept } as const;
  if (showsOurs(record, policy)) {
    const server = { ...next.server, confirmedAt: hasDrifted(next, policy) ? null : next.server.confirmedAt };
    const known: ClientRecord = { ...next, server, settled: { ...settling, keys: [] } };
    return told(known, cause, 'drift.accepted', { what, from: record.enrolment, to: record.enrolment }, 'left');
  }
  const { client } = record.server.observed;
  const { standby } = next;
  const found: ClientRecord = {
    ...leftAlone(next),
    settled: { ...settling, keys: record.keys, ...(standby !== undefined && { standby }) },
  };
  const kids = record.keys.map(({ kid }) => kid);
  const change = told(found, cause, 'drift.accepted', { what, from: record.enrolment, to: 'found', kids }, 'found');
  // As of every client that becomes one: who reads the log for keys, or for clients to take care of, need not know of drift.
  const data = { client_id: client.clientId, alg: client.alg, ...shownNames(client), kids };
  return { ...change, entries: [...change.entries, entry(found, { id: null, ...cause }, 'client.found', data)] };
}

/**
 * Our document is published again, by the loop that publishes everything.
 * @param drop kids, or ids, of foreign keys that are to go
 * @throws RekeydError `under_way`; `not_found` (a key to drop); `not_enrolled`; `key_invalid`; `not_eligible` where that would take a foreign key away that a person
 * has not given up, or would change nothing
 */
export function repair(
  record: ClientRecord,
  { cause, drop }: { readonly cause: Cause; readonly drop: readonly string[] },
  { policy, now }: Time,
): Settling {
  refuseWhileUnsure(record);
  const { ref, drift } = record;
  if (!record.server.observed.client.active) {
    throw refusal(
      `${ref}: the server does not list it as active, so there is nothing to put right. Its keys are kept. Activate it at the server; or \`rekeyd drift accept ${ref}\` if it is meant to be gone.`,
    );
  }
  refuseWhileChanging(record, 'repaired');
  const ours = withOurs(record);
  const added = addedKeys(ours);
  const dropped = droppedKeys(ours, drop, policy.foreignKeys === 'retire' ? added : []);
  if (ours.drift === undefined && ours === record && dropped.length === 0) return { record, ...NOTHING };
  const { restores: __, ...calm } = resumed(ours);
  const without = remember(
    calm,
    dropped.flatMap((key) => key.ids.map((id) => ({ id, kid: nameOf(key), at: now, compromised: false }))),
  );
  const confirmedAt = without.server.confirmedAt ?? now;
  const next: ClientRecord = {
    ...without,
    server: { ...without.server, confirmedAt },
    settled: { did: 'repaired', at: now, dropped },
  };
  refuseForeignAddress(next, policy);
  refuseLosses(next, policy);
  if (!hasDrifted(next, policy)) throw nothingOfOurs(ref, drift, added);
  const data = { what: kindsOf(drift), dropped: dropped.map(nameOf), from: record.enrolment, to: next.enrolment };
  return told(next, cause, 'drift.repairing', data, 'repairing');
}

/** Undoes a repair: the foreign keys that it dropped are published again, beside ours. */
function putBack(record: ClientRecord, dropped: readonly PublishedKey[], cause: Cause): Settling {
  const { ref, server, former } = record;
  refuseWhileChanging(record);
  if (server.format !== 'jwks') {
    throw refusal(
      `${ref}: its format ${server.format} holds no key beside ours, so what the repair dropped cannot be put back by rekeyd. Publish it by hand: ${JSON.stringify(dropped.map(({ jwk }) => jwk))}`,
    );
  }
  const { settled: _, ...others } = record;
  const isBack = (id: string) => dropped.some(({ ids }) => ids.includes(id));
  const next: ClientRecord = {
    ...others,
    former: former.filter(({ id, compromised }) => compromised || !isBack(id)),
    restores: dropped,
  };
  return told(next, cause, 'drift.accepted', { what: ['foreign_removed'], restores: dropped.map(nameOf) }, 'restoring');
}

/** Undoes an acceptance: the keys that were set aside are the client's again. */
function withOurs(record: ClientRecord): ClientRecord {
  const { ref, settled } = record;
  const isAside = settled?.did === 'accepted' && settled.keys.length > 0 && record.keys.length === 0;
  if (activeKey(record) === undefined && !isAside) {
    throw new RekeydError(
      'not_enrolled',
      `${ref} is found: its active key is not ours, so there is no document of ours to put back. \`rekeyd keys import\` or \`rekeyd rotate ${ref} --take-over\` make it ours.`,
    );
  }
  const isKept = settled?.did === 'accepted' && settled.keys.length === 0;
  const back = isAside || isKept ? restoredFrom(record, settled) : record;
  const active = activeKey(back);
  if (active !== undefined && wasReported(back, active)) {
    throw new RekeydError(
      'key_invalid',
      `${ref}: key ${active.kid} was reported as compromised and is not put back. \`rekeyd rotate ${ref} --compromised\` replaces what the server shows.`,
    );
  }
  return back;
}

function restoredFrom(record: ClientRecord, settled: Settled & { readonly did: 'accepted' }): ClientRecord {
  const { keys, enrolment, server, delivered, standby } = settled;
  const { released: _, ...given } = record;
  const known = { ...given, server: { ...record.server, ...server } };
  if (keys.length === 0) return known;
  const signers = { delivered, tries: NO_TRIES };
  return { ...known, keys, enrolment, signers, ...(standby !== undefined && { standby }) };
}

function droppedKeys(
  record: ClientRecord,
  named: readonly string[],
  also: readonly PublishedKey[],
): readonly PublishedKey[] {
  const foreign = foreignKeys(record);
  const meant = named.map((name) => {
    const key = foreign.find(({ jwk, ids }) => jwk.kid === name || ids.includes(name));
    if (key !== undefined && key.ids.length > 0) return key;
    const shown = foreign.map(nameOf).join(', ') || 'none';
    const why =
      key === undefined
        ? `shows no foreign key ${name} (it shows: ${shown})`
        : `shows ${name} in a form that nobody can read as a key, so rekeyd cannot tell it apart: take it away by hand`;
    throw new RekeydError('not_found', `${record.ref} ${why}. Nothing was changed.`);
  });
  return [...new Set([...meant, ...also.filter(({ ids }) => ids.length > 0)])];
}

function serverFacts({ server: { format, confirmedAt } }: ClientRecord) {
  return { format, confirmedAt };
}

function told(
  record: ClientRecord,
  cause: Cause,
  type: 'drift.accepted' | 'drift.repairing',
  data: Parameters<typeof entry>[3],
  done: Settling['done'],
): Settling {
  return { record, entries: [entry(record, { id: null, ...cause }, type, data)], done };
}
