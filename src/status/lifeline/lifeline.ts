/**
 * The keys of one client over time, from its record and the rotations that ended. Where neither says when a key was made, such as of an imported key, its
 * line begins when the client was found.
 */
import type { RotationSummary } from '../../core/history.ts';
import type { ClientRecord } from '../../core/record.ts';
import type { Lifeline, LifelineKey, LifelineMark, PlannedStep } from '../views.ts';
import { foreignLines } from './foreign.ts';
import { activationsOf, type Past, summariesOf } from './past.ts';
import { GONE } from './planned.ts';
import { type KeyEvent, spansOf } from './spans.ts';

/** @param history rotations that ended */
export function lifelineOf(
  record: ClientRecord,
  history: readonly RotationSummary[],
  planned: readonly PlannedStep[],
  now: number,
): Lifeline {
  const past: Past = { record, summaries: summariesOf(record, history), now };
  const ours = kidsOf(past).map((kid) => ownLine(kid, past, planned));
  const keys = [...foreignLines(past), ...ours]
    .filter(({ spans }) => spans.length > 0)
    .sort((a, b) => begin(a) - begin(b));
  const marks = marksOf(past);
  const begun = [...keys.map(begin), ...marks.map(({ at }) => at)];
  const ends = [...planned.map(({ at }) => at), ...keys.map(({ until }) => until ?? now)];
  return { now, from: Math.min(now, ...begun), until: Math.max(now, ...ends), keys, marks, planned };
}

function begin({ spans }: LifelineKey): number {
  return spans[0]?.from ?? 0;
}

/** Of keys that are or were ours. */
function kidsOf({ record, summaries }: Past): readonly string[] {
  const { keys, former, server } = record;
  const told = summaries.flatMap(({ replaces, kid }) => [replaces, kid]).filter((kid) => kid !== null);
  const isForeign = (id: string) => server.observed.client.keys.some(({ ids }) => ids.includes(id));
  const gone = former.filter(({ id, kid }) => told.includes(kid) || !isForeign(id));
  return [...new Set([...gone.map(({ kid }) => kid), ...told, ...keys.map(({ kid }) => kid)])];
}

function ownLine(kid: string, past: Past, planned: readonly PlannedStep[]): LifelineKey {
  const { record, now } = past;
  const key = record.keys.find((held) => held.kid === kid);
  const gone = key === undefined ? goneAt(kid, past) : null;
  return {
    kid,
    alg: key?.alg ?? null,
    ours: true,
    spans: spansOf(eventsOf(kid, past), gone, key?.state ?? null, now),
    until: gone === null ? (planned.findLast((step) => step.what === GONE && step.kid === kid)?.at ?? null) : null,
  };
}

function eventsOf(kid: string, past: Past): readonly KeyEvent[] {
  const { record, summaries } = past;
  const key = record.keys.find((held) => held.kid === kid);
  const activations = activationsOf(summaries);
  const first = activations.find((one) => one.kid === kid || one.replaces === kid);
  // No rotation that is still known brought it into use: it was imported, or the history no longer goes back so far.
  const wasInUse = first !== undefined && first.kid !== kid;
  // A rollback makes no key: it brings in one that was there before.
  const bringsIn = wasInUse ? undefined : summaries.find((one) => one.kid === kid);
  const madeAt = key?.createdAt ?? bringsIn?.startedAt ?? record.foundAt;
  const usedFrom = key?.activatedAt ?? (wasInUse ? madeAt : null);
  return [
    { at: madeAt, what: 'made' },
    ...(usedFrom === null ? [] : [{ at: usedFrom, what: 'activated' as const }]),
    ...activations.map(({ at, kid: by }) => ({
      at,
      what: by === kid ? ('activated' as const) : ('succeeded' as const),
    })),
    ...reportsOf(kid, past).map((at) => ({ at, what: 'reported' as const })),
  ];
}

/** When a key that is or was in use was reported as compromised. Of a key that was never in use this is not recorded. */
function reportsOf(kid: string, { record, summaries }: Past): readonly number[] {
  const { retirements, former, keys } = record;
  const key = keys.find((held) => held.kid === kid);
  const noted = former.filter((old) => old.kid === kid && old.compromised);
  if (key?.state !== 'compromised' && noted.length === 0) return [];
  const discarding = new Set(retirements.filter(({ role }) => role === 'discarded').map((old) => old.rotation.id));
  // The rotation of a discarded key names another key as the one that it replaces.
  const replacing = summaries.filter(({ id, replaces }) => replaces === kid && !discarding.has(id));
  const reports = replacing.map(({ exposure }) => exposure?.reportedAt).filter((at) => at !== undefined);
  // For a key that is gone, `at` is when it went.
  return key === undefined ? reports : [...reports, ...noted.map(({ at }) => at)];
}

function goneAt(kid: string, { record, summaries, now }: Past): number {
  const noted = record.former.find((old) => old.kid === kid);
  if (noted !== undefined) return noted.at;
  const ended = summaries.findLast(({ replaces, state }) => replaces === kid && state === 'finished');
  return ended?.endedAt ?? summaries.findLast((one) => one.kid === kid)?.endedAt ?? now;
}

function marksOf({ summaries, now }: Past): readonly LifelineMark[] {
  const marks = summaries.flatMap((summary) => summary.marks).filter(({ at }) => at <= now);
  return marks.sort((a, b) => a.at - b.at);
}
