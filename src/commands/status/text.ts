/** The state of the fleet as a person reads it: one line per client, what is wrong in capitals. */
import { formatDuration } from '../../core/duration.ts';
import { howToEnroll } from '../../core/enrolment.ts';
import { print, printTable } from '../output.ts';
import type { ClientStatus, KeyStatus, RotationStatus, Status } from './model.ts';
import { waveLine } from './waves.ts';

/** @param now the store's clock, ms since the epoch */
export function printStatus(shown: Status, now: number, { details }: { details: boolean }): void {
  const { clients, counts, deployments, waves } = shown;
  for (const { deployment, paused, throttled_until: until } of deployments) {
    if (paused !== null)
      print(`PAUSED  deployment ${deployment}: ${paused}. Correct the key; rekeyd tries it now and then.`);
    if (until !== null) print(`THROTTLED  deployment ${deployment}: its API asks to be left alone until ${until}.`);
  }
  for (const wave of waves) print(waveLine(wave, now));
  if (clients.length === 0) {
    if (!details) print('No clients are known yet. Clients are taken in by the next sweep or request.');
    return;
  }
  printTable(
    ['CLIENT', 'POLICY', 'KEY', 'ALG', 'AGE', 'NEXT DUE', 'STATE'],
    clients.map((client) => row(client, now)),
  );
  print(summary(clients.length, counts));
  if (counts.found > 0) print(`Found clients: their active keys are not ours. ${howToEnroll('CLIENT')}`);
  if (counts.held > 0) print('Held clients: when their applications read their key folders, `rekeyd enroll CLIENT`.');
  if (clients.some(({ compromised }) => compromised))
    print('COMPROMISED clients: `rekeyd rotate CLIENT --compromised` replaces their keys.');
  if (details) for (const client of clients) printKeys(client, now);
}

function row(client: ClientStatus, now: number): readonly string[] {
  const { active, policy, next_due: nextDue } = client;
  return [
    client.client,
    policy ?? 'none',
    active === null ? '-' : short(active.kid),
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
  const { state, halted, rotation, due, retiring, last_error: lastError } = client;
  const since = rotation === null ? '' : formatDuration(Math.max(0, now - Date.parse(rotation.since)));
  const parts = [
    client.compromised ? 'COMPROMISED: the key in use was reported and STILL SIGNS IN' : null,
    halted === null ? null : `HALTED: ${halted}`,
    rotation === null ? null : rotationLine(rotation, since, now),
    state === 'paused' || state === 'throttled' ? state : null,
    state === 'found' || state === 'held' ? state : null,
    due === null ? null : `DUE: ${due.message}`,
    retiring.length === 0 ? null : `${retiring.length} old ${retiring.length === 1 ? 'key' : 'keys'} on the way out`,
    lastError === null || lastError === halted ? null : `${state === 'failed' ? 'FAILED' : 'last error'}: ${lastError}`,
  ].filter((part) => part !== null);
  return parts.length === 0 ? 'healthy' : parts.join('; ');
}

function rotationLine({ phase, strategy, offered_until: until }: RotationStatus, since: string, now: number): string {
  if (until === null) return `rotating (${strategy}): ${phase}, for ${since}`;
  return `our key is offered to its application for ${since}, and withdrawn ${dueIn(Date.parse(until) - now)}`;
}

function summary(clients: number, counts: Status['counts']): string {
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

/** Enough of a thumbprint to tell keys apart at a glance. */
function short(kid: string): string {
  return kid.length <= 12 ? kid : `${kid.slice(0, 11)}…`;
}
