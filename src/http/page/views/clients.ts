/** The list of clients: search, filters, order, and pages. */
import { html, type SafeHtml } from '@remix-run/html-template';
import { formatDuration } from '../../../core/duration.ts';
import { CLIENT_STATES } from '../../../core/state.ts';
import type { ClientStatus } from '../../../status/model.ts';
import {
  CLIENT_CONDITIONS,
  CLIENT_ORDERS,
  type ClientCondition,
  type ClientList,
  type ClientOrder,
  type ClientQuery,
} from '../../../status/views.ts';
import { type Cell, table } from './table.ts';
import {
  away,
  badge,
  clientLink,
  clientsPath,
  counted,
  keyName,
  NONE,
  number,
  prose,
  STATES,
  stateBadge,
} from './words.ts';

/** The apps and policies of the config that the filters offer. */
export interface Choices {
  readonly apps: readonly string[];
  readonly policies: readonly string[];
}

const ORDERS: Readonly<Record<ClientOrder, string>> = {
  urgency: 'most urgent first',
  name: 'name',
  age: 'oldest key first',
  due: 'next due first',
};

const CONDITIONS: Readonly<Record<ClientCondition, string>> = {
  compromised: 'with a compromised key in use',
  drifted: 'drifted',
  signers: 'waiting for a signer',
  paused: 'with a pause of their own',
};

/** @param now ms since the epoch, on the store's clock */
export function clientsPage(list: ClientList, query: ClientQuery, choices: Choices, now: number): SafeHtml {
  return html`<header class="head"><h1>Clients</h1></header>
${filters(query, choices)}
<section data-live="clients">${matching(list, query)}${listed(list, query, now)}${pages(list, query)}</section>`;
}

function filters(query: ClientQuery, { apps, policies }: Choices): SafeHtml {
  const { text, state, app, policy, condition, order } = query;
  return html`<form class="filters" method="get" action="/clients" role="search">
<p class="field grow"><label for="q">Search</label><input id="q" name="q" type="search" value="${text}" placeholder="Part of a reference or client_id, or a whole kid" autocomplete="off" spellcheck="false"></p>
${choice('state', 'State', CLIENT_STATES, state, 'any')}
${choice('app', 'App', apps, app, 'any')}
${choice('policy', 'Policy', policies, policy, 'any')}
<p class="field"><label for="condition">Only</label><select id="condition" name="condition">${option('', 'any', condition === null)}${CLIENT_CONDITIONS.map((one) => option(one, CONDITIONS[one], one === condition))}</select></p>
<p class="field"><label for="order">Order</label><select id="order" name="order">${CLIENT_ORDERS.map((one) => option(one, ORDERS[one], one === order))}</select></p>
<p class="field buttons"><button type="submit">Show</button> <a href="/clients">Show all</a></p>
</form>`;
}

/** The chosen value is offered even if the config no longer has it. */
function choice(name: string, word: string, values: readonly string[], chosen: string | null, any: string): SafeHtml {
  const all = chosen === null || values.includes(chosen) ? values : [...values, chosen];
  return html`<p class="field"><label for="${name}">${word}</label><select id="${name}" name="${name}">${option('', any, chosen === null)}${all.map((value) => option(value, value, value === chosen))}</select></p>`;
}

function option(value: string, text: string, isChosen: boolean): SafeHtml {
  return html`<option value="${value}"${isChosen ? html` selected` : null}>${text}</option>`;
}

function matching({ clients, matching, reading }: ClientList, { after, only }: ClientQuery): SafeHtml {
  const shown = after === null ? '' : '. This is a later page';
  const count =
    matching === null ? `${counted(clients.length, 'client')} on this page` : `${counted(matching, 'client')}`;
  if (reading === null) return html`<p class="as-of">${count}${shown}.</p>`;
  // A restricted visitor is not told how many clients there are.
  const progress = only === null ? `: ${number(reading.read)} of ${number(reading.of)} clients` : '';
  const so = `rekeyd is still reading the fleet${progress}. Until then a search finds whole references and whole kids only, and the order is by name.`;
  return html`<p class="as-of">${count}${shown}. ${so}</p>`;
}

function listed({ clients }: ClientList, query: ClientQuery, now: number): SafeHtml {
  const { text, state, app, policy, condition } = query;
  const isFiltered = text !== '' || [state, app, policy, condition].some((filter) => filter !== null);
  const none = isFiltered
    ? 'No client matches.'
    : 'No clients are known yet. The next sweep or request reads them from the server.';
  const heads = ['Client', 'State', 'Key in use', 'Age', 'Next due', 'Policy'];
  return table({ caption: 'Clients', quiet: true, heads, rows: clients.map((client) => row(client, now)), none });
}

function row(client: ClientStatus, now: number): Cell[] {
  const { active, policy, next_due: nextDue } = client;
  return [
    html`${clientLink(client.client)}${client.client_id === '' ? null : html`<span class="sub clip" title="${client.client_id}">client_id ${client.client_id}</span>`}`,
    html`${badges(client)}${reasonLine(client)}`,
    active === null ? NONE : html`${keyName(active.kid)}<span class="sub">${active.alg ?? NONE}</span>`,
    active === null ? NONE : formatDuration(active.age_seconds * 1_000),
    nextDue === null ? NONE : away(Date.parse(nextDue) - now),
    policy ?? NONE,
  ];
}

/** The state, and what is wrong beside it. */
export function badges({ state, compromised, overdue, drift, paused }: ClientStatus): SafeHtml {
  return html`<span class="badges">${[
    compromised ? badge('alarm', 'alarm', 'compromised') : null,
    stateBadge(state),
    overdue && state !== 'overdue' ? badge('alarm', 'late', 'overdue') : null,
    drift === null ? null : badge('warn', 'differs', 'drifted'),
    paused !== null && state !== 'paused' ? badge('warn', 'pause', 'paused') : null,
  ]}</span>`;
}

/** The one line that says why. */
function reasonLine(client: ClientStatus): SafeHtml | null {
  const { state, halted, last_error: error, waiting, due, rotation, paused } = client;
  const doing = rotation === null ? null : `${rotation.strategy}: ${rotation.phase}`;
  // Nothing is done for these, and nothing is wrong.
  const left = state === 'held' || state === 'found' ? STATES[state].means : null;
  const why = halted ?? error ?? waiting?.why ?? paused?.reason ?? doing ?? due?.message ?? left;
  return why === null ? null : html`<span class="sub why">${prose(why)}</span>`;
}

function pages({ next }: ClientList, query: ClientQuery): SafeHtml | null {
  if (next === null && query.after === null) return null;
  const { text, state, app, policy, condition, order } = query;
  const same = { q: text, state, app, policy, condition, order };
  return html`<nav class="pages" aria-label="Pages of the list">${query.after === null ? null : html`<a href="${clientsPath(same)}">First page</a>`}${next === null ? null : html`<a rel="next" href="${clientsPath({ ...same, after: next })}">Next page</a>`}</nav>`;
}
