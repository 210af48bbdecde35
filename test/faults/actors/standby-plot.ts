/** Keys are reported while others are kept ready: some reports spare the standby keys, others mean them too. */
import { setTimeout as delay } from 'node:timers/promises';
import { APPS } from '../stage/apps.ts';
import type { FaultClient } from '../stage/fleet.ts';
import type { Scene } from '../stage/scenario.ts';
import type { Stage } from '../stage/stage.ts';
import { isBusy, PATIENCE_MS, POLL_MS, recordOf } from './asking.ts';

/** A standby key is replaced at that age: some are within each run. */
const OLDEST_MS = 5_000;

/** How late a standby key may be replaced in calm: upkeep looks once a second. */
const LATE_MS = 4_000;

const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];

/** Rotations on schedule would take the standby keys before they are old: their window is days away. */
function distantWindow(): string {
  const today = new Date().getUTCDay();
  return `${DAYS[(today + 3) % 7]}-${DAYS[(today + 4) % 7]} 00:00-24:00`;
}

const policy = {
  ...{ standby: true, rotate_every: `${OLDEST_MS}ms`, must_by: '1h', propagation: '0s' },
  ...{ schedule: '* * * * * *', windows: [distantWindow()] },
};

/** Without those whose rotations cannot succeed. The key of a report is away at once, and whoever signs just then tries again. */
export const apps = APPS.filter(({ ends }) => ends === 'finished').map((app) => ({
  ...app,
  logins: 'two' as const,
  policy: { ...app.policy, ...policy },
}));

/** Whose keys are rotated: the others have no standby key. */
export function entrusted({ clients }: Pick<Scene<Stage>, 'clients'>): readonly FaultClient[] {
  return clients.filter(({ enrolment }) => enrolment === 'enrolled');
}

/** Waits until everybody has a standby key with its signers, and nothing else to do. */
export async function ready(scene: Scene<Stage>, patienceMs: number): Promise<void> {
  const lacking = new Set(entrusted(scene));
  for (const end = performance.now() + patienceMs; lacking.size > 0; await delay(POLL_MS)) {
    for (const client of lacking) {
      const record = await recordOf(scene.raw, client.ref);
      const kid = record?.standby?.kid ?? null;
      if (kid !== null && !isBusy(record) && record?.signers?.delivered?.next === kid) lacking.delete(client);
    }
    if (lacking.size === 0 || performance.now() < end) continue;
    for (const { ref } of lacking) scene.accuse('standby_missing', ref, 'has no standby key with its signers');
    return;
  }
}

/** Reports the key in use. */
export function report(scene: Scene<Stage>, { ref }: FaultClient, keeps: boolean): Promise<readonly string[] | null> {
  return scene.ask({ select: { clients: [ref] }, compromised: true, keep_standby: keeps });
}

/** In calm, each standby key is another one once it is as old as a key may become. */
export async function areReplaced(scene: Scene<Stage>): Promise<void> {
  await delay(OLDEST_MS + LATE_MS);
  for (const { ref } of entrusted(scene)) {
    const record = await recordOf(scene.raw, ref);
    const kid = record?.standby?.kid ?? null;
    const madeAt = record?.keys.find((key) => key.kid === kid)?.createdAt ?? Number.POSITIVE_INFINITY;
    if (Date.now() - madeAt > OLDEST_MS + LATE_MS)
      scene.accuse('standby_old', ref, `its standby key ${kid} is older than rotate_every`);
  }
  // One that was just given up has no successor yet.
  await ready(scene, PATIENCE_MS);
}
