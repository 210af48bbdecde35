/** How many clients are in each state, as one bar. It repeats the tiles below it, so a screen reader skips it. */
import { html, type SafeHtml } from '@remix-run/html-template';
import { CLIENT_STATES, type ClientState } from '../../../../core/state.ts';
import { STATES } from '../words.ts';

/** A state with few clients among very many is still seen. In percent of the bar. */
const LEAST = 0.8;

export function proportions(counts: Readonly<Record<ClientState, number>>): SafeHtml | null {
  const present = CLIENT_STATES.filter((state) => counts[state] > 0);
  const total = present.reduce((sum, state) => sum + counts[state], 0);
  if (total === 0) return null;
  const raw = present.map((state) => Math.max(LEAST, (counts[state] / total) * 100));
  const scale = 100 / raw.reduce((sum, part) => sum + part, 0);
  let x = 0;
  const parts = present.map((state, index) => {
    const width = (raw[index] ?? 0) * scale;
    const part = html`<rect class="part ${STATES[state].tone} ${state}" x="${x.toFixed(3)}%" y="0" width="${width.toFixed(3)}%" height="100%"><title>${state}: ${counts[state]}</title></rect>`;
    x += width;
    return part;
  });
  return html`<svg class="proportions" width="100%" height="14" aria-hidden="true" focusable="false">${parts}</svg>`;
}
