/** What a request would come to, shown before it is made. */
import { html, type SafeHtml } from '@remix-run/html-template';
import type { ClientPlan } from '../../../../jobs/plan/client.ts';
import { type Breaking, type DryRun, MOST_PLANNED } from '../../../../jobs/plan/dry-run.ts';
import { outcomeOf } from '../../../../jobs/plan/summary.ts';
import { stepLines } from '../../../../jobs/plan/text.ts';
import type { Request } from '../../../../jobs/schemas.ts';
import type { PageAnswer, Visitor } from '../routes.ts';
import { table } from '../views/table.ts';
import { clientLink, counted, number, prose, stateBadge } from '../views/words.ts';
import type { Place } from './asking.ts';
import { checkField, form, hiddenFields } from './fields.ts';
import type { KeptRequest } from './kept-request.ts';

export function dryRunPage(
  visitor: Visitor,
  { id, request, fields }: KeptRequest,
  run: DryRun,
  place: Place,
): PageAnswer {
  const { compromised, select } = request;
  const isCompromise = compromised !== false;
  const title = isCompromise ? 'Replace leaked keys?' : 'Rotate this key?';
  const [plan] = run.plans;
  const isOne = 'clients' in select && select.clients.length === 1;
  const isWhole = visitor.principal.only === null;
  const verb = isCompromise ? 'Replace them now' : 'Rotate now';
  const body = html`<header class="head"><h1>${title}</h1></header>
<p>Nothing has been done yet. This is what would happen now; it comes from the records of rekeyd, and no server was asked.</p>
<p>It is asked for because: ${request.reason}</p>
${isOne ? null : size(run)}
${run.breaker === null || isOne ? null : breaker(run.breaker, isWhole)}
${notes(run)}
${isOne && plan !== undefined ? steps(plan) : plans(run)}
${nothing(run, request) ? html`<p><strong>Nothing would be started.</strong></p>` : form(visitor, { action: place.action, verb, danger: isCompromise, nonce: id }, confirming(run, fields))}
<p><a href="${place.back}">Do nothing</a></p>`;
  return { title, body };
}

/** In place of a dry run that was confirmed: going back to it does not make the request a second time. */
export function takenPage(request: string, { form }: Place): PageAnswer {
  const title = 'Asked for already';
  const body = html`<header class="head"><h1>${title}</h1></header>
<p>You have asked for this. <a href="${request}">See what came of it</a>.</p>
<p>To ask once more, <a href="${form}">fill in the form again</a>.</p>`;
  return { title, body };
}

/** Whether every client was searched and none would be rotated. With `take_over` a request that selects no known client may still find new ones. */
function nothing(
  { clients: all, rotated, plans: planned, left, unread }: DryRun,
  { take_over: takesOver }: Request,
): boolean {
  if (left > 0 || unread.length > 0) return false;
  if (all > MOST_PLANNED) return rotated === 0;
  return planned.every((plan) => outcomeOf(plan) === 'leave_alone') && !(takesOver && all === 0);
}

function confirming({ breaker: known, rotated, left, unread }: DryRun, fields: KeptRequest['fields']): SafeHtml {
  const asks = known?.asksForConfirmation === true;
  const check = checkField({
    ...{ name: 'confirm', id: 'confirm', required: true },
    label:
      left + unread.length === 0
        ? `Yes: replace the keys of ${many(rotated)}`
        : 'Yes: replace every key that the request finds',
    help: 'Without a confirmation the breaker (`breaker` in the config) refuses the request.',
  });
  return html`<input type="hidden" name="step" value="confirm">${hiddenFields(fields)}${asks ? check : null}`;
}

function size({ rotated, clients, left }: DryRun): SafeHtml {
  const alone = clients - rotated;
  const more =
    left === 0
      ? null
      : html` ${many(left)} more ${left === 1 ? 'was' : 'were'} not searched, because that takes too long here. The request searches all.`;
  return html`<p><strong>${many(rotated)}</strong> would get a new key${left === 0 ? '' : ' at least'}.${alone > 0 ? html` ${many(alone)} would be left alone, because ${alone === 1 ? 'it is' : 'they are'} not enrolled, and so would keep ${alone === 1 ? 'its key' : 'their keys'} in use.` : null}${more}</p>`;
}

/** @param isWhole the visitor may see all clients: a restricted one is not told how many there are */
function breaker(breaking: Breaking, isWhole: boolean): SafeHtml {
  const { isMuch, asksForConfirmation, people } = breaking;
  const fleet = isWhole ? many(breaking.fleet) : 'the fleet';
  const share = `${Number((breaking.breaker * 100).toPrecision(3))} % of ${fleet}`;
  if (!asksForConfirmation) {
    return html`<p>The breaker does not ask for a confirmation: this is one client, or not more than ${share}.</p>`;
  }
  const why = isMuch
    ? `It is more than ${share}.`
    : 'Together with reports of the last hour, or with clients that were not searched, it may be more than the breaker allows.';
  const others =
    people > 1
      ? ` Then it waits for ${people === 2 ? 'a second person' : `${people - 1} more people`} to approve it (approval in the config).`
      : '';
  return html`<p><strong>The breaker asks for a confirmation.</strong> ${why}${others}</p>`;
}

function notes({ unread, errors }: DryRun): SafeHtml | null {
  if (unread.length + errors.length === 0) return null;
  const shown = errors
    .slice(0, MOST_SHOWN)
    .map(({ client, message }) => html`<li><code>${client}</code>: ${prose(message)}</li>`);
  return html`<ul>${unread.slice(0, MOST_SHOWN).map((why) => html`<li>${prose(why)}</li>`)}${shown}</ul>`;
}

const MOST_SHOWN = 20;

/** Of one client: each step, with the body of each PATCH. */
function steps(plan: ClientPlan): SafeHtml {
  const items = plan.steps.map((step) => {
    const [first = '', ...more] = stepLines(step);
    return html`<li>${prose(first)}${more.length === 0 ? null : html`<details><summary>The body that is sent</summary><pre tabindex="0">${more.join('\n')}</pre></details>`}</li>`;
  });
  const under =
    plan.joins === null ? null : html`<p>Rotation <code>${plan.joins}</code> is under way: the request joins it.</p>`;
  const list = items.length === 0 ? null : html`<h2>Step by step</h2><ol>${items}</ol>`;
  return html`<p>${clientLink(plan.client)}, policy ${plan.policy}.</p>${under}${warnings(plan)}${list}`;
}

function warnings(plan: ClientPlan): SafeHtml | null {
  const given = [...takenOver(plan), ...plan.warnings];
  return given.length === 0
    ? null
    : html`<ul class="warnings">${given.map((warning) => html`<li>${prose(warning)}</li>`)}</ul>`;
}

/** A cutover takes away the key that the application signs with, and nothing has shown that it takes ours. */
function takenOver(plan: ClientPlan): readonly string[] {
  if (plan.enrolment === 'enrolled' || outcomeOf(plan) !== 'cutover') return [];
  return [
    `It is ${plan.enrolment}, not enrolled: its application must take the new key from its key folder at once, or it can no longer sign in.`,
  ];
}

const OUTCOMES: Readonly<Record<ReturnType<typeof outcomeOf>, string>> = {
  overlap: 'a new key, at once',
  cutover: 'a new key, at once',
  join: 'joins the rotation under way',
  fail: 'fails at once',
  leave_alone: 'left alone',
};

function plans({ plans: planned, rotated }: DryRun): SafeHtml | null {
  if (planned.length === 0) return null;
  const rows = planned
    .slice(0, MOST_SHOWN)
    .map((plan) => [
      clientLink(plan.client),
      plan.policy,
      stateBadge(plan.state),
      html`${OUTCOMES[outcomeOf(plan)]}${warnings(plan)}`,
    ]);
  const caption = rotated > rows.length ? `The first ${rows.length} of ${number(rotated)} clients` : 'The clients';
  const bound =
    rotated > MOST_PLANNED ? html`<p>Only the first ${MOST_PLANNED} clients were planned one by one.</p>` : null;
  return html`<h2>${caption}</h2>${table({ caption, quiet: true, heads: ['Client', 'Policy', 'State', 'What would happen'], rows })}${bound}`;
}

function many(count: number): string {
  return counted(count, 'client');
}
