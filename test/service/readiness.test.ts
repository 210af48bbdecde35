/** Rotations wait for those who sign, as far as these report, and never for long in silence. */
import { execFileSync } from 'node:child_process';
import { mkdir, readdir, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { openSigner } from '../../src/signer/index.ts';
import { rekeyd, statusOfClient } from '../support/command.ts';
import { type Fleet, type FleetApp, type FleetClient, KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { startLogins } from '../support/logins.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

const CAREFUL: FleetApp = { ...PEM_APP, policy: { require_ready: 1 } };

/** What a signer would write that is at the keys which `kids` names. */
async function report(client: FleetClient, name: string, signing: string, kids = [signing], at = Date.now()) {
  const text = JSON.stringify({ kids, signing, at: new Date(at).toISOString() });
  await writeFile(join(client.folder, 'signers', `${name}.json`), text);
}

async function waiting(fleet: Fleet, client: FleetClient, why: RegExp) {
  return until(`the status says that it waits: ${why}`, async () => {
    const status = await statusOfClient(fleet, client);
    return why.test(status.waiting?.why ?? '') && status;
  });
}

test('a cutover waits until its signer has reported the new key', async () => {
  const fleet = await startFleet({ apps: [CAREFUL] });
  const client = await fleet.managed(CAREFUL);
  await fleet.start();
  await report(client, 'web-1', client.key.kid);
  const rotation = await fleet.rotate(client);
  const status = await waiting(fleet, client, /^0 of 1 signers report that they hold the new key; without it: web-1$/);
  expect(status.signers).toMatchObject({ error: null, missing: ['web-1'] });
  expect(status.signers?.reports).toMatchObject([{ name: 'web-1', signing: client.key.kid, recent: true }]);
  expect(status.rotation).toMatchObject({ phase: 'delivered', strategy: 'cutover' });
  expect(await rekeyd(fleet, 'status', client.ref)).toMatch(/^web-1 .*NEW KEY MISSING$/m);
  expect(fleet.patches(client)).toEqual([]);

  const logins = await startLogins(client, fleet);
  await fleet.reached(client, rotation);
  await fleet.reached(client, await fleet.rotate(client));
  expect((await logins.stop()).refused).toEqual([]);
  expect(fleet.patches(client)).toHaveLength(2);
  await expectSound(fleet, [client]);
});

test('a cutover that no signer is ready for fails in time: nothing was sent, and signers lose the new key again', async () => {
  const app: FleetApp = { ...PEM_APP, policy: { require_ready: 2, ready_timeout: '2s' } };
  const fleet = await startFleet({ apps: [app] });
  const client = await fleet.managed(app);
  const logins = await startLogins(client, fleet);
  let isDelivered = false;
  await fleet.start({
    hooks: {
      // The time in which signers may get ready begins with the commit.
      async onPoint(point) {
        if (point !== 'deliver:before commit' || isDelivered) return;
        isDelivered = true;
        await until('the signer reports both keys', async (saw) => {
          const reports = saw(await fleet.resources.sinks[0]?.reports?.(client.ref));
          return reports?.some(({ kids }) => kids.length === 2);
        });
      },
    },
  });
  const { error } = await fleet.reached(client, await fleet.rotate(client), 'failed');
  expect(error).toMatch(/^1 of 2 signers report that they hold the new key, 2 s after they could\. Nothing was sent$/);
  expect(fleet.patches(client)).toEqual([]);
  await until('signers have the old key alone', async () => {
    const names = await readdir(client.folder);
    return !names.includes('next.jwk.json') && names.includes('current.jwk.json');
  });
  await logins.more(2);
  expect(await logins.stop()).toMatchObject({ fallback: 0, refused: [] });
  await expectSound(fleet, [client]);
});

test('a compromise waits for no signer', async () => {
  const app: FleetApp = { ...PEM_APP, policy: { require_ready: 9, ready_timeout: '1h' } };
  const fleet = await startFleet({ apps: [app] });
  const client = await fleet.managed(app);
  await fleet.start();
  await fleet.reached(client, await fleet.rotate(client, { compromised: true }));
  await expectSound(fleet, [client]);
});

test('an overlap goes on while a signer reports the old key, which is told, and ends when it no longer does', async () => {
  const app: FleetApp = { ...KID_APP, policy: { strategy: 'overlap', ready_timeout: '1s' } };
  const fleet = await startFleet({ apps: [app] });
  const client = await fleet.managed(app);
  await fleet.start();
  await report(client, 'web-1', client.key.kid);
  const rotation = await fleet.rotate(client);
  const { kid } = await fleet.reached(client, rotation, 'active');
  const status = await waiting(
    fleet,
    client,
    /^the overlap goes on, because signers still sign with the old key .*: web-1$/,
  );
  expect(status.retiring).toMatchObject([{ kid: client.key.kid, phase: 'overlap' }]);
  await until('it is told', async (saw) => saw(await fleet.audit()).some(({ type }) => type === 'rotation.delayed'));
  const told = 'signers still sign with the old key: both keys stay';
  await until('it is logged', (saw) => saw(fleet.lines).some((line) => line.includes(told)));
  expect((await statusOfClient(fleet, client)).last_error).toContain('web-1');
  expect(fleet.patches(client)).toHaveLength(1);

  await report(client, 'web-1', kid ?? '');
  await fleet.reached(client, rotation);
  expect((await fleet.audit()).filter(({ type }) => type === 'rotation.delayed')).toMatchObject([
    { client: client.ref, rotation, data: { kid: client.key.kid, signers: ['web-1'] } },
  ]);
  await expectSound(fleet, [client]);
});

test.each<[string, (folder: string, client: FleetClient) => unknown]>([
  ['by an unknown kid', (_, client) => report(client, 'forged-1', 'nobody')],
  [
    'by a report that is old, of a host that is gone',
    (_, client) => report(client, 'dead-1', client.key.kid, [], Date.now() - 121_000),
  ],
  ['by a report from the future', (_, client) => report(client, 'ahead-1', client.key.kid, [], Date.now() + 600_000)],
  ['by a FIFO', (folder) => execFileSync('mkfifo', [join(folder, 'fifo-1.json')])],
  ['by a link', (folder) => symlink('/dev/zero', join(folder, 'link-1.json'))],
  ['by a folder', (folder) => mkdir(join(folder, 'folder-1.json'))],
  [
    'by 1 GiB',
    (folder) => writeFile(join(folder, 'huge-1.json'), '').then(() => truncate(join(folder, 'huge-1.json'), 2 ** 30)),
  ],
  [
    'by 10,000 files',
    (folder) =>
      Promise.all(Array.from({ length: 10_000 }, (_, index) => writeFile(join(folder, `h-${index}.json`), '{}'))),
  ],
])('the end of an overlap is not held up %s', async (_, disturb) => {
  const fleet = await startFleet({ apps: [KID_APP] });
  const client = await fleet.managed(KID_APP);
  await disturb(join(client.folder, 'signers'), client);
  await fleet.start();
  await fleet.reached(client, await fleet.rotate(client));
  expect((await fleet.audit()).filter(({ type }) => type === 'rotation.delayed')).toEqual([]);
  await expectSound(fleet, [client]);
});

test('a held client is enrolled when a signer reports that it signs with the imported key, and by nothing else', async () => {
  const fleet = await startFleet({ apps: [PEM_APP], config: { reconcile_every: '200ms' } });
  const [reported, forged, silent] = await Promise.all([0, 1, 2].map(() => fleet.managed(PEM_APP, { enroll: false })));
  if (reported === undefined || forged === undefined || silent === undefined) throw new Error('three were made');
  await report(forged, 'forged-1', 'nobody');
  await report(forged, 'old-1', forged.key.kid, [forged.key.kid], Date.now() - 121_000);
  await fleet.start();
  const signer = await openSigner(reported.folder);
  onTestFinished(() => signer.close());
  await until('it is enrolled', async (saw) => saw(await fleet.record(reported)).enrolment === 'enrolled');
  const told = (await fleet.audit()).filter(({ type }) => type === 'client.enrolled');
  expect(told).toMatchObject([{ client: reported.ref, actor: expect.stringMatching(/^signer:.+-\d+$/) }]);
  const { upkeep } = fleet.queues;
  const ended = await upkeep.getCompletedCount();
  await until('upkeep has looked at the others', async (saw) => saw(await upkeep.getCompletedCount()) > ended + 2);
  for (const client of [forged, silent]) expect((await fleet.record(client)).enrolment).toBe('held');

  const logins = await startLogins(reported, fleet);
  await fleet.reached(reported, await fleet.rotate(reported));
  expect((await logins.stop()).refused).toEqual([]);
});
