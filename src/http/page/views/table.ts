/** Tables that become cards on a narrow screen. Explicit roles keep them tables for screen readers when the style sheet makes blocks of their cells. */

import { html, type SafeHtml } from '@remix-run/html-template';
import { prose } from './words.ts';

export type Cell = SafeHtml | string | number;

export interface Table {
  readonly caption: string;
  /** A heading above says the same: the caption is for screen readers. */
  readonly quiet?: boolean;
  readonly heads: readonly string[];
  /** As many cells as heads. The first one names the row. */
  readonly rows: readonly (readonly Cell[])[];
  /** Shown where there are no rows; commands in it stand in backticks. */
  readonly none?: string;
  /** The columns with these heads hold numbers. */
  readonly numbers?: readonly string[];
}

export function table({ caption, quiet = false, heads, rows, none = 'None.', numbers = [] }: Table): SafeHtml {
  if (rows.length === 0) return html`<p class="empty">${prose(none)}</p>`;
  const kind = (head: string) => (numbers.includes(head) ? 'number' : 'text');
  const head = heads.map((name) => html`<th scope="col" role="columnheader" class="${kind(name)}">${name}</th>`);
  const body = rows.map((cells) => {
    const [first = '', ...others] = cells;
    const rest = others.map((cell, index) => {
      const name = heads[index + 1] ?? '';
      return html`<td role="cell" class="${kind(name)}" data-head="${name}"><div>${cell}</div></td>`;
    });
    return html`<tr role="row"><th scope="row" role="rowheader" class="${kind(heads[0] ?? '')}"><div>${first}</div></th>${rest}</tr>`;
  });
  return html`<table role="table"><caption class="${quiet ? 'unseen' : 'seen'}">${caption}</caption><thead role="rowgroup"><tr role="row">${head}</tr></thead><tbody role="rowgroup">${body}</tbody></table>`;
}
