/** A fleet in which every name that a server, a caller or a signer can choose holds markup. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeKey, withPem } from '../emulator/testing.ts';
import { type Fleet, type FleetApp, type FleetClient, KID_APP, PEM_APP } from '../support/fleet.ts';
import { until } from '../support/until.ts';
import { ATTACK } from './visiting.ts';

const BOTH = { owner: ATTACK };

/** Its rotations wait for a signer. */
const WAITING: FleetApp = { ...PEM_APP, policy: { ...BOTH, require_ready: 1, ready_timeout: '1h' } };
const PLAIN: FleetApp = { ...KID_APP, policy: { ...KID_APP.policy, ...BOTH } };

export const HOSTILE_APPS = [WAITING, PLAIN];

export interface HostileClients {
  /** Its `client_id`, alg and a foreign key are markup, and it has drifted. */
  readonly named: FleetClient;
  /** Reason and actor of its rotation, and what the server says of its PATCH. */
  readonly failed: FleetClient;
  /** What its signer reports. */
  readonly waiting: FleetClient;
  readonly paused: FleetClient;
}

export async function makeHostile(fleet: Fleet): Promise<HostileClients> {
  const named = await fleet.managed(PLAIN);
  const [failed, waiting, paused] = [
    await fleet.managed(PLAIN),
    await fleet.managed(WAITING),
    await fleet.managed(PLAIN),
  ];
  renameAtServer(fleet, named);
  await pause(fleet, paused);
  await report(waiting);
  return { named, failed, waiting, paused };
}

/** What only a service that runs makes of them. */
export async function stirHostile(fleet: Fleet, { named, failed, waiting }: HostileClients): Promise<void> {
  const message = `Locked ${ATTACK}`;
  fleet.emulator.faults.add({
    kind: 'status',
    status: 400,
    message,
    match: { method: 'PATCH', isLook: false, client: failed.id },
  });
  const hostile = { reason: `why ${ATTACK}`, actor: `who ${ATTACK}` };
  await fleet.request({ select: { clients: [failed.ref, waiting.ref] }, ...hostile });
  await until('one fails', async () => (await fleet.record(failed)).failure !== null);
  await until('one waits', async () => (await fleet.record(waiting)).signers.reported !== undefined);
  await until('one has drifted', async () => (await fleet.record(named)).drift !== undefined);
  await fleet.queues.control.add('request', { v: 1, select: { policy: ATTACK }, ...hostile, compromised: false });
}

function renameAtServer({ emulator }: Fleet, { id, key }: FleetClient): void {
  const rename = (row: Record<string, unknown>) => ({
    ...row,
    client_id: `oc_${ATTACK}`,
    client_name: ATTACK,
    token_endpoint_auth_signing_alg: ATTACK,
    jwks: { keys: [withPem(key), { ...withPem(makeKey('ES256')), kid: ATTACK, alg: ATTACK }] },
  });
  const tamper = (body: unknown) =>
    JSON.parse(JSON.stringify(body), (_, value) => (value?.id === id && 'client_id' in value ? rename(value) : value));
  emulator.faults.add({ kind: 'tamper', tamper, match: { method: 'GET' }, times: Number.POSITIVE_INFINITY });
}

async function pause({ resources: { store } }: Fleet, { ref }: FleetClient): Promise<void> {
  const at = await store.now();
  await store.beginPause(
    { scope: { client: ref }, actor: `who ${ATTACK}`, reason: `why ${ATTACK}`, at, until: null },
    [],
  );
}

/** What is said of other keys than those of the client is not heard. */
async function report({ folder, key }: FleetClient): Promise<void> {
  await mkdir(join(folder, 'signers'), { recursive: true });
  const said = { kids: [key.kid, ATTACK], signing: ATTACK, at: new Date().toISOString() };
  await writeFile(join(folder, 'signers', 'host-1.json'), JSON.stringify(said));
}

/** Has to be said again every few seconds. */
export async function haveHostileWorker({ resources: { store } }: Fleet): Promise<void> {
  const note = {
    host: `host ${ATTACK}`,
    pid: 1,
    version: ATTACK,
    config: {},
    reload: null,
    problem: `problem ${ATTACK}`,
  };
  await store.bePresent('hostile', note);
}
