/** What a request came to, and the approval of a second person. */
import { html, type SafeHtml } from '@remix-run/html-template';
import type { NotEnrolled } from '../../../../jobs/request.ts';
import { requestResult } from '../../../../jobs/result.ts';
import type { Request } from '../../../../jobs/schemas.ts';
import type { Config } from '../../../config/model.ts';
import { parseReference } from '../../../core/client.ts';
import type { Store } from '../../../store/store.ts';
import { after } from '../../../time.ts';
import { acceptedOf, type Errors, onlyFor } from '../../outcome.ts';
import { maySelect } from '../../principal.ts';
import { ProblemError } from '../../problem.ts';
import { approveFor, requestFor, requestOf } from '../../requests.ts';
import type { PageAnswer, PageCall, PageRoute, Visitor } from '../routes.ts';
import { rotationBadge } from '../views/client/history.ts';
import { icon } from '../views/icons.ts';
import { table } from '../views/table.ts';
import { clientLink, number, prose } from '../views/words.ts';
import { once, reasonIn } from './doing.ts';
import { form, reasonField } from './fields.ts';

export const requestPages: readonly PageRoute[] = [
  { ...{ method: 'GET', path: '/requests/{request}', scope: 'read' }, handle: show },
  { ...{ method: 'POST', path: '/requests/{request}/approve', scope: 'rotate' }, handle: approve },
];

/** In ms. Most requests are begun within this time, so a visitor who has just asked sees the result. */
const MOMENT_MS = 2_000;

/** So many rows stand in each list. */
const MOST_SHOWN = 100;

async function show(call: PageCall): Promise<PageAnswer> {
  const { context, visitor, params } = call;
  const { queues, resources } = context;
  const { principal } = visitor;
  const id = idIn(params);
  const first = await requestFor(queues, principal, id);
  const read = await requestOf(queues, id);
  // A visitor who may not select all of its clients sees only those that the token allows.
  const asked = read !== null && maySelect(principal, read.select) ? read : null;
  const isNew = first.is === 'waiting' && first.why === '' && asked !== null;
  const state = isNew ? await afterAMoment(call, id) : first;
  const title = titleOf(state.is, asked);
  const body = html`<header class="head" data-follow="/live"><h1>${title}</h1></header>
<section data-live="request">${asked === null ? null : told(asked)}${await stateOf(state, asked, visitor, resources.store, id)}</section>
${state.is === 'waiting' && mayApprove(visitor, state.why, asked, resources.config) ? approvalForm(visitor, id) : null}`;
  return { title, body };
}

async function afterAMoment({ context: { queues }, visitor, signal }: PageCall, id: string) {
  const waited = AbortSignal.any([signal, after(MOMENT_MS)]);
  // A failure is read by requestFor below.
  await requestResult(queues, id, { signal: waited, onRetry: () => {} }).catch(() => null);
  return requestFor(queues, visitor.principal, id);
}

async function stateOf(
  state: Awaited<ReturnType<typeof requestFor>>,
  asked: Request | null,
  { principal }: Visitor,
  store: Store,
  id: string,
): Promise<SafeHtml> {
  if (state.is === 'failed') {
    return html`<div class="callout alarm">${icon('cross')}<div><p><strong>It has failed.</strong> ${prose(state.why)}</p></div></div>${again(asked)}`;
  }
  if (state.is === 'waiting') {
    const why = state.why === '' ? 'A worker has not begun it yet.' : state.why;
    return html`<div class="callout warn">${icon('clock')}<div><p><strong>It waits.</strong> ${prose(why)}</p></div></div>`;
  }
  const result = onlyFor(principal, state.result);
  const { errors = [], skipped = [], taken_over: taken = [] } = result;
  const { rotations } = await acceptedOf(store, id, result, []);
  // Somebody who is restricted is not told what was started for other clients.
  const none = principal.only === null ? 'Nothing was started.' : 'Nothing was started for clients that you may see.';
  const nothing = rotations.length === 0 ? html`<p><strong>${none}</strong></p>` : rotationList(rotations);
  return html`${nothing}${errorList(errors)}${aloneList(skipped, asked)}${takenList(taken)}`;
}

/** Whether it may wait for an approval. Where it waits for something else, an approval does no harm. */
function mayApprove(
  { mayAct, principal }: Visitor,
  why: string,
  asked: Request | null,
  { approval }: Pick<Config, 'approval'>,
): boolean {
  const isHeldBack = why !== '' && asked !== null && asked.confirm && asked.compromised !== false;
  return isHeldBack && approval !== null && mayAct && principal.only === null;
}

function titleOf(state: string, asked: Request | null): string {
  const what =
    asked !== null && asked.compromised !== false ? 'Replacing leaked keys' : 'A rotation that was asked for';
  return state === 'failed' ? `${what}: failed` : what;
}

function told({ reason, actor }: Request): SafeHtml {
  return html`<p>Asked for by ${actor}: ${prose(reason)}</p>`;
}

/** To a form that is filled in as before, but for the reason. A compromise that the breaker held back is asked for again with a confirmation. */
function again(asked: Request | null): SafeHtml | null {
  if (asked === null || asked.compromised === false) return null;
  const { select, compromised } = asked;
  const [what = 'all'] = Object.keys(select);
  const isOne = 'clients' in select && select.clients.length === 1;
  if ('clients' in select && !isOne) return null;
  const value = 'clients' in select ? { client: String(select.clients[0]) } : 'all' in select ? {} : select;
  const more = {
    ...(compromised !== true && { client_kid: compromised.kid }),
    ...(asked.keep_standby && { keep_standby: 'yes' }),
    ...(asked.take_over && { take_over: 'yes' }),
  };
  const query = new URLSearchParams({ what: isOne ? 'client' : what, ...value, ...more });
  return html`<p><a href="/compromise?${String(query)}">Report it again</a></p>`;
}

type Rotations = Awaited<ReturnType<typeof acceptedOf>>['rotations'];

function rotationList(rotations: Rotations): SafeHtml {
  const rows = rotations.slice(0, MOST_SHOWN).map(({ client, id, state }) => {
    return [
      clientLink(parseReference(client)),
      html`<code>${id}</code>`,
      state === undefined ? 'see its page' : rotationBadge(state),
    ];
  });
  const caption = rotations.length === 1 ? 'The rotation' : `The ${number(rotations.length)} rotations`;
  return html`<h2>${caption}</h2>${failures(rotations)}${table({ caption, quiet: true, heads: ['Client', 'Rotation', 'State'], rows })}${more(rotations.length)}`;
}

/** Why one failed is said where it is also said what to do. */
function failures(rotations: Rotations): SafeHtml | null {
  const failed = rotations.filter(({ state }) => state === 'failed' || state === 'rolled_back').length;
  if (failed === 0) return null;
  const what = `${number(failed)} of ${number(rotations.length)} failed or ${failed === 1 ? 'was' : 'were'} rolled back.`;
  return html`<div class="callout alarm">${icon('cross')}<div><p><strong>${what}</strong> The page of each client says why, and what to do.</p></div></div>`;
}

function errorList(errors: Errors): SafeHtml | null {
  if (errors.length === 0) return null;
  const items = errors
    .slice(0, MOST_SHOWN)
    .map(({ client, message }) => html`<li><code>${client}</code>: ${prose(message)}</li>`);
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
    .map(({ client, enrolment }) => html`<li>${clientLink(client)} (${enrolment})</li>`);
  return html`<h2>${title}</h2><p>${text}</p><ul>${items}</ul>${more(clients.length)}`;
}

function more(count: number): SafeHtml | null {
  return count > MOST_SHOWN ? html`<p>… and ${number(count - MOST_SHOWN)} more</p>` : null;
}

function approvalForm(visitor: Visitor, id: string): SafeHtml {
  return html`<h2>Approve it</h2><p>A second person approves it: you, if you did not ask for it.</p>
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
