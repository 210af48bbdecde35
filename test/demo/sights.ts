/** What a fleet of many months has and one that was just made has not, so that each part of the page shows something. */
import { writeFile } from 'node:fs/promises';
import { slotJobId } from '../../jobs/queues.ts';
import { parseReference } from '../../src/core/client.ts';
import { pauseEntry } from '../../src/core/pause.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { importKey } from '../../src/rotation/import.ts';
import { keksOf } from '../../src/rotation/policy.ts';
import type { Service } from '../../src/runtime/service.ts';
import { CHANGE } from '../emulator/fault-rules.ts';
import type { Emulator } from '../emulator/server.ts';
import { makeKey, withPem } from '../emulator/testing.ts';
import { until } from '../support/until.ts';
import { configText, type DemoConfig } from './config.ts';
import { type AppSlug, DEPLOYMENT, type DemoClient, type RegisteredClient, register } from './fleet.ts';

export interface Scene {
  readonly demo: DemoConfig;
  readonly emulator: Emulator;
  readonly service: Service;
  readonly clients: readonly RegisteredClient[];
}

const WHO = { actor: 'demo', reason: 'demo: something to look at' };

/** Clients that came later: one is only found, and the other one is held. */
const NEWCOMER: DemoClient = { app: 'by-kid', policy: 'default', before: 'ES256', registered: 'jwks', note: '' };

const POLICIES = {
  // Its rotation waits for three minutes, with both keys published.
  'overlap-eddsa': { overlap: '3m' },
  // Its rotation waits for a second signer, which does not come.
  'cutover-rs256': { require_ready: 2, ready_timeout: '1d' },
  'overlap-rs256': { rotate_every: '1d' },
  'cutover-rs256-pem': { rotate_every: '7d' },
  // Both of its clients are due for another format: one goes first, and fails.
  'cutover-es256': { format: 'pem', cohort: { first: '50%', then: '1h', stop_after: 1 }, owner: 'team-payments' },
};

/** Resolves when all of it can be seen. */
export async function arrangeSights(scene: Scene): Promise<void> {
  const { emulator, service } = scene;
  const [found, held] = [register(emulator, NEWCOMER), register(emulator, NEWCOMER)];
  await reload(scene, [found, held]);
  const { resources } = service;
  await importKey(resources, keksOf(resources.config), {
    ref: parseReference(held.ref),
    text: held.privateKeyPem,
    enroll: false,
    cause: { ...WHO, request: null },
  });
  await Promise.all([drift(scene), rotateTwo(scene), stopWave(scene), pause(scene)]);
}

async function reload({ demo, service }: Scene, newcomers: readonly RegisteredClient[]): Promise<void> {
  const { file } = service.resources.config;
  await writeFile(file, configText({ ...demo, clients: [...demo.clients, ...newcomers], policies: POLICIES }));
  const outcome = await service.reload(WHO);
  if (outcome.kind !== 'changed') throw new Error(`the config was not taken: ${JSON.stringify(outcome)}`);
}

/** Somebody adds a key of their own at the server. */
async function drift(scene: Scene): Promise<void> {
  const client = firstOf(scene, 'by-kid', 'overlap-es256');
  const { jwks } = scene.emulator.client(DEPLOYMENT, client.app, client.id);
  const keys = [...(jwks?.keys ?? []), withPem(makeKey('ES256'))];
  scene.emulator.edit(DEPLOYMENT, client.app, client.id, { jwks: { keys } });
  await seen(scene, client, 'the drift is noted', ({ drift: noted }) => noted !== undefined);
}

async function rotateTwo(scene: Scene): Promise<void> {
  const [leaving, waiting] = [firstOf(scene, 'by-kid', 'overlap-eddsa'), firstOf(scene, 'first-pem', 'cutover-rs256')];
  const select = { clients: [leaving.ref, waiting.ref] };
  await scene.service.queues.request({ v: 1, select, ...WHO, compromised: false });
  await seen(scene, leaving, 'its new key signs', ({ retirements }) => retirements.length > 0);
  await seen(scene, waiting, 'it waits for a signer', ({ rotation }) => rotation?.phase.name === 'delivered');
}

async function stopWave({ emulator, service }: Scene): Promise<void> {
  const policy = 'cutover-es256';
  const message = 'OAuth client is locked by an administrator';
  emulator.faults.add({ kind: 'status', status: 400, message, match: { ...CHANGE, app: 'first-pem' } });
  const sweep = { v: 1, policy, slot: 'demo', reindex: true };
  await service.queues.addUpkeep('sweep', sweep, slotJobId('sweep', policy, 'demo'));
  await until('its wave stops', async (saw) => {
    const { wave } = saw(await service.resources.store.wave(policy)) ?? {};
    return wave?.phase === 'stopped';
  });
}

async function pause(scene: Scene): Promise<void> {
  const { store } = scene.service.resources;
  const scope = { client: parseReference(firstOf(scene, 'first-pem', 'cutover-pem').ref) };
  const [at, reason] = [await store.now(), 'its application moves to another data centre'];
  const paused = { scope, actor: WHO.actor, reason, at, until: at + 4 * 3_600_000 };
  await store.beginPause(paused, [pauseEntry('schedule.paused', scope, { ...WHO, reason })]);
}

function firstOf({ clients }: Scene, app: AppSlug, policy: string): RegisteredClient {
  const client = clients.find((one) => one.app === app && one.policy === policy);
  if (client === undefined) throw new Error(`no client of ${app} has the policy ${policy}`);
  return client;
}

function seen(scene: Scene, { ref }: RegisteredClient, what: string, is: (record: ClientRecord) => boolean) {
  return until(`${ref}: ${what}`, async () => {
    const loaded = await scene.service.resources.store.load(parseReference(ref));
    return loaded !== null && is(loaded.record);
  });
}
