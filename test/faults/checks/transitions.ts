/** What a step from one record to the next owes the audit log: one entry for each transition, no more and no fewer. */
import type { StoredRecord } from '../evidence.ts';

/** Entries that only a transition accounts for, as `type subject`. */
type Owed = string;

/** Key states (null: not there before) → entries. What is missing here must not happen. */
const OF_KEYS: Readonly<Record<string, readonly string[]>> = {
  'null pre-active': ['key.generated', 'key.stored'],
  'null active': ['key.imported'],
  'pre-active active': ['key.activated'],
  'active deactivated': ['key.deactivated'],
  'active compromised': ['key.compromised'],
  'deactivated compromised': ['key.compromised'],
  'pre-active destroyed': ['key.destroyed'],
  'deactivated destroyed': ['key.destroyed'],
  'compromised destroyed': ['key.destroyed'],
};

const OF_ROTATIONS: Readonly<Record<string, string>> = {
  finished: 'rotation.completed',
  failed: 'rotation.failed',
  rolled_back: 'rotation.rolled_back',
};

const ACCOUNTED = new Set([...Object.values(OF_KEYS).flat(), ...Object.values(OF_ROTATIONS), 'rotation.started']);

export interface Draft {
  readonly type: string;
  readonly rotation: string | null;
  readonly data: { readonly [name: string]: unknown };
}

/** What is wrong with the entries of one commit. */
export function misaccounted(before: StoredRecord, after: StoredRecord, drafts: readonly Draft[]): readonly string[] {
  const problems: string[] = [];
  const given = drafts.flatMap(subjectOf);
  for (const owed of [
    ...keysOwed(before, after, problems),
    ...rotationsOwed(before, after),
    ...patchesOwed(before, after),
  ]) {
    const index = given.indexOf(owed);
    if (index === -1) problems.push(`a change without its entry ${owed}`);
    else given.splice(index, 1);
  }
  return [...problems, ...given.map((entry) => `an entry without its change: ${entry}`)];
}

function subjectOf({ type, rotation, data }: Draft): Owed[] {
  if (type === 'key.publishing') return data.served === true ? [] : [type];
  if (!ACCOUNTED.has(type)) return [];
  return [`${type} ${type.startsWith('key.') ? data.kid : rotation}`];
}

function keysOwed(before: StoredRecord, after: StoredRecord, problems: string[]): readonly Owed[] {
  const known = new Map(before.keys.map((key) => [key.thumbprint, key.state]));
  for (const { kid, thumbprint, state } of before.keys) {
    const isKept = after.keys.some((key) => key.thumbprint === thumbprint);
    if (!isKept && state !== 'destroyed') problems.push(`the ${state} key ${kid} is in the record no longer`);
  }
  return after.keys.flatMap(({ kid, thumbprint, state }) => {
    const was = known.get(thumbprint) ?? null;
    if (was === state) return [];
    const types = OF_KEYS[`${was} ${state}`];
    if (types === undefined) problems.push(`key ${kid} went from ${was} to ${state}`);
    return (types ?? []).map((type) => `${type} ${kid}`);
  });
}

function rotationsOwed(before: StoredRecord, after: StoredRecord): readonly Owed[] {
  const known = new Map(before.history.map(({ id, state }) => [id, state]));
  return after.history.flatMap(({ id, state }) => {
    const was = known.get(id);
    const ended = was === state ? undefined : OF_ROTATIONS[state];
    return [
      ...(was === undefined ? [`rotation.started ${id}`] : []),
      ...(ended === undefined ? [] : [`${ended} ${id}`]),
    ];
  });
}

function patchesOwed({ inFlight: before }: StoredRecord, { inFlight: after }: StoredRecord): readonly Owed[] {
  return after !== null && after.deadline !== before?.deadline ? ['key.publishing'] : [];
}
