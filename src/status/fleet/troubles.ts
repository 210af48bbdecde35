/** What a person should be woken for, by the numbers of a fleet: a line for each. For monitors that compare no numbers themselves. */
import type { FleetNumbers } from '../../metrics/fleet.ts';

/** When upkeep is late by more than this, in s, no worker runs it. */
const LATE_S = 600;

/** When an audit entry waits longer than this, in s, no worker seals. */
const UNSEALED_S = 600;

/** An audit export that is behind by more than this, in s, does not go on. */
const BEHIND_S = 900;

/** The part of `audit.most` from which the log is too large. Just after a cut it may be a little above 1. */
const LARGE = 1.05;

export function troublesOf(numbers: FleetNumbers): readonly string[] {
  const { states, compromised, deployments, waves, webhooks, upkeepLate, unsealed, audit } = numbers;
  const late = [...audit.behind].filter(([, seconds]) => seconds > BEHIND_S);
  const paused = [...deployments].filter(([, state]) => state.paused).map(([id]) => id);
  const stopped = [...waves].filter(([, isStopped]) => isStopped).map(([policy]) => policy);
  const failing = [...webhooks].filter(([, state]) => state.failing).map(([name]) => name);
  const dead = [...webhooks].filter(([, state]) => state.dead > 0).map(([name]) => name);
  return [
    ...counted(compromised, 'Clients that sign in with a key that was reported as compromised'),
    ...counted(states.overdue, 'Clients with keys that are older than must_by'),
    ...counted(states.halted, 'Clients that are halted until a person looks'),
    ...counted(states.failed, 'Clients with a last rotation that failed'),
    ...paused.map((id) => `The API of deployment ${id} refuses our key`),
    ...stopped.map((policy) => `The wave of policy ${policy} has stopped`),
    ...failing.map((name) => `The webhook ${name} cannot be delivered`),
    ...dead.map((name) => `The webhook ${name} has dead letters`),
    ...(upkeepLate > LATE_S ? ['No worker looks after unfinished work'] : []),
    ...late.map(([name]) => `The audit export ${name} does not go on`),
    ...(audit.bytes > LARGE * audit.mostBytes ? ['The audit log is larger than audit.most'] : []),
    ...(unsealed.seconds > UNSEALED_S ? ['The audit log is not sealed any more'] : []),
  ];
}

function counted(count: number, what: string): readonly string[] {
  return count === 0 ? [] : [`${what}: ${count}`];
}
