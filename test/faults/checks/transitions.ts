/** What a step from one record to the next owes the audit log: one entry for each transition, no more and no fewer. */
import type { StoredEnd, StoredRecord } from '../evidence/evidence.ts';

export interface Draft {
  readonly type: string;
  readonly rotation: string | null;
  readonly data: { readonly [name: string]: unknown };
}

/** A commit, as far as it is accounted for. */
export interface Change {
  /** Null: the client was not known. */
  readonly before: StoredRecord | null;
  readonly after: StoredRecord;
  readonly ended: readonly StoredEnd[];
  readonly drafts: readonly Draft[];
}

/** Null: the key is not in the record. `generated`: it is there in half. */
type State = string | null;

/** Each entry about a key leads from some states to another. What is missing here must not happen. */
const OF_KEYS: Readonly<Record<string, { readonly from: readonly State[]; readonly to: State }>> = {
  'key.generated': { from: [null], to: 'generated' },
  'key.stored': { from: ['generated'], to: 'pre-active' },
  'key.imported': { from: [null], to: 'active' },
  // Out of `deactivated`: one that was put back.
  'key.activated': { from: ['pre-active', 'deactivated'], to: 'active' },
  'key.deactivated': { from: ['active'], to: 'deactivated' },
  'key.compromised': { from: ['pre-active', 'active', 'deactivated'], to: 'compromised' },
  'key.destroyed': { from: ['pre-active', 'deactivated', 'compromised'], to: null },
};

const OF_ENROLMENT: Readonly<Record<string, { readonly from: readonly State[]; readonly to: State }>> = {
  // Also again, where a store told what was, and where it did not take the key that was offered to it.
  'client.found': { from: [null, 'found', 'held', 'enrolled'], to: 'found' },
  'client.held': { from: ['found'], to: 'held' },
  'client.enrolled': { from: ['found', 'held'], to: 'enrolled' },
  'client.released': { from: ['held', 'enrolled'], to: 'found' },
};

const OF_ENDS: Readonly<Record<string, string>> = {
  finished: 'rotation.completed',
  failed: 'rotation.failed',
  rolled_back: 'rotation.rolled_back',
};

/** Entries that something else owes, as `type subject`. */
const OWED = new Set([
  ...Object.values(OF_ENDS),
  'rotation.started',
  'rotation.delayed',
  'client.halted',
  'client.offered',
  'key.publishing',
]);

/** What is wrong with the entries of one commit. */
export function misaccounted(change: Change): readonly string[] {
  return [...keyProblems(change), ...enrolmentProblems(change), ...owedProblems(change)];
}

function keyProblems({ before, after, drafts }: Change): readonly string[] {
  // A client that is found again, or given back to its owner, begins anew.
  const isAnew = drafts.some(({ type }) => type === 'client.found' || type === 'client.released');
  if (before !== null && before.enrolment !== 'found' && isAnew) return [];
  const stateIn = (record: StoredRecord | null, kid: string) =>
    record?.keys.find((key) => key.kid === kid)?.state ?? null;
  const told = drafts.filter(({ type }) => OF_KEYS[type] !== undefined);
  const kids = [...(before?.keys ?? []), ...after.keys].map(({ kid }) => kid);
  return [...new Set([...kids, ...told.map(({ data }) => `${data.kid}`)])].flatMap((kid) => {
    const [was, is] = [stateIn(before, kid), stateIn(after, kid)];
    const mine = told.filter(({ data }) => data.kid === kid).map(({ type }) => type);
    const isForgotten = was !== null && is === null && !after.former.some((key) => key.kid === kid);
    const forgotten = isForgotten ? [`the ${was} key ${kid} is in the record no longer`] : [];
    return [...replayed(`key ${kid}`, was, is, mine, OF_KEYS), ...forgotten];
  });
}

function enrolmentProblems({ before, after, drafts }: Change): readonly string[] {
  const told = drafts.map(({ type }) => type).filter((type) => OF_ENROLMENT[type] !== undefined);
  return replayed('the client', before?.enrolment ?? null, after.enrolment, told, OF_ENROLMENT);
}

/** Whether the entries lead from what was to what is. */
function replayed(
  what: string,
  was: State,
  is: State,
  types: readonly string[],
  steps: typeof OF_KEYS,
): readonly string[] {
  let state = was;
  for (const type of types) {
    const step = steps[type];
    if (step === undefined || !step.from.includes(state)) return [`an entry without its change: ${type} of ${what}`];
    state = step.to;
  }
  return state === is ? [] : [`a change without its entry: ${what} went from ${was} to ${is} (${types.join(', ')})`];
}

function owedProblems(change: Change): readonly string[] {
  const given = change.drafts.flatMap(subjectOf);
  const missing: string[] = [];
  const owing = [rotationsOwed, haltOwed, patchesOwed, offersOwed, delaysOwed];
  for (const owed of owing.flatMap((owedBy) => owedBy(change))) {
    const index = given.indexOf(owed);
    if (index === -1) missing.push(`a change without its entry ${owed}`);
    else given.splice(index, 1);
  }
  return [...missing, ...given.map((entry) => `an entry without its change: ${entry}`)];
}

function subjectOf({ type, rotation, data }: Draft): string[] {
  if (!OWED.has(type)) return [];
  if (type === 'key.publishing') return data.served === true ? [] : [type];
  return [type.startsWith('rotation.') ? `${type} ${rotation}` : type];
}

function rotationsOwed({ before, after, ended }: Change): readonly string[] {
  const known = idsIn(before);
  const began = [...idsIn(after), ...ended.map(({ id }) => id)].filter((id) => !known.includes(id));
  return [
    ...[...new Set(began)].map((id) => `rotation.started ${id}`),
    ...ended.map(({ id, state }) => `${OF_ENDS[state] ?? `an end that is none (${state})`} ${id}`),
    ...known.filter((id) => !idsIn(after).includes(id) && !ended.some((end) => end.id === id)).map(lost),
  ];
}

const lost = (id: string) => `of the end of rotation ${id}, which is gone`;

/** Under way, or waiting for the key that it replaced to be gone. */
function idsIn(record: StoredRecord | null): readonly string[] {
  if (record === null) return [];
  const leaving = record.retirements.flatMap(({ role, rotation }) => (role === 'replaced' ? [rotation.id] : []));
  if (record.rotation === null) return leaving;
  const { id, rollsBack } = record.rotation;
  return [id, ...(rollsBack === undefined ? [] : [rollsBack.rotation.id]), ...leaving];
}

/** A rotation that waits for a person counts as failed until somebody asks again. */
function haltOwed({ before, after }: Change): readonly string[] {
  if (after.halted === null || before === null || before.halted !== null) return [];
  return ['client.halted', ...(after.rotation === null ? [] : [`rotation.failed ${after.rotation.id}`])];
}

/** A key of ours lies ready for an application that signs with its own. */
function offersOwed({ before, after }: Change): readonly string[] {
  const isOffered = (record: StoredRecord | null) => record?.rotation?.phase.name === 'offered';
  return isOffered(after) && !isOffered(before) ? ['client.offered'] : [];
}

/** Signers keep an old key in use for longer than they may: told once. */
function delaysOwed({ before, after }: Change): readonly string[] {
  const delayed = (record: StoredRecord | null) =>
    [...(record?.retirements ?? []), record?.rotation?.rollsBack].flatMap((old) =>
      old?.delayed === true ? [old.rotation.id] : [],
    );
  const known = delayed(before);
  return delayed(after).flatMap((id) => (known.includes(id) ? [] : [`rotation.delayed ${id}`]));
}

function patchesOwed({ before, after }: Change): readonly string[] {
  const [was, is] = [before?.server.inFlight ?? null, after.server.inFlight];
  return is !== null && is.deadline !== was?.deadline ? ['key.publishing'] : [];
}
