/** One screen of `status --watch`: the fleet at the top, then clients, those that need a person first. */

import { formatDuration } from '../../core/duration.ts';
import type { Resources } from '../../rotation/resources.ts';
import type { ClientStatus } from '../../status/model.ts';
import { surroundingsOf } from '../../status/surroundings.ts';
import type { ClientQuery, DeploymentView, FleetView, PolicyView, Views, WorkerView } from '../../status/views.ts';
import { tableLines } from '../output.ts';
import type { Select } from '../select.ts';
import { type Filter, survey } from './survey.ts';
import { CLIENT_HEADINGS, clientRow, dueLine, holdLines, summary } from './text.ts';

/** How many clients are shown at least, however long the head is. */
const LEAST_CLIENTS = 5;

/** How many rows are used where there is no terminal. */
const ROWS = 50;

/** Deployments, policies and workers that have a line each; the others are counted. */
const MOST_EACH = 4;

/** @param rows of the window; null: there is none */
export async function pictureOf(
  views: Views,
  resources: Resources,
  filter: Filter,
  rows: number | null,
): Promise<readonly string[]> {
  const fleet = await views.fleet();
  const now = Date.parse(fleet.at);
  const head = headLines(fleet, now);
  // 4 rows: the blank line, the headings, `… and N more`, and the last row of the window, which stays empty.
  const left = (rows ?? ROWS) - 4 - head.length;
  const limit = Math.min(filter.limit, Math.max(LEAST_CLIENTS, left));
  const listed = await clientsOf(views, resources, filter, limit);
  const most = rows === null ? head.length : Math.max(3, rows - 4 - Math.min(limit, listed.clients.length));
  const table = tableLines(
    CLIENT_HEADINGS,
    listed.clients.map((client) => clientRow(client, now)),
  );
  const shown = head.length > most ? [...head.slice(0, most - 1), '… make the window higher to see all of it'] : head;
  return [...shown, '', ...(listed.clients.length === 0 ? ['No client matches.'] : table), ...listed.more];
}

function headLines(fleet: FleetView, now: number): readonly string[] {
  const { reading, clients, counts, deployments, policies, workers, compromised, drifted } = fleet;
  const known = clients === 0 ? 'No clients are known yet' : summary(clients, counts);
  const part = reading === null ? '' : `  (rekeyd is still reading: ${reading.read} of ${reading.of})`;
  return [
    `${fleet.at.slice(0, 19)}Z  ${known}${part}`,
    ...(compromised === 0
      ? []
      : [`COMPROMISED  and still in use: ${compromised}. \`rekeyd rotate CLIENT --compromised\``]),
    ...(drifted === 0 ? [] : [`DRIFTED  ${drifted}. \`rekeyd drift\` shows both documents.`]),
    ...holdLines(fleet, now),
    dueLine(fleet.due),
    ...few('deployments', DEPLOYMENTS, deployments.map(deploymentRow)),
    ...few(
      'policies',
      POLICIES,
      policies.map((policy) => policyRow(policy, now)),
    ),
    ...(workers.length === 0
      ? ['No worker runs: nothing is rotated. `rekeyd start` is one.']
      : few('workers', WORKERS, workers.map(workerRow))),
  ];
}

function few(what: string, headings: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  const more = rows.length - MOST_EACH;
  const lines = tableLines(headings, rows.slice(0, MOST_EACH));
  return more > 0 ? [...lines, `… and ${more} more ${what}`] : lines;
}

const DEPLOYMENTS = ['DEPLOYMENT', 'CLIENTS', 'CALLS', 'USED', 'ALL ROTATED IN', 'AFTER A COMPROMISE'];

function deploymentRow(view: DeploymentView): readonly string[] {
  const { deployment, clients, budget, rotate_all_seconds: all, compromise_all_seconds: compromised } = view;
  const calls = `${budget.max} in ${formatDuration(budget.per_seconds * 1000)}`;
  const times = [all, compromised].map((seconds) => (seconds === null ? '-' : formatDuration(seconds * 1000)));
  return [deployment, `${clients}`, calls, `${Math.round(budget.used * 100)} %`, ...times];
}

const POLICIES = ['POLICY', 'CLIENTS', 'NEXT TICKS', 'NEXT FREEZE'];

function policyRow({ policy, clients, next_ticks: ticks, freezes }: PolicyView, now: number): readonly string[] {
  const next = ticks.map((tick) => `in ${formatDuration(Math.max(0, Date.parse(tick) - now))}`).join(', ');
  const freeze = freezes.find(({ active }) => !active);
  return [
    policy,
    `${clients}`,
    next,
    freeze === undefined ? '-' : `${freeze.from.slice(0, 10)} to ${freeze.until.slice(0, 10)}`,
  ];
}

const WORKERS = ['WORKER', 'VERSION', 'CLOCK', 'STATE'];

function workerRow({ host, pid, version, clock_ahead_seconds: ahead, problem }: WorkerView): readonly string[] {
  const clock = ahead === null ? 'not told' : `${ahead < 0 ? '' : '+'}${ahead.toFixed(1)} s`;
  return [`${host}:${pid}`, version, clock, problem === null ? 'ready' : `NOT READY: ${problem}`];
}

interface Listed {
  readonly clients: readonly ClientStatus[];
  /** Lines below them. */
  readonly more: readonly string[];
}

async function clientsOf(views: Views, resources: Resources, filter: Filter, limit: number): Promise<Listed> {
  const { select, state } = filter;
  if (select !== null && 'clients' in select) return namedOf(resources, { ...filter, limit });
  const query: ClientQuery = {
    ...{ text: '', condition: null, order: 'urgency', after: null, only: null, limit, state },
    ...placeOf(select),
  };
  const { clients, matching } = await views.clients(query);
  const more = (matching ?? clients.length) - clients.length;
  return { clients, more: more > 0 ? [`… and ${more} more`] : [] };
}

function placeOf(select: Select | null): Pick<ClientQuery, 'app' | 'policy'> {
  const app = select !== null && 'app' in select ? select.app : null;
  return { app, policy: select !== null && 'policy' in select ? select.policy : null };
}

async function namedOf(resources: Resources, filter: Filter): Promise<Listed> {
  const found = await survey(filter, await surroundingsOf(resources), resources);
  const clients: ClientStatus[] = [];
  for await (const page of found.pages()) clients.push(...page);
  return { clients, more: found.unknown.map((ref) => `${ref} is not known.`) };
}
