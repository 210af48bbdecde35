/** Policies, deployments and workers. */

import { html, type SafeHtml } from '@remix-run/html-template';

import { formatDuration } from '../../../../core/duration.ts';

import { isClockOff } from '../../../../status/fleet/workers.ts';
import type { DeploymentView, FleetView, PolicyView, WorkerView } from '../../../../status/views.ts';
import { type Cell, table } from '../table.ts';
import { away, badge, clientsPath, clock, moment, NONE, number, prose, seconds } from '../words.ts';
import { clockWords } from './needs.ts';

export function policiesTable({ policies, at }: FleetView): SafeHtml {
  const now = Date.parse(at);
  const row = (policy: PolicyView): Cell[] => [
    html`<a href="${clientsPath({ policy: policy.policy })}">${policy.policy}</a>`,
    number(policy.clients),
    policy.owner ?? NONE,
    html`every ${seconds(policy.rotate_every_seconds)}<span class="sub">checked at <code>${policy.schedule}</code> ${policy.timezone}</span>`,
    ticks(policy, now),
    freezes(policy, now),
  ];
  const heads = ['Policy', 'Clients', 'Owner', 'Rotates', 'Next ticks', 'Freezes'];
  return html`<h2>Policies</h2>${table({ caption: 'Policies', quiet: true, heads, rows: policies.map(row), numbers: ['Clients'], none: 'The config has no policy.' })}`;
}

/** The first tick in full, the others as distances. */
function ticks({ next_ticks: [first, ...others] }: PolicyView, now: number): Cell {
  if (first === undefined) return NONE;
  const then = others.map((tick) => away(Date.parse(tick) - now)).join(', ');
  return html`${moment(first, now)}${then === '' ? null : html`<span class="sub">then ${then}</span>`}`;
}

function freezes({ freezes }: PolicyView, now: number): Cell {
  if (freezes.length === 0) return NONE;
  return html`<ul class="plain">${freezes.map(({ from, until, active }) =>
    active
      ? html`<li>${badge('warn', 'pause', 'frozen now')} until ${moment(until, now)}</li>`
      : html`<li>${clock(from)} to ${clock(until)}</li>`,
  )}</ul>`;
}

export function deploymentsTable({ deployments, at }: FleetView): SafeHtml {
  const now = Date.parse(at);
  const row = (one: DeploymentView): Cell[] => [
    html`<strong>${one.deployment}</strong>`,
    deploymentState(one, now),
    number(one.clients),
    budget(one),
    takes(one.rotate_all_seconds),
    takes(one.compromise_all_seconds),
  ];
  const heads = ['Deployment', 'API', 'Clients', 'Budget', 'All rotated in', 'All replaced in'];
  const about = html`<p class="about">The last two columns say how long it takes at this budget when nothing has to be tried twice: to rotate all clients on schedule, and to replace all keys after a compromise.</p>`;
  return html`<h2>Deployments</h2>${about}${table({ caption: 'Deployments', quiet: true, heads, rows: deployments.map(row), numbers: ['Clients'], none: 'The config has no deployment.' })}`;
}

function deploymentState({ paused, throttled_until: until }: DeploymentView, now: number): Cell {
  if (paused !== null) return badge('alarm', 'pause', 'paused');
  if (until === null) return badge('good', 'check', 'answers');
  return html`${badge('warn', 'slow', 'throttled')}<span class="sub">until ${moment(until, now)}</span>`;
}

function budget({ deployment, budget: { max, per_seconds: per, used } }: DeploymentView): Cell {
  const percent = Math.round(Math.min(1, Math.max(0, used)) * 100);
  const rate = `${number(max)} calls ${per === 1 ? 'a second' : `per ${seconds(per)}`}`;
  return html`<meter min="0" max="100" high="90" value="${percent}" aria-label="Budget of ${deployment} in use">${percent} %</meter><span class="sub">${percent} % of ${rate}</span>`;
}

function takes(count: number | null): Cell {
  return count === null ? NONE : formatDuration(count * 1_000);
}

export function workersTable({ workers }: FleetView): SafeHtml {
  const row = (worker: WorkerView): Cell[] => [
    html`<strong>${worker.host}</strong><span class="sub">process ${worker.pid}</span>`,
    worker.version,
    isClockOff(worker) ? badge('warn', 'clock', clockWords(worker)) : clockWords(worker),
    worker.problem === null
      ? badge('good', 'check', 'ready')
      : html`${badge('alarm', 'cross', 'not ready')}<span class="sub">${prose(worker.problem)}</span>`,
  ];
  const heads = ['Worker', 'Version', 'Clock', 'State'];
  return html`<h2>Workers</h2>${table({ caption: 'Workers', quiet: true, heads, rows: workers.map(row), none: 'No worker is connected: `rekeyd start`.' })}`;
}
