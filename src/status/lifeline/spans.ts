/** The states of a key over time, from the events of its life. */
import type { LifelineSpan } from '../views.ts';

/** `succeeded`: another key became active. `reported`: as compromised. */
export interface KeyEvent {
  readonly at: number;
  readonly what: 'made' | 'activated' | 'succeeded' | 'reported';
}

type State = LifelineSpan['state'];

/**
 * @param events in any order; those of one moment in the order in which they happened
 * @param gone when the key was destroyed or left the server; null: it is still there
 * @param is its state in the record; null: the record does not have it
 */
export function spansOf(
  events: readonly KeyEvent[],
  gone: number | null,
  is: State | null,
  now: number,
): readonly LifelineSpan[] {
  const end = gone === null ? now : Math.min(gone, now);
  const begun: { state: State; from: number }[] = [];
  let state: State | null = null;
  let isReported = false;
  for (const { at, what } of [...events].sort((a, b) => a.at - b.at)) {
    isReported ||= what === 'reported';
    const next = after(state, what, isReported);
    if (next !== state && next !== null) begun.push({ state: next, from: Math.min(at, end) });
    state = next;
  }
  // The record shows a change that no event explains: it has happened by now.
  if (is !== null && is !== state) begun.push({ state: is, from: end });
  return begun
    .map(({ state, from }, index) => ({ state, from, to: begun[index + 1]?.from ?? (gone === null ? null : end) }))
    .filter(({ from, to }) => to === null || from < to);
}

function after(state: State | null, what: KeyEvent['what'], isReported: boolean): State | null {
  switch (what) {
    case 'made':
      return state ?? 'pre-active';
    case 'activated':
      return 'active';
    case 'succeeded':
      return state === 'active' ? (isReported ? 'compromised' : 'deactivated') : state;
    case 'reported':
      // A reported key in use stays active until another key replaces it.
      return state === 'active' ? state : 'compromised';
    default:
      return what satisfies never;
  }
}
