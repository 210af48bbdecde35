/** Foreign keys on a lifeline: those that the server shows, or the one that was in use before our first key. */
import type { PublishedKey } from '../../core/document.ts';
import { addedKeys } from '../../core/drift.ts';
import { holds } from '../../core/keys.ts';
import type { LifelineKey, LifelineSpan } from '../views.ts';
import { activationsOf, type Past } from './past.ts';
import { type KeyEvent, spansOf } from './spans.ts';

export function foreignLines(past: Past): readonly LifelineKey[] {
  const { keys, former, server } = past.record;
  // A former key of ours that the server shows again has a line of its own.
  const ours = [...keys, ...former.filter(({ compromised }) => !compromised)];
  const shown = server.observed.client.keys.filter((key) => !ours.some(({ id }) => holds(key, id)));
  return shown.length > 0 ? shown.map((key) => shownLine(key, past)) : replacedLine(past);
}

function shownLine(shown: PublishedKey, past: Past): LifelineKey {
  const { record, now } = past;
  const { jwk } = shown;
  const isNew = addedKeys(record).some((key) => key === shown);
  const since = isNew ? (record.drift?.since ?? record.foundAt) : record.foundAt;
  const reports = record.former.filter(({ id, compromised }) => compromised && holds(shown, id));
  const reported = reports.map(({ at }): KeyEvent => ({ at, what: 'reported' }));
  return {
    kid: typeof jwk.kid === 'string' ? jwk.kid : (shown.ids[0] ?? null),
    alg: typeof jwk.alg === 'string' ? jwk.alg : null,
    ours: false,
    spans: foreignSpans([...usedFrom(since, past), ...reported], null, now),
    until: null,
  };
}

/** The foreign key that our first key replaced. */
function replacedLine(past: Past): readonly LifelineKey[] {
  const { record, summaries, now } = past;
  const replacing = summaries.find(({ replaces, activeAt }) => replaces === null && activeAt !== null);
  if (replacing === undefined) return [];
  // A cutover takes it off the server before our key is active. An overlap does so at its end.
  const gone = replacing.strategy === 'cutover' ? replacing.activeAt : replacing.endedAt;
  const spans = foreignSpans(usedFrom(record.foundAt, past), gone, now);
  const leaving = gone === null ? record.retirements.find(({ rotation }) => rotation.id === replacing.id) : undefined;
  return [
    { kid: null, alg: null, ours: false, spans, until: leaving === undefined ? null : Math.max(now, leaving.until) },
  ];
}

/** A foreign key is never deactivated: when our key becomes active, others may go on to sign with it. */
function foreignSpans(events: readonly KeyEvent[], gone: number | null, now: number): readonly LifelineSpan[] {
  return spansOf(events, gone, null, now).map((span) =>
    span.state === 'deactivated' ? { ...span, state: 'published' } : span,
  );
}

/** A foreign key counts as in use until our first key is. */
function usedFrom(since: number, { record, summaries }: Past): readonly KeyEvent[] {
  const first = activationsOf(summaries)[0]?.at ?? null;
  const imported = record.keys.map(({ activatedAt }) => activatedAt).filter((at) => at !== null);
  const ours = [...(first === null ? [] : [first]), ...imported];
  const took = ours.length === 0 ? null : Math.max(since, Math.min(...ours));
  return [{ at: since, what: 'activated' }, ...(took === null ? [] : [{ at: took, what: 'succeeded' as const }])];
}
