/** A config that changes while the service runs: a valid one takes over between two steps, and an invalid one changes nothing. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openSealer } from '../../src/audit/seal.ts';
import { rewrapSealKey } from '../../src/audit/seal-key.ts';
import { rewrapKey } from '../../src/keys/sealed.ts';
import { keksOf } from '../../src/rotation/policy.ts';
import { CHANGE } from '../emulator/fault-rules.ts';
import { type Fleet, KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { CAUSE, startLive, told } from '../support/live-config.ts';
import { startLogins } from '../support/logins.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

const reloads = async (fleet: Fleet) => (await fleet.audit()).filter(({ type }) => type === 'config.reloaded');

/** The fleet's deployments, changed. */
function deploymentsOf(fleet: Fleet, change: (deployment: { apps: object[] }) => object): object[] {
  return (fleet.file.deployments as { apps: object[] }[]).map((one) => ({ ...one, ...change(one) }));
}

test('a valid config takes over at once: runs under way end by the old one, and what comes next goes by the new one', async () => {
  const fleet = await startFleet({ apps: [PEM_APP, KID_APP] });
  const running = await fleet.managed(PEM_APP);
  const later = await fleet.managed(KID_APP);
  const alone = deploymentsOf(fleet, ({ apps }) => ({ apps: apps.slice(0, 1) }));
  const policies = fleet.file.policies as Record<string, object>;
  const service = await startLive(fleet, { deployments: alone });
  // Its app is not in the config yet: the request waits.
  const early = fleet.rotate(later);

  const answer = Promise.withResolvers<void>();
  const match = { ...CHANGE, client: running.id };
  const hold = fleet.emulator.faults.add({ kind: 'hold', until: answer.promise, when: 'after', match });
  const logins = await startLogins(running, fleet);
  const rotation = await fleet.rotate(running);
  await until('its PATCH is under way', () => hold.fired === 1);
  const outcome = await service.reloadWith({
    deployments: fleet.file.deployments,
    policies: { ...policies, [PEM_APP.slug]: { ...policies[PEM_APP.slug], overlap: '200ms' } },
  });
  const changes = [`app 185019846023/${KID_APP.slug} added`, `policy ${PEM_APP.slug}: overlap`];
  expect(outcome).toEqual({ kind: 'changed', changes });
  // The new crew works while the old one still waits for its PATCH.
  await fleet.reached(later, await early);
  answer.resolve();
  await fleet.reached(running, rotation);
  expect((await logins.stop()).refused).toEqual([]);
  expect(await reloads(fleet)).toMatchObject([{ ...CAUSE, client: null, data: { changes } }]);
  expect(told(fleet, 'info')).toContainEqual(expect.objectContaining({ msg: 'the config was reloaded', changes }));
  expect(await service.obstacle()).toBeNull();

  expect(await service.reload(CAUSE)).toEqual({ kind: 'unchanged' });
  expect(await reloads(fleet)).toHaveLength(1);
  await expectSound(fleet, [running, later]);
});

test('an invalid config changes nothing: all its problems are logged, and the service is not ready until it is corrected', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  const service = await startLive(fleet);
  const outcome = await service.reloadWith({ reconcile_every: 'soon', sinks: [], banana: 1 });
  expect(outcome).toEqual({ kind: 'refused', problems: expect.any(Array) });
  for (const setting of ['reconcile_every', 'sinks', 'banana']) {
    expect(
      told(fleet, 'error').filter(({ msg }) => msg.includes(`${setting} (line`) || msg.includes(`: ${setting}`)),
    ).toHaveLength(1);
    expect(await service.obstacle()).toContain(setting);
  }
  await fleet.reached(client, await fleet.rotate(client));
  await writeFile(join(fleet.dir, 'rekeyd.yaml'), 'neither this');
  expect(await service.reload(CAUSE)).toMatchObject({ kind: 'refused' });
  expect(await reloads(fleet)).toEqual([]);
  expect(await service.reloadWith({})).toEqual({ kind: 'unchanged' });
  expect(await service.obstacle()).toBeNull();
});

test('what is fixed is refused by its name, and the rest of that config with it', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const service = await startLive(fleet);
  const fixed: [string, object][] = [
    ['data_dir', { data_dir: './elsewhere' }],
    ['durability', { durability: 'relaxed' }],
    ['http.listen', { http: { listen: '127.0.0.1:1' } }],
    ['http.public', { http: { listen: '127.0.0.1:0', public: '127.0.0.1:1' } }],
    ['redis', { redis: { url: 'unix:///elsewhere' } }],
  ];
  for (const [name, top] of fixed) {
    const problem = `${name}: is fixed while rekeyd runs: put the old value back, or restart rekeyd`;
    const outcome = await service.reloadWith({ ...top, reconcile_every: '7s' });
    expect(outcome).toEqual({ kind: 'refused', problems: expect.arrayContaining([problem]) });
    expect(await service.obstacle()).toContain(problem);
  }
  expect(service.resources.config.reconcileEveryMs).toBe(1_000);
});

test('a KEK leaves the list only when nothing is encrypted under it any more', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  await writeFile(join(fleet.dir, 'kek-2'), Buffer.alloc(32, 9).toString('base64url'));
  const [old, fresh] = [
    { id: 'kek-1', key: 'env:KEK' },
    { id: 'kek-2', key: 'file:./kek-2' },
  ];
  const sealed = keksOf(fleet.config);
  await openSealer(fleet.resources.store, { holder: 'test', leaseMs: 1_000, keks: sealed }).run();
  const service = await startLive(fleet);
  const withKeks = (...keks: object[]) => service.reloadWith({ encryption: { keks } });
  expect(await withKeks(fresh)).toMatchObject({
    problems: [expect.stringMatching(/kek-1 encrypts new keys until now/)],
  });
  expect(await withKeks(fresh, old)).toMatchObject({ kind: 'changed' });
  expect(await withKeks(fresh)).toMatchObject({
    problems: [expect.stringContaining(`one of ${client.ref}`), expect.stringContaining('signs the audit log')],
  });
  expect(await service.obstacle()).toContain('kek-1 still encrypts keys');

  const { store } = fleet.resources;
  const keks = keksOf(service.resources.config);
  for (const [thumbprint, jwe] of await store.sealedHalves(client.ref)) {
    const rewrapped = await rewrapKey(jwe, { ref: client.ref, thumbprint }, keks);
    await store.replaceSealed(client.ref, { thumbprint, oldJwe: jwe, jwe: rewrapped ?? '' }, []);
  }
  expect(await withKeks(fresh)).toMatchObject({ problems: [expect.stringContaining('signs the audit log')] });
  const [jwe, { kid }] = [(await store.sealedSealKey()) ?? '', await store.sealState()];
  await store.replaceSealKey(jwe, (await rewrapSealKey(jwe, kid ?? '', keks)) ?? '');
  expect(await withKeks(fresh)).toEqual({ kind: 'changed', changes: ['KEK kek-1 removed'] });
  expect(await service.obstacle()).toBeNull();
  await fleet.reached(client, await fleet.rotate(client));
});
