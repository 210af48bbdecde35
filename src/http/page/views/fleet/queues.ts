/** Queues, requests that wait, and jobs that failed. People change nothing here. */
import { html, type SafeHtml } from '@remix-run/html-template';
import type { QueuesView } from '../../../../../jobs/queues-view.ts';
import type { PutOffRequests } from '../../../../status/model.ts';
import { type Cell, table } from '../table.ts';
import { badge, clock, moment, NONE, number, prose } from '../words.ts';

export function queuesPage(
  { at, queues, failed, more }: QueuesView,
  { requests, requests_more: later }: PutOffRequests,
): SafeHtml {
  const now = Date.parse(at);
  const counts = queues.map(({ queue, what, waiting, active, delayed, failed }): Cell[] => [
    html`<strong>${queue}</strong><span class="sub">${what}</span>`,
    number(waiting),
    number(active),
    number(delayed),
    failed === 0 ? '0' : badge('warn', 'cross', number(failed)),
  ]);
  const asked = requests.map(({ request, reason, why }): Cell[] => [
    html`<code>${request}</code>`,
    prose(why),
    reason ?? 'It cannot be read.',
  ]);
  const failures = failed.map(({ queue, job, name, reason, at: failedAt }): Cell[] => [
    html`<code>${job}</code><span class="sub">${name} in ${queue}</span>`,
    html`<span class="why">${prose(reason)}</span>`,
    failedAt === null ? NONE : moment(failedAt, now),
  ]);
  const numbers = ['Waiting', 'Active', 'Delayed', 'Failed'];
  return html`<header class="head"><h1>Queues</h1></header>
<section data-live="queues"><p class="as-of">As of ${clock(at)}. A job only wakes a worker: one that is lost or runs twice does no harm.</p>
${table({ caption: 'Jobs in each queue', quiet: true, heads: ['Queue', ...numbers], rows: counts, numbers })}</section>
<section data-live="requests"><h2>Requests that wait</h2>${table({ caption: 'Requests that wait', quiet: true, heads: ['Request', 'What it waits for', 'Why it was asked for'], rows: asked, none: 'No request waits.' })}${later === 0 ? null : html`<p class="as-of">… and ${number(later)} that are tried later.</p>`}</section>
<section data-live="failed"><h2>Jobs that failed</h2>${table({ caption: 'Jobs that failed', quiet: true, heads: ['Job', 'Why', 'When'], rows: failures, none: 'No job failed.' })}${more === 0 ? null : html`<p class="as-of">… and ${number(more)} older ones.</p>`}</section>`;
}
