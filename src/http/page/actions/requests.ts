/** What a request came to, and the approval of a second person. */
import { html, type SafeHtml } from '@remix-run/html-template';
import type { NotEnrolled } from '../../../../jobs/request.ts';
import { requestResult } from '../../../../jobs/result.ts';
import type { Request } from '../../../../jobs/schemas.ts';
import type { Config } from '../../../config/model.ts';
import { parseReference } from '../../../core/client.ts';
import { after } from '../../../time.ts';
import { acceptedOf, type Errors, onlyFor } from '../../outcome.ts';
import { maySelect } from '../../principal.ts';
import { ProblemError } from '../../problem.ts';
import { approveFor, requestFor, requestOf } from '../../requests.ts';
import type { PageAnswer, PageCall, PageRoute } from '../routes.ts';
import { once, reasonIn } from './doing.ts';
import { form, reasonField } from './fields.ts';
import { clientPlace } from './forms.ts';

export const requestPages: readonly PageRoute[] = [
  { ...{ method: 'GET', path: '/requests/{request}', scope: 'read' }, handle: show },
  { ...{ method: 'POST', path: '/requests/{request}/approve', scope: 'rotate' }, handle: approve },
];

/** Most requests are begun within a moment: who has just asked sees what came of it. In ms. */
const MOMENT_MS = 2_000;

/** So many rows stand in each list. */
const MOST_SHOWN = 100;

async function show({ context, visitor, params, signal }: PageCall): Promise<PageAnswer> {
  const { queues, resources } = context;
  const { principal } = visitor;
  const id = idIn(params);
  const first = await requestFor(queues, principal, id);
  if (first.is === 'waiting' && first.why === '') {
    const waited = AbortSignal.any([signal, after(MOMENT_MS)]);
    // Why it waits, or has failed, is read below.
    await requestResult(queues, id, { signal: waited, onRetry: () => {} }).catch(() => null);
  }
  const state = await requestFor(queues, principal, id);
  const read = await requestOf(queues, id);
  const asked = read !== null && maySelect(principal, read.select) ? read : null;
  const title = titleOf(state.is, asked);
  const head = html`<header class="head"><h1>${title}</h1></header>${asked === null ? null : told(asked)}`;
  if (state.is === 'failed') {
    return page(title, html`${head}<p role="alert"><strong>It has failed.</strong> ${state.why}</p>${again(asked)}`);
  }
  if (state.is === 'waiting') {
    const why = state.why === '' ? 'A worker has not begun it yet.' : state.why;
    const mayApprove = visitor.mayAct && principal.only === null && awaitsApproval(state.why, asked, resources.config);
    const approval = mayApprove ? approvalForm(visitor, id) : null;
    return page(
      title,
      html`${head}<p><strong>It waits.</strong> ${why}</p><p>Reload this page to see how it goes on.</p>${approval}`,
    );
  }
  const result = onlyFor(principal, state.result);
  const { errors = [], skipped = [], taken_over: taken = [] } = result;
  const { rotations } = await acceptedOf(resources.store, id, result, []);
  const nothing = rotations.length === 0 ? html`<p><strong>Nothing was started.</strong></p>` : null;
  const body = html`${head}${nothing}${rotationList(rotations)}${errorList(errors)}${aloneList(skipped, asked)}${takenList(taken)}`;
  return page(title, body);
}

/** It may wait for something else: then an approval does no harm. */
function awaitsApproval(why: string, asked: Request | null, { approval }: Pick<Config, 'approval'>): boolean {
  return why !== '' && asked !== null && asked.confirm && asked.compromised !== false && approval !== null;
}

/** It changes by itself: a browser that may run scripts keeps it up to date. */
function page(title: string, body: SafeHtml): PageAnswer {
  return { title, body: html`<section data-live="request">${body}</section>` };
}

function titleOf(state: string, asked: Request | null): string {
  const what =
    asked !== null && asked.compromised !== false ? 'Replacing leaked keys' : 'A rotation that was asked for';
  return state === 'failed' ? `${what}: failed` : what;
}

function told({ reason, actor }: Request): SafeHtml {
  return html`<p>Asked for by ${actor}: ${reason}</p>`;
}

/** A compromise that the breaker held back is asked for again, with a confirmation. */
function again(asked: Request | null): SafeHtml | null {
  if (asked === null || asked.compromised === false) return null;
  const { select } = asked;
  const [what = 'all'] = Object.keys(select);
  const isOne = 'clients' in select && select.clients.length === 1;
  if ('clients' in select && !isOne) return null;
  const value = 'clients' in select ? { client: String(select.clients[0]) } : 'all' in select ? {} : select;
  const query = new URLSearchParams({ what: isOne ? 'client' : what, ...value });
  return html`<p><a href="/compromise?${String(query)}">Report it again</a></p>`;
}

type Rotations = Awaited<ReturnType<typeof acceptedOf>>['rotations'];

function rotationList(rotations: Rotations): SafeHtml | null {
  if (rotations.length === 0) return null;
  const rows = rotations
    .slice(0, MOST_SHOWN)
    .map(
      ({ client, id, state = 'running' }) =>
        html`<tr><th scope="row"><a href="${clientPlace(parseReference(client))}">${client}</a></th><td data-label="Rotation"><code>${id}</code></td><td data-label="State">${state.replace('_', ' ')}</td></tr>`,
    );
  return html`<table><caption>${rotations.length === 1 ? 'The rotation' : 'The rotations'}</caption><thead><tr><th scope="col">Client</th><th scope="col">Rotation</th><th scope="col">State</th></tr></thead><tbody>${rows}</tbody></table>${more(rotations.length)}`;
}

function errorList(errors: Errors): SafeHtml | null {
  if (errors.length === 0) return null;
  const items = errors
    .slice(0, MOST_SHOWN)
    .map(({ client, message }) => html`<li><code>${client}</code>: ${message}</li>`);
  return html`<h2>Not started</h2><ul>${items}</ul>${more(errors.length)}`;
}

function aloneList(skipped: readonly NotEnrolled[], asked: Request | null): SafeHtml | null {
  const still = asked !== null && asked.compromised !== false ? ' They still sign in with their present keys.' : '';
  return notEnrolled('Left alone', `These clients are not enrolled.${still}`, skipped);
}

function takenList(taken: readonly NotEnrolled[]): SafeHtml | null {
  const text = 'They were not enrolled: their applications must take the new key from their key folders at once.';
  return notEnrolled('Taken over', text, taken);
}

function notEnrolled(title: string, text: string, clients: readonly NotEnrolled[]): SafeHtml | null {
  if (clients.length === 0) return null;
  const items = clients
    .slice(0, MOST_SHOWN)
    .map(({ client, enrolment }) => html`<li><a href="${clientPlace(client)}">${client}</a> (${enrolment})</li>`);
  return html`<h2>${title}</h2><p>${text}</p><ul>${items}</ul>${more(clients.length)}`;
}

function more(count: number): SafeHtml | null {
  return count > MOST_SHOWN ? html`<p>and ${count - MOST_SHOWN} more</p>` : null;
}

function approvalForm(visitor: PageCall['visitor'], id: string): SafeHtml {
  return html`<h2>Approve it</h2><p>Somebody else than the one who asked has to.</p>
${form(visitor, { action: `/requests/${encodeURIComponent(id)}/approve`, verb: 'Approve', danger: true }, reasonField('approve'))}`;
}

async function approve(call: PageCall): Promise<PageAnswer> {
  const { context, visitor, params, form: given, address } = call;
  const id = idIn(params);
  const reason = reasonIn(given);
  return once(call, { do: 'approve', id, reason }, async () => {
    const by = { route: 'POST /requests/{request}/approve', address, reason };
    await approveFor(context, visitor.principal, id, by);
    return { to: `/requests/${encodeURIComponent(id)}`, notice: 'You have approved it.' };
  });
}

/** @throws ProblemError 404 */
function idIn({ request = '' }: PageCall['params']): string {
  // As the API takes them.
  if (/^[A-Za-z0-9_.:%-]{1,200}$/.test(request)) return request;
  throw new ProblemError(404, 'This is not the id of a request.');
}
