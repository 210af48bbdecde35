/** The state of the fleet as a person reads it: one line per client, what is wrong in capitals. */

import { formatDuration } from '../../core/duration.ts';
import { howToEnroll } from '../../core/enrolment.ts';
import { shortKid } from '../../core/keys.ts';
import { scopeWords, selectorOf } from '../../core/pause.ts';
import { WHILE_REFUSED } from '../../rotation/deployment.ts';
import { exposureLine } from '../../status/client/exposure.ts';
import { waveLine } from '../../status/fleet/waves.ts';
import { webhookLine } from '../../status/fleet/webhooks.ts';
import { isClockOff } from '../../status/fleet/workers.ts';
import type { ClientStatus, DeploymentStatus, KeyStatus, PauseStatus, RotationStatus } from '../../status/model.ts';
import type { DueCounts, PolicyView, Status, WorkerView } from '../../status/views.ts';
import { openTable, print, printTable } from '../output.ts';
import type { Filter, Survey } from './survey.ts';

/**
 * The summary first, then the clients that are listed; of those that somebody named, also keys and signers.
 * @param now the store's clock, ms since the epoch
 */
export async function printStatus(found: Survey, around: Around, now: number, filter: Filter): Promise<void> {
  const { wanted } = found;
  const { counts, clients } = found.tally;
  const { select, state, limit } = filter;
  const isNamed = select !== null && 'clients' in select;
  for (const line of holdLines(around, now)) print(line);
  if (clients === 0) {
    if (isNamed) return;
    const none = 'No clients are known yet. The next sweep or request reads them from the server.';
    return print(select === null ? none : 'No client matches.');
  }
  print(summary(clients, counts));
  if (!isNamed) print(dueLine(around.due));
  const table = openTable(CLIENT_HEADINGS);
  const detailed: ClientStatus[] = [];
  for await (const page of found.pages()) {
    table(page.map((client) => clientRow(client, now)));
    if (isNamed) detailed.push(...page);
  }
  if (wanted === 0 && state !== null) print(`None of them is ${state}.`);
  if (wanted > limit) print(`… and ${wanted - limit} more: --limit N lists more of them`);
  if (!isNamed) for (const line of fleetAdvice(found)) print(line);
  for (const client of detailed) {
    printKeys(client, now);
    for (const exposure of client.exposures ?? []) print(exposureLine(exposure));
    printSigners(client, now);
    if (client.advice != null) print(`What to do: ${client.advice}`);
  }
}

/** What to do about many clients. Of clients that were named, each has its own advice. */
function fleetAdvice({ compromised, drifted, offered, tally: { counts } }: Survey): readonly string[] {
  const lines: readonly (readonly [number, string])[] = [
    [counts.found - offered, `Found clients: the active key of each is not ours. ${howToEnroll('CLIENT')}`],
    [
      offered,
      'Clients that are offered our key: when their applications read their key folders, `rekeyd enroll CLIENT`.',
    ],
    [counts.held, 'Held clients: when their applications read their key folders, `rekeyd enroll CLIENT`.'],
    [compromised, 'COMPROMISED clients: `rekeyd rotate CLIENT --compromised` replaces their keys.'],
    [
      drifted,
      `Drifted clients: ${drifted}. \`rekeyd drift\` shows what their servers have beside what rekeyd publishes.`,
    ],
  ];
  return lines.flatMap(([count, line]) => (count > 0 ? [line] : []));
}

/** What is shown beside the clients. */
type Around = Omit<Status, 'counts' | 'clients'>;

type Holds = Pick<
  Around,
  'deployments' | 'pauses' | 'waves' | 'requests' | 'requests_more' | 'webhooks' | 'audit' | 'policies' | 'workers'
>;

/** What keeps rekeyd from its work, a line for each. */
export function holdLines(around: Holds, now: number): readonly string[] {
  const { deployments, pauses, waves, requests, requests_more: more, webhooks, audit, policies, workers } = around;
  const isLarge = audit.bytes > audit.most_bytes && audit.exports.length === 0;
  return [
    ...deployments.flatMap(deploymentLines),
    // Single clients say so themselves, and may be many.
    ...pauses.filter((pause) => !('client' in pause)).map(pauseLine),
    ...policies.flatMap(freezeLines),
    ...waves.map((wave) => waveLine(wave, now)),
    ...audit.exports.flatMap(({ export: name, error, failing_since: since }) =>
      error === null ? [] : [`FAILING  audit export ${name} since ${since}: ${error} Nothing is cut meanwhile.`],
    ),
    ...(isLarge
      ? ['LARGE  the audit log is larger than audit.most, and nothing is exported and cut: set audit.export.']
      : []),
    ...requests.map(({ request, why }) => `WAITING  request ${request}: ${why} It is tried again.`),
    ...(more === 0 ? [] : [`WAITING  requests beside these: ${more}. They are tried later.`]),
    ...webhooks.map(webhookLine).filter((line) => line !== null),
    ...workers.flatMap(clockLines),
  ];
}

function deploymentLines({ deployment, paused, throttled_until: until }: DeploymentStatus): readonly string[] {
  return [
    ...(paused === null ? [] : [`PAUSED  deployment ${deployment}: ${paused}. ${WHILE_REFUSED}`]),
    ...(until === null ? [] : [`THROTTLED  deployment ${deployment}: its API asks to be left alone until ${until}.`]),
  ];
}

function pauseLine(pause: PauseStatus): string {
  return `PAUSED  ${scopeWords(pause)}, ${pauseWords(pause)}. \`rekeyd resume ${selectorOf(pause)}\` ends it.`;
}

function freezeLines({ policy, freezes }: PolicyView): readonly string[] {
  return freezes
    .filter(({ active }) => active)
    .map(({ until }) => `FROZEN  policy ${policy} until ${until}: no scheduled rotation begins.`);
}

function clockLines(worker: WorkerView): readonly string[] {
  const { host, pid, clock_ahead_seconds: ahead } = worker;
  if (ahead === null || !isClockOff(worker)) return [];
  const off = `${formatDuration(Math.abs(ahead) * 1000)} ${ahead > 0 ? 'ahead of' : 'behind'}`;
  return [`CLOCK  of worker ${host}:${pid} is ${off} Redis's. Synchronise the clocks of both machines (NTP).`];
}

export function dueLine({ now, day, week }: DueCounts): string {
  return `Due by schedule: ${now} now, ${day} within 24 hours, ${week} within 7 days`;
}

function pauseWords({ actor, reason, until }: PauseStatus): string {
  return `by ${actor}${until === null ? '' : ` until ${until}`}: ${reason}`;
}

export const CLIENT_HEADINGS = ['CLIENT', 'POLICY', 'KEY', 'ALG', 'AGE', 'NEXT DUE', 'STATE'];

export function clientRow(client: ClientStatus, now: number): readonly string[] {
  const { active, policy, next_due: nextDue } = client;
  return [
    client.client,
    policy ?? 'none',
    active === null ? '-' : shortKid(active.kid),
    active?.alg ?? '-',
    active === null ? '-' : formatDuration(active.age_seconds * 1000),
    nextDue === null ? '-' : dueIn(Date.parse(nextDue) - now),
    stateOf(client, now),
  ];
}

function dueIn(ms: number): string {
  if (ms > 0) return `in ${formatDuration(ms)}`;
  return ms > -1000 ? 'now' : `${formatDuration(-ms)} ago`;
}

/** What needs a person is in capitals. */
function stateOf(client: ClientStatus, now: number): string {
  const { state, halted, rotation, due, retiring, paused, overdue, drift, last_error: lastError } = client;
  const since = rotation === null ? '' : formatDuration(Math.max(0, now - Date.parse(rotation.since)));
  const parts = [
    client.compromised ? 'COMPROMISED: the key in use was reported and STILL SIGNS IN' : null,
    halted === null ? null : `HALTED: ${halted}`,
    drift === null ? null : `DRIFTED: ${drift.differences.join(', ')}`,
    overdue ? 'OVERDUE: its key is older than must_by' : null,
    rotation === null ? null : rotationLine(rotation, since, now),
    paused === null ? null : `paused ${pauseWords(paused)}`,
    rotation !== null && (state === 'paused' || state === 'throttled') ? state : null,
    state === 'found' || state === 'held' ? state : null,
    due === null ? null : `DUE: ${due.message}`,
    client.waiting === null || rotation?.offered_until != null ? null : `waiting: ${client.waiting.why}`,
    retiring.length === 0 ? null : `${retiring.length} old ${retiring.length === 1 ? 'key' : 'keys'} on the way out`,
    lastError === null || lastError === halted ? null : `${state === 'failed' ? 'FAILED' : 'last error'}: ${lastError}`,
  ].filter((part) => part !== null);
  return parts.length === 0 ? 'healthy' : parts.join('; ');
}

function rotationLine({ phase, strategy, rollback, offered_until: until }: RotationStatus, since: string, now: number) {
  const doing = rollback ? 'putting the previous key back' : 'rotating';
  if (until === null) return `${doing} (${strategy}): ${phase}, for ${since}`;
  return `our key is offered to its application for ${since}, and withdrawn ${dueIn(Date.parse(until) - now)}`;
}

export function summary(clients: number, counts: Status['counts']): string {
  const parts = Object.entries(counts).flatMap(([state, count]) => (count === 0 ? [] : [`${count} ${state}`]));
  return `${clients === 1 ? '1 client' : `${clients} clients`}: ${parts.join(', ')}`;
}

function printKeys({ client, client_id: clientId, keys, retiring }: ClientStatus, now: number): void {
  print('');
  print(`${client}  client_id ${clientId}`);
  const until = new Map(retiring.map((old) => [old.kid, old.until]));
  const age = (key: KeyStatus) => {
    const since = key.activated_at ?? key.created_at;
    return since === null ? '-' : formatDuration(Math.max(0, now - Date.parse(since)));
  };
  const rows = keys.map((key) => [
    key.kid,
    key.alg ?? '-',
    key.state,
    age(key),
    key.proof ?? '-',
    until.get(key.kid) ?? '-',
  ]);
  printTable(['KEY', 'ALG', 'STATE', 'AGE', 'PROOF', 'KEPT UNTIL'], rows);
}

function printSigners({ signers }: ClientStatus, now: number): void {
  if (signers === null) return;
  if (signers.error !== null) print(`Reports of signers cannot be read: ${signers.error}`);
  if (signers.reports.length === 0) return;
  const rows = signers.reports.map(({ name, kids, signing, at, recent }) => [
    name,
    signing === null ? '-' : shortKid(signing),
    kids.map(shortKid).join(' ') || '-',
    `${formatDuration(Math.max(0, now - Date.parse(at)))} ago`,
    signers.missing.includes(name) ? 'NEW KEY MISSING' : recent ? '' : 'too old to count',
  ]);
  printTable(['SIGNER', 'SIGNS WITH', 'HOLDS', 'REPORTED', ''], rows);
}
