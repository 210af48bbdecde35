/** Small pictures beside words. A screen reader skips them and reads the word. */
import { html, type SafeHtml } from '@remix-run/html-template';

/** Paths on a grid of 16 by 16, drawn with a line. */
const PATHS = {
  alarm: 'M8 1.8 15 14H1zM8 6.2v3.6M8 11.6v.6',
  ask: 'M8 1.5a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13zM6 6.2a2 2 0 1 1 2.8 1.9c-.5.2-.8.6-.8 1.2M8 11.3v.6',
  check: 'M8 1.5a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13zM5 8.2l2.1 2.2L11 5.8',
  cross: 'M8 1.5a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13zM5.6 5.6l4.8 4.8M10.4 5.6l-4.8 4.8',
  clock: 'M8 1.5a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13zM8 4.5V8l2.6 1.6',
  differs: 'M2.5 6h11M2.5 10h11M10.5 2.5l-5 11',
  key: 'M5 5.5a2.7 2.7 0 1 1 0 5.4 2.7 2.7 0 0 1 0-5.4zM7.7 8.2H15M12 8.2v2.6M14.4 8.2v2',
  late: 'M8 1.5a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13zM8 4v5M8 11v.8',
  pause: 'M5.4 3v10M10.6 3v10',
  slow: 'M4 1.8h8M4 14.2h8M4.7 1.8c0 4 6.6 4.4 6.6 6.2M11.3 1.8c0 4-6.6 4.4-6.6 6.2M4.7 14.2c0-3.6 3.3-3.4 3.3-6.2M11.3 14.2c0-3.6-3.3-3.4-3.3-6.2',
  stop: 'M5.2 1.5h5.6l3.7 3.7v5.6l-3.7 3.7H5.2l-3.7-3.7V5.2zM5 8h6',
  turn: 'M13.6 6.2A6 6 0 0 0 3 4.4L1.8 5.8M2.4 9.8A6 6 0 0 0 13 11.6l1.2-1.4M1.8 2.4v3.4h3.4M14.2 13.6v-3.4h-3.4',
} as const;

export type Icon = keyof typeof PATHS;

export function icon(name: Icon): SafeHtml {
  return html`<svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false"><path d="${PATHS[name]}"/></svg>`;
}
