/** The state of the fleet as a person reads it: one line per client, what is wrong in capitals. */
import { formatDuration } from '../../core/duration.ts';
import { print, printTable } from '../output.ts';
import type { ClientStatus, KeyStatus, Status } from './model.ts';

/** @param now the store's clock, ms since the epoch */
export function printStatus({ clients, paused }: Status, now: number, { details }: { details: boolean }): void {
  for (const deployment of paused) {
    print(`PAUSED  deployment ${deployment}: its API key was refused. Correct the key; rekeyd resumes by itself.`);
  }
  if (clients.length === 0) {
    print('No clients are known yet. Clients are taken in by the next sweep or request.');
    return;
  }
  printTable(
    ['CLIENT', 'POLICY', 'KEY', 'ALG', 'AGE', 'NEXT DUE', 'STATE'],
    clients.map((client) => row(client, now)),
  );
  print(summary(clients));
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

function stateOf({ halted, rotation, due, retiring, last_error: lastError }: ClientStatus, now: number): string {
  const since = rotation === null ? '' : formatDuration(Math.max(0, now - Date.parse(rotation.since)));
  const parts = [
    halted === null ? null : `HALTED: ${halted}`,
    rotation === null ? null : `rotating (${rotation.strategy}): ${rotation.phase}, for ${since}`,
    due === null ? null : `OVERDUE: ${due.message}`,
    retiring.length === 0 ? null : `${retiring.length} old ${retiring.length === 1 ? 'key' : 'keys'} on the way out`,
    lastError === null || lastError === halted ? null : `last error: ${lastError}`,
  ].filter((part) => part !== null);
  return parts.length === 0 ? 'ok' : parts.join('; ');
}

function summary(clients: readonly ClientStatus[]): string {
  const count = (name: string, is: (client: ClientStatus) => boolean) => {
    const found = clients.filter(is).length;
    return found === 0 ? [] : [`${found} ${name}`];
  };
  const parts = [
    ...count('rotating', ({ rotation }) => rotation !== null),
    ...count('overdue', ({ due }) => due !== null),
    ...count('halted', ({ halted }) => halted !== null),
  ];
  const total = clients.length === 1 ? '1 client' : `${clients.length} clients`;
  return parts.length === 0 ? total : `${total}: ${parts.join(', ')}`;
}

function printKeys({ client, client_id: clientId, keys, retiring }: ClientStatus, now: number): void {
  print('');
  print(`${client}  client_id ${clientId}`);
  const until = new Map(retiring.map((old) => [old.kid, old.until]));
  const age = (key: KeyStatus) => formatDuration(Math.max(0, now - Date.parse(key.activated_at ?? key.created_at)));
  const rows = keys.map((key) => [key.kid, key.alg, key.state, age(key), key.proof ?? '-', until.get(key.kid) ?? '-']);
  printTable(['KEY', 'ALG', 'STATE', 'AGE', 'PROOF', 'KEPT UNTIL'], rows);
}

/** Enough of a thumbprint to tell keys apart at a glance. */
function short(kid: string): string {
  return kid.length <= 12 ? kid : `${kid.slice(0, 11)}…`;
}
