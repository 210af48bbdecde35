/** Why a page is not shown. */
import { html, type SafeHtml } from '@remix-run/html-template';
import { icon } from './icons.ts';
import { prose } from './words.ts';

export interface ShownProblem {
  readonly status: number;
  readonly title: string;
  /** What happened, what it means, and what to do. */
  readonly detail: string;
  readonly errors?: readonly string[];
}

export function problemPage({ status, title, detail, errors = [] }: ShownProblem): SafeHtml {
  const list = errors.length === 0 ? null : html`<ul>${errors.map((error) => html`<li>${prose(error)}</li>`)}</ul>`;
  return html`<header class="head"><h1>${title}</h1></header>
<div class="callout ${status >= 500 ? 'alarm' : 'warn'}">${icon(status >= 500 ? 'cross' : 'ask')}<div><p>${prose(detail)}</p>${list}</div></div>
<p><a href="/">To the fleet</a> · <a href="/clients">To the clients</a></p>
<p class="as-of">HTTP status ${status}</p>`;
}
