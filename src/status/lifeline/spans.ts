/** From what happened to a key to the states that it was in. */
import type { LifelineSpan } from '../views.ts';

/** `succeeded`: another key became active. `reported`: as compromised. */
export interface KeyEvent {
  readonly at: number;
  readonly what: 'made' | 'activated' | 'succeeded' | 'reported';
}

type State = LifelineSpan['state'];

/**
 * @param events in any order; those of one moment in the order in which they happened
 * @param gone when it went; null: it is still there
 * @param is what the record says of it; null: nothing
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
  // What nothing tells of has happened by now.
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
      // One in use is active until another takes its place.
      return state === 'active' ? state : 'compromised';
    default:
      return what satisfies never;
  }
}
