/** The fleet: what needs a person, then counts, waves, pauses, policies, deployments and workers. */
import { html, type SafeHtml } from '@remix-run/html-template';
import { scopeWords } from '../../../../core/pause.ts';
import { CLIENT_STATES } from '../../../../core/state.ts';
import type { FleetView } from '../../../../status/views.ts';
import { icon } from '../icons.ts';
import { item } from '../item.ts';
import { away, clientsPath, clock, counted, moment, number, prose, STATES } from '../words.ts';
import { type Need, needsOf } from './needs.ts';
import { proportions } from './proportions.ts';
import { deploymentsTable, policiesTable, workersTable } from './tables.ts';

/** @param controls forms for those that may use them; null for others */
export function fleetPage(view: FleetView, controls: SafeHtml | null): SafeHtml {
  return html`<header class="head"><h1>Fleet</h1></header>
${section('needs', needs(view, controls !== null))}
${section('states', html`${states(view)}${due(view)}`)}
${section('holds', html`${waves(view)}${pauses(view)}`)}
${section('policies', policiesTable(view))}
${section('deployments', deploymentsTable(view))}
${section('workers', workersTable(view))}
${controls === null ? null : html`<section id="controls" class="panel" data-live="controls"><h2>Controls</h2>${controls}</section>`}`;
}

/** The title of the window, with the number of things that need a person. */
export function fleetTitle(view: FleetView): string {
  const count = needsOf(view).length;
  return count === 0 ? 'Fleet' : `(${count}) Fleet`;
}

function section(name: string, inside: SafeHtml): SafeHtml {
  return html`<section data-live="${name}">${inside}</section>`;
}

function needs(view: FleetView, mayControl: boolean): SafeHtml {
  const all = needsOf(view);
  const asOf = html`<p class="as-of">As of ${clock(view.at)}${reading(view.reading)}</p>`;
  if (view.clients === 0 && all.length === 0) {
    return html`<div class="verdict calm">${icon('ask')}<div><h2>No clients are known yet</h2><p>The next sweep or request reads them from the server.</p></div></div>${asOf}`;
  }
  if (all.length === 0) {
    const what = `Of ${counted(view.clients, 'client')} none is halted, failed, overdue or drifted.`;
    return html`<div class="verdict good">${icon('check')}<div><h2>Nothing needs you.</h2><p>${what}</p></div></div>${asOf}`;
  }
  const tone = all.some((need) => need.tone === 'alarm') ? 'alarm' : 'warn';
  const title = all.length === 1 ? 'One thing needs you' : `${all.length} things need you`;
  return html`<div class="verdict ${tone}">${icon('alarm')}<div><h2>${title}</h2></div></div>${asOf}
<ul class="needs">${all.map((need) => needItem(need, mayControl))}</ul>`;
}

/** A visitor who may not act has no forms, and so no links to them. */
function needItem({ tone, icon: name, what, why, go }: Need, mayControl: boolean): SafeHtml {
  const link =
    go === null || (go.isForm === true && !mayControl)
      ? null
      : html`<a class="go" href="${go.to}">${go.text}<span class="unseen">: ${what}</span></a>`;
  return item({ tone, icon: name, what, why: prose(why), beside: link });
}

function reading(reading: FleetView['reading']): string | null {
  if (reading === null) return null;
  return `. rekeyd is still reading the fleet: the counts are of ${number(reading.read)} of ${number(reading.of)} clients.`;
}

function states({ counts, clients }: FleetView): SafeHtml {
  const tiles = CLIENT_STATES.map((state) => {
    const { tone, icon: name, means } = STATES[state];
    const count = counts[state];
    return html`<li><a class="tile ${count === 0 ? 'zero' : tone}" href="${clientsPath({ state })}" title="${means}"><span class="tile-word">${icon(name)}${state}</span><span class="tile-count">${number(count)}</span></a></li>`;
  });
  return html`<h2>${counted(clients, 'client')} by state</h2>${proportions(counts)}<ul class="tiles">${tiles}</ul>`;
}

function due({ due }: FleetView): SafeHtml {
  const parts = [
    { word: 'now', count: due.now },
    { word: 'within 24 hours', count: due.day },
    { word: 'within 7 days', count: due.week },
  ].map(({ word, count }) => html`<div><dt>${word}</dt><dd>${number(count)}</dd></div>`);
  return html`<div class="due"><h3>Due for a scheduled rotation</h3><dl class="figures">${parts}</dl><a href="${clientsPath({ order: 'due' })}">Clients by when they are due</a></div>`;
}

function waves({ waves, at }: FleetView): SafeHtml | null {
  const now = Date.parse(at);
  const running = waves.filter(({ phase }) => phase !== 'stopped');
  if (running.length === 0) return null;
  const items = running.map((wave) => {
    const { policy, phase, clients, first, waiting, active, failed, since, rest_after: after } = wave;
    if (phase === 'rest') {
      return html`<li>${icon('turn')}<div><strong>Policy ${policy}</strong>: the rest of ${counted(clients, 'client')} is begun. ${failed} failed.</div></li>`;
    }
    const left = Date.parse(after) - now;
    const then = left > 0 ? away(left) : 'when those have ended';
    const counts = `${active} in use, ${waiting} under way, ${failed} failed`;
    return html`<li>${icon('turn')}<div><strong>Policy ${policy}</strong>: ${first} of ${counted(clients, 'client')} go first (${counts}). The rest follows ${then}. It began ${moment(since, now)}.</div></li>`;
  });
  return html`<h2>Waves under way</h2><ul class="lines">${items}</ul>`;
}

/** Pauses of single clients are counted: there may be thousands, and each client's page shows its own. */
function pauses({ pauses, at }: FleetView): SafeHtml | null {
  const now = Date.parse(at);
  const shown = pauses.filter((pause) => !('client' in pause));
  const others = pauses.length - shown.length;
  if (pauses.length === 0) return null;
  const items = shown.map((pause) => {
    const until = pause.until === null ? 'until somebody resumes it' : html`until ${moment(pause.until, now)}`;
    return html`<li>${icon('pause')}<div><strong>${scopeWords(pause)}</strong> ${until}, by ${pause.actor}: ${pause.reason}</div></li>`;
  });
  const more =
    others === 0
      ? null
      : html`<li>${icon('pause')}<div><a href="${clientsPath({ condition: 'paused' })}">${counted(others, 'pause of a single client', 'pauses of single clients')}</a></div></li>`;
  return html`<h2>Paused by a person</h2><ul class="lines">${items}${more}</ul>`;
}
