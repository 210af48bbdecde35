/** Keys that leaked are named by themselves, by the KEK that encrypts them, or by the host that held them. */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { rewrapKey } from '../../src/keys/sealed.ts';
import { keksOf } from '../../src/rotation/policy.ts';
import { DEPLOYMENT, type Fleet, type FleetClient, PEM_APP, startFleet } from '../support/fleet.ts';
import { thumbprints } from '../support/published.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

const KEEPING = { ...PEM_APP, policy: { standby: true, overlap: '0s' } };
const LEAK = { compromised: true, confirm: true };

function standbyOf(fleet: Fleet, client: FleetClient, besides: readonly string[] = []): Promise<string> {
  return until('a standby key is with signers', async () => {
    const { standby, signers } = await fleet.record(client);
    const kid = standby?.kid ?? null;
    return kid !== null && !besides.includes(kid) && signers.delivered?.next === kid && kid;
  });
}

async function compromised(fleet: Fleet, client: FleetClient): Promise<unknown[]> {
  const told = await fleet.audit();
  return told
    .filter(({ type, client: ref }) => type === 'key.compromised' && ref === client.ref)
    .map(({ data }) => data.kid);
}

function started({ rotations }: Awaited<ReturnType<Fleet['request']>>): string[] {
  return rotations.map(({ client }) => client);
}

test('a kid finds its client, whatever the key is to it: in use, kept ready, gone', async () => {
  const fleet = await startFleet({ apps: [KEEPING] });
  const [client, other] = [await fleet.managed(KEEPING), await fleet.managed(KEEPING)];
  await fleet.start();
  const first = client.key.kid;
  const kept = await standbyOf(fleet, client);
  const inUse = await fleet.request({ ...LEAK, select: { kid: first } });
  expect(started(inUse)).toEqual([client.ref]);
  const { kid, exposure } = await fleet.reached(client, inUse.rotations[0]?.id ?? '');
  // Signers held it beside the key that leaked.
  expect(kid).not.toBe(kept);
  expect(exposure?.refusedAt).toBeGreaterThanOrEqual(exposure?.reportedAt ?? Number.POSITIVE_INFINITY);

  const next = await standbyOf(fleet, client, [kept]);
  const ready = await fleet.request({ ...LEAK, select: { kid: next } });
  expect(started(ready)).toEqual([client.ref]);
  await fleet.reached(client, ready.rotations[0]?.id ?? '');
  expect(await compromised(fleet, client)).toEqual([first, next]);

  const before = fleet.patches(client).length;
  const gone = await fleet.request({ ...LEAK, select: { kid: first } });
  expect(gone).toEqual({
    rotations: [],
    errors: [{ client: client.ref, message: expect.stringContaining('nothing to replace') }],
  });
  await expect(fleet.request({ ...LEAK, select: { kid: 'nobodys' } })).rejects.toThrow(/no client has a key nobodys/);
  expect(fleet.patches(client)).toHaveLength(before);
  expect(fleet.patches(other)).toEqual([]);
  await standbyOf(fleet, client, [kept, next]);
  await expectSound(fleet, [client]);
});

test('a KEK that leaked takes every key along that was encrypted under it, also before it was encrypted anew', async () => {
  const fleet = await startFleet({ apps: [KEEPING] });
  const [safe, exposed] = [await fleet.managed(KEEPING), await fleet.managed(KEEPING)];
  const old = await fleet.start();
  const kept = await standbyOf(fleet, exposed);
  let ready = await standbyOf(fleet, safe);
  await old.stop();
  const keks = ['kek-2', 'kek-1'].map((id, index) => ({ id, key: `env:KEK${['_2', ''][index]}` }));
  const fresh = { KEK_2: Buffer.alloc(32, 9).toString('base64url') };
  const config = await fleet.configOf({ ...fleet.file, encryption: { keks } }, fresh);
  await fleet.start({}, config);
  // What was ready before is in use after one rotation, and gone after two.
  for (let turn = 0; turn < 2; turn += 1) {
    await fleet.reached(safe, await fleet.rotate(safe));
    ready = await standbyOf(fleet, safe, [ready]);
  }
  const { store } = fleet.resources;
  for (const [thumbprint, jwe] of await store.sealedHalves(exposed.ref)) {
    const anew = await rewrapKey(jwe, { ref: exposed.ref, thumbprint }, keksOf(config));
    expect(await store.replaceSealed(exposed.ref, { thumbprint, oldJwe: jwe, jwe: anew ?? '' }, [])).toBe(true);
  }
  const { rotations } = await fleet.request({ ...LEAK, select: { kek: 'kek-1' } });
  expect(rotations.map(({ client }) => client)).toEqual([exposed.ref]);
  await fleet.reached(exposed, rotations[0]?.id ?? '');
  expect((await compromised(fleet, exposed)).sort()).toEqual([exposed.key.kid, kept].sort());
  await standbyOf(fleet, exposed, [kept]);
  expect(await compromised(fleet, safe)).toEqual([]);
  await expect(fleet.request({ ...LEAK, select: { kek: 'kek-1' } })).rejects.toThrow(/is encrypted under KEK kek-1/);
  await expectSound(fleet, [safe, exposed]);
});

test('a host that was taken takes along all keys of the clients that signed there', async () => {
  const fleet = await startFleet({ apps: [KEEPING] });
  const [taken, safe] = [await fleet.managed(KEEPING), await fleet.managed(KEEPING)];
  const report = async (client: FleetClient, name: string, ageMs: number) => {
    const at = new Date(Date.now() - ageMs).toISOString();
    const text = JSON.stringify({ kids: [client.key.kid], signing: client.key.kid, at });
    await writeFile(join(client.folder, 'signers', `${name}.json`), text);
  };
  // It was switched off since.
  await report(taken, 'web-1-17', 3_600_000);
  await report(safe, 'web-10-17', 0);
  await fleet.start();
  const kept = await standbyOf(fleet, taken);
  const { rotations } = await fleet.request({ ...LEAK, select: { host: 'web-1' } });
  expect(rotations.map(({ client }) => client)).toEqual([taken.ref]);
  const { kid } = await fleet.reached(taken, rotations[0]?.id ?? '');
  expect((await compromised(fleet, taken)).sort()).toEqual([taken.key.kid, kept].sort());
  expect(await thumbprints(fleet.emulator.client(DEPLOYMENT, KEEPING.slug, taken.id))).toEqual([kid]);
  await expect(fleet.request({ ...LEAK, select: { host: 'web-2' } })).rejects.toThrow(
    /no signer reported from host web-2/,
  );
  expect(fleet.patches(safe)).toEqual([]);
  await standbyOf(fleet, taken, [kept]);
  await expectSound(fleet, [taken, safe]);
});

test('one client whose reports cannot be read keeps no other waiting', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const [taken, unread] = [await fleet.managed(PEM_APP), await fleet.managed(PEM_APP)];
  const at = new Date().toISOString();
  const text = JSON.stringify({ kids: [taken.key.kid], signing: taken.key.kid, at });
  await writeFile(join(taken.folder, 'signers', 'web-1-17.json'), text);
  const reports = join(unread.folder, 'signers');
  await rm(reports, { recursive: true });
  await writeFile(reports, 'no folder');
  await fleet.start();
  const id = await fleet.queues.request({ v: 1, reason: 'a test', actor: 'test', ...LEAK, select: { host: 'web-1' } });
  const started = await until('the one that is known is replaced', async () =>
    (await fleet.audit()).find(({ type, client }) => type === 'rotation.started' && client === taken.ref),
  );
  const jobOf = async () => (await fleet.queues.requests.getJob(id)) ?? { progress: null };
  await until('the request waits for the other', async () =>
    /not known whether .* signs on web-1/.test(JSON.stringify((await jobOf()).progress)),
  );
  await rm(reports);
  const answered = await until('it is answered', async () => {
    const job = await fleet.queues.requests.getJob(id);
    await job?.promote().catch(() => undefined);
    return job?.finishedOn !== undefined && job;
  });
  expect(answered.returnvalue).toEqual({ rotations: [{ id: started.rotation, client: taken.ref }] });
  expect(fleet.patches(unread)).toEqual([]);
});

test('what does not go together is refused, and nothing is started', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  await fleet.start();
  const refused = (data: object, why: RegExp) => expect(fleet.request(data), JSON.stringify(data)).rejects.toThrow(why);
  await refused({ select: { kek: 'kek-1' } }, /goes with compromised/);
  await refused({ select: { kid: 'k' }, compromised: { kid: 'k' } }, /compromised is true/);
  await refused({ select: { host: 'h' }, compromised: true, keep_standby: true }, /leaked with the others/);
  await refused({ select: { all: true }, keep_standby: true }, /goes with compromised/);
  await refused({ select: { kid: 'k', host: 'h' }, compromised: true }, /exactly one of these/);
  expect((await fleet.record(client)).rotation).toBeNull();
});
