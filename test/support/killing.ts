/** Rotations whose worker is killed with SIGKILL at each point that an undisturbed rotation passes. */
import { inParallel } from '../../src/parallel.ts';
import { beginRotation } from './begin.ts';
import { type Fleet, type FleetApp, type FleetClient, startFleet } from './fleet.ts';
import { type Logins, startLogins } from './logins.ts';
import { countedPoints } from './points.ts';
import { until } from './until.ts';
import { startWorker } from './worker-process.ts';

/** How long the jobs of a killed worker wait for the next one. */
export const LOCK_MS = 1_500;

/** For the next worker: a test process that stands still for a while must not lose the jobs that it works on. */
export const NEXT_LOCK_MS = 3 * LOCK_MS;

/** Often enough to meet every state of server and folder, and seldom enough for one process to answer all clients. */
const LOGIN_EVERY_MS = 150;

export interface Killed {
  /** Where its worker died. */
  readonly point: string;
  readonly client: FleetClient;
  readonly rotation: string;
  readonly logins: Logins;
}

/** Begins a rotation of each client, and leaves them to the next worker. @returns their ids, in the same order */
export type Begin = (fleet: Fleet, clients: readonly FleetClient[]) => Promise<readonly string[]>;

const beginRotations: Begin = (fleet, clients) => Promise.all(clients.map((client) => beginRotation(fleet, client)));

/** The points that a rotation of a client of `app` passes when nothing goes wrong, in order. */
export async function pointsOf(app: FleetApp, begin: Begin = beginRotations): Promise<readonly string[]> {
  const fleet = await startFleet({ apps: [app] });
  const client = await fleet.managed(app);
  const points: string[] = [];
  const [rotation = ''] = await begin(fleet, [client]);
  const service = await fleet.start({ hooks: { onPoint: countedPoints((point) => void points.push(point)) } });
  await fleet.reached(client, rotation);
  await service.stop(); // drained: the last point is passed
  return points;
}

/** For each point a client, and one worker for them all that dies with every client at its own point. */
export async function killAtEach(
  app: FleetApp,
  points: readonly string[],
  begin: Begin = beginRotations,
): Promise<[Fleet, readonly Killed[]]> {
  const fleet = await startFleet({ apps: [app], deployment: { concurrency: points.length, timeout: '3s' } });
  const standing: Omit<Killed, 'rotation'>[] = [];
  await inParallel(points, 4, async (point) => {
    const client = await fleet.managed(app);
    standing.push({ point, client, logins: await startLogins(client, { ...fleet, everyMs: LOGIN_EVERY_MS }) });
  });
  const begun = await begin(
    fleet,
    standing.map(({ client }) => client),
  );
  const killed = standing.map((one, index): Killed => ({ ...one, rotation: begun[index] ?? '' }));
  const stopAt = Object.fromEntries(killed.map(({ client, point }) => [client.ref, point]));
  const worker = await startWorker(fleet, fleet.file, { stopAt, lockMs: LOCK_MS, signal: 'SIGKILL' });
  await until('every client stands at its point', () => worker.exitCode !== null || worker.signalCode !== null, 60_000);
  if (worker.signalCode !== 'SIGKILL') throw new Error('the worker ended by itself');
  return [fleet, killed];
}
