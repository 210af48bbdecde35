/**
 * The drill of docs/backup.md: a backup is made in the middle of a fleet rotation, the fleet goes on, and the store is lost. Then the backup is put back, as the
 * page says.
 */
import { copyFile, cp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { connectRedis } from '../../src/store/redis/connection.ts';
import { CHANGE } from '../emulator/fault-rules.ts';
import { snapshot } from '../store/fixtures.ts';
import { rekeyd, statusOf } from '../support/command.ts';
import {
  DEPLOYMENT,
  type Fleet,
  type FleetApp,
  type FleetClient,
  KID_APP,
  PEM_APP,
  startFleet,
} from '../support/fleet.ts';
import { startLogins } from '../support/logins.ts';
import { thumbprints } from '../support/published.ts';
import { until } from '../support/until.ts';

/** A job that was at work when the copy was made is at work again when that is put back, until its lock is over. */
const LOCK_MS = 1_000;

interface Kind {
  /** Not touched since the backup. */
  readonly done: FleetClient;
  /** Its rotation was under way. */
  readonly midway: FleetClient;
  /** Rotated before and after. */
  readonly later: FleetClient;
  /** Imported, and first rotated after the backup. */
  readonly imported: FleetClient;
}

const rotateAll = (fleet: Fleet, clients: readonly FleetClient[]) =>
  Promise.all(clients.map(async (client) => fleet.reached(client, await fleet.rotate(client))));

const onServer = ({ emulator }: Fleet, { app, id }: FleetClient) =>
  thumbprints(emulator.client(DEPLOYMENT, app.slug, id));

const metaOf = async ({ folder }: FleetClient) => JSON.parse(await readFile(join(folder, 'meta.json'), 'utf8'));

async function kindOf(fleet: Fleet, app: FleetApp): Promise<Kind> {
  const [done, midway, later, imported] = await Promise.all([1, 2, 3, 4].map(() => fleet.managed(app)));
  if (!done || !midway || !later || !imported) throw new Error('four clients were made');
  return { done, midway, later, imported };
}

/** A fleet whose backup was made in the middle of a rotation, and that has gone on since. Nothing runs any more. */
async function afterTheBackup() {
  const fleet = await startFleet();
  const operator = await connectRedis({ socketPath: fleet.redis.socketPath }, { name: 'operator' });
  onTestFinished(() => operator.disconnect());
  const kinds = await Promise.all([PEM_APP, KID_APP].map((app) => kindOf(fleet, app)));
  const service = await fleet.start({ lockMs: LOCK_MS });
  await rotateAll(
    fleet,
    kinds.flatMap(({ done, later }) => [done, later]),
  );
  const going = Promise.withResolvers<void>();
  const holds = kinds.map(({ midway: { id: client } }, index) => {
    // One PATCH has reached the server, the other has not.
    const when = index === 0 ? ('after' as const) : ('before' as const);
    // One that is sent again, because its job lost the lock meanwhile, is held too.
    const every = { match: { ...CHANGE, client }, times: Number.POSITIVE_INFINITY };
    return fleet.emulator.faults.add({ kind: 'hold', until: going.promise, when, ...every });
  });
  const rotating = await Promise.all(
    kinds.map(async ({ midway }) => ({ client: midway, rotation: await fleet.rotate(midway) })),
  );
  await until('both PATCHes are under way', () => holds.every(({ fired }) => fired > 0));

  const [keys, marker] = [join(fleet.dir, 'data', 'keys'), join(fleet.dir, 'data', 'store.json')];
  const backup = { redis: await snapshot(operator), keys: join(fleet.dir, 'backup'), marker: `${marker}.backup` };
  await cp(keys, backup.keys, { recursive: true, verbatimSymlinks: true });
  await copyFile(marker, backup.marker);

  going.resolve();
  for (const { client, rotation } of rotating) await fleet.reached(client, rotation);
  await rotateAll(
    fleet,
    kinds.flatMap(({ later, imported }) => [later, imported]),
  );
  await service.stop();
  return {
    fleet,
    clients: kinds.flatMap((kind) => Object.values(kind) as FleetClient[]), // the members of a Kind
    outdated: kinds.flatMap(({ midway, later, imported }) => [midway, later, imported]),
    kinds,
    restoreRedis: backup.redis,
    async restoreFolders() {
      await rm(keys, { recursive: true });
      await cp(backup.keys, keys, { recursive: true, verbatimSymlinks: true });
      await copyFile(backup.marker, marker);
    },
  };
}

const stateNow = async (fleet: Fleet) =>
  new Map((await statusOf(fleet)).clients.map((client) => [client.client, client]));

test('the store is lost, and the key folders are there: their keys are taken back, and nobody notices', async () => {
  const { fleet, clients, outdated, restoreRedis } = await afterTheBackup();
  const logins = await Promise.all(clients.map((client) => startLogins(client, { ...fleet, everyMs: 100 })));
  const before = new Map(await Promise.all(clients.map(async (one) => [one.ref, await onServer(fleet, one)] as const)));
  await restoreRedis();
  await expect(rekeyd(fleet, 'store', 'status')).rejects.toThrow(/was rolled back.*rekeyd store declare-loss/);
  await expect(rekeyd(fleet, 'rotate', '--all')).rejects.toThrow(/was rolled back/);
  const declared = JSON.parse(await rekeyd(fleet, 'store', 'declare-loss', '--reason', 'restored', '--json'));
  await fleet.start({ lockMs: LOCK_MS });

  // Every client whose key the backup does not know is named, and left as it is.
  const refs = outdated.map(({ ref }) => ref).sort();
  const { store } = fleet.resources;
  await until(
    'the backup is compared with the server',
    async (saw) => saw(await store.enrolmentCounts()).found === refs.length,
    60_000,
  );
  const found = JSON.parse(await rekeyd(fleet, 'status', '--state', 'found', '--json'));
  expect(found.clients.map(({ client }: { client: string }) => client).sort()).toEqual(refs);
  const told = (await fleet.audit()).filter(({ seq }) => seq > Number(declared.entries ?? 0));
  const again = told.filter(({ type, data }) => type === 'client.found' && typeof data.error === 'string');
  expect(again.map(({ client }) => client).sort()).toEqual(refs);
  for (const client of clients) expect(await onServer(fleet, client)).toEqual(before.get(client.ref));

  for (const { ref, folder } of outdated)
    await rekeyd(fleet, 'keys', 'import', ref, '--file', join(folder, 'current.pem'), '--enroll');
  const states = await stateNow(fleet);
  for (const { ref, ...client } of clients) {
    expect(states.get(ref), ref).toMatchObject({
      state: 'healthy',
      enrolment: 'enrolled',
      active: { kid: (await metaOf({ ref, ...client })).current },
    });
  }
  // All go on as before.
  await rotateAll(fleet, clients);
  for (const stream of logins) {
    await stream.more(3);
    expect((await stream.stop()).refused).toEqual([]);
  }
});

test('everything is lost, folders too: what the backup knows is put back, and what it cannot know is said', async () => {
  const { fleet, clients, kinds, restoreRedis, restoreFolders } = await afterTheBackup();
  await restoreRedis();
  await restoreFolders();
  // Nothing of this machine is newer than the store, so it is not known that anything is missing.
  expect(JSON.parse(await rekeyd(fleet, 'store', 'status', '--json')).problem).toBeNull();
  await fleet.start({ lockMs: LOCK_MS });

  const unsure = kinds.map(({ imported }) => imported);
  const sure = clients.filter((client) => !unsure.includes(client));
  const states = await until(
    'all have come to rest',
    async () => {
      const now = await stateNow(fleet);
      const isAtRest = sure.every(
        ({ ref }) => now.get(ref)?.state === 'healthy' && now.get(ref)?.retiring.length === 0,
      );
      const isTold = unsure.every(({ ref }) => now.get(ref)?.state === 'failed');
      // What was published after the backup is no longer what the server goes by.
      const isBack = (await Promise.all(sure.map(async (one) => (await activeOnServer(fleet, one)).isThere))).every(
        Boolean,
      );
      return isAtRest && isTold && isBack && now;
    },
    60_000,
  );
  for (const client of sure) {
    const logins = await startLogins(client, fleet);
    await logins.more(3);
    expect(await logins.stop(), client.ref).toMatchObject({ refused: [] });
  }
  // An imported key that was never published by us is not put over somebody else's.
  for (const { ref } of unsure)
    expect(states.get(ref)?.last_error).toMatch(/the server does not show key .*rekeyd rotate.*rekeyd release/);
  const drifted = JSON.parse(await rekeyd(fleet, 'audit', 'tail', '-n', '1000', '--json'))
    .filter(({ type }: { type: string }) => type === 'client.drifted')
    .map(({ client }: { client: string }) => client);
  for (const { later } of kinds) expect(drifted).toContain(later.ref);
});

/** Whether the key that the application reads from its folder is on the server. */
async function activeOnServer(fleet: Fleet, client: FleetClient) {
  const { current } = await metaOf(client);
  const [only, shown] = [client.key.kid, await onServer(fleet, client)];
  const [own] = await thumbprints({ jwks: { keys: [client.key.jwk] } });
  return { isThere: shown.includes(current === only ? (own ?? '') : current) };
}
