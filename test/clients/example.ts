/** The example service of a client library, through real rotations of the keys in its folder. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { expect, onTestFinished } from 'vitest';
import { isChange, type LogEntry } from '../emulator/log.ts';
import { type Fleet, type FleetApp, type FleetClient, KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { until } from '../support/until.ts';
import { type Front, startFront } from './front.ts';

export interface Program {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** What the service prints when it ends. */
interface Printed {
  readonly calls: number;
  readonly failures: readonly string[];
}

const ROTATIONS = 3;

/** A cutover waits for the report of the service: it is not sent before rekeyd has read it. */
const CUTOVER: FleetApp = { ...PEM_APP, policy: { require_ready: 1, ready_timeout: '30s' } };

/** Runs the service against a server that takes one key at a time, and one that takes several. No call may fail. */
export async function expectNoneRefused(program: Program): Promise<void> {
  /** By row id of a client: called when a change of it was applied, before rekeyd hears of that. */
  const changed = new Map<string, () => void>();
  const onAnswered = (call: LogEntry) => (isChange(call) ? changed.get(call.client ?? '')?.() : undefined);
  const fleet = await startFleet({ apps: [CUTOVER, KID_APP], emulator: { onAnswered } });
  await fleet.start();
  const [cutover, overlap] = await Promise.all([runs(fleet, CUTOVER, program), runs(fleet, KID_APP, program)]);
  // Between the cutover and the delivery, the service calls with the old key in the first place.
  changed.set(cutover.client.id, () => {
    const match = { path: /introspect/, client: cutover.client.id };
    fleet.emulator.faults.add({ kind: 'hold', until: cutover.calls(2), when: 'before', match });
  });
  for (let n = 0; n < ROTATIONS; n++) await Promise.all([cutover.rotate(), overlap.rotate()]);
  const [atCutover, atOverlap] = await Promise.all([cutover.stop(), overlap.stop()]);
  expect(atCutover.refused).toBe(ROTATIONS);
  expect(atOverlap.refused).toBe(0);
}

interface Running {
  readonly client: FleetClient;
  /** Resolves when the service has made that many calls more. */
  calls(more: number): Promise<unknown>;
  /** Resolves when the rotation is finished, and the service has signed in with the new key. */
  rotate(): Promise<void>;
  stop(): Promise<{ readonly refused: number }>;
}

async function runs(fleet: Fleet, app: FleetApp, program: Program): Promise<Running> {
  const client = await fleet.managed(app);
  const host = `${app.slug}.example.com`;
  const front = await startFront(fleet.emulator, host);
  const child = start(client, host, front, program);
  const printed = Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  const calls = (more: number) => {
    const goal = front.calls() + more;
    return until(`${more} more calls of the service for ${client.ref}`, (saw) => saw(front.calls()) >= goal);
  };
  await calls(3);
  return {
    client,
    calls,
    async rotate() {
      await fleet.reached(client, await fleet.rotate(client));
      await calls(3);
    },
    async stop() {
      child.kill('SIGTERM');
      const [stdout, stderr, [code]] = await printed;
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      const { calls, failures }: Printed = JSON.parse(stdout);
      expect(failures).toEqual([]);
      expect(calls).toBe(front.calls());
      expect(new Set(front.asked.map(({ kid }) => kid)).size).toBe(ROTATIONS + 1);
      return { refused: front.asked.filter(({ status }) => status !== 200).length };
    },
  };
}

function start({ folder }: FleetClient, host: string, front: Front, { command, args, env }: Program) {
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...env,
      KEYS: folder,
      TOKEN_URL: front.tokenUrl,
      API_URL: front.apiUrl,
      AUDIENCE: `https://${host}/oauth/token`,
      EVERY_S: '0.05',
    },
  });
  onTestFinished(() => void (child satisfies ChildProcess).kill('SIGKILL'));
  return child;
}
