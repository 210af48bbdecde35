/** The whole service with its KEK in a KMS: at a Transit engine that is away at the start, in the middle, and while keys move there. */
import { expect, test } from 'vitest';
import { openSealer } from '../../src/audit/seal.ts';
import { keksIn } from '../../src/keys/sealed.ts';
import { keksOf } from '../../src/rotation/policy.ts';
import { watchChecks } from '../../src/runtime/start-checks.ts';
import { caller, makeToken } from '../support/api.ts';
import { ran, rekeyd, statusOfClient } from '../support/command.ts';
import { type Fleet, type FleetClient, KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { startLive } from '../support/live-config.ts';
import { startTransit } from '../support/transit.ts';
import { until } from '../support/until.ts';

const AWAY = /^KEK vault: Vault at \S+ cannot be reached/;

/** Few attempts: a KMS that is away must not use them up. */
const IMPATIENT = { ...PEM_APP, policy: { attempts: 2 } };

async function start(apps = [IMPATIENT]) {
  const transit = await startTransit();
  const fleet = await startFleet({ apps, config: { encryption: { keks: [transit.kek('vault')] } } });
  return { transit, fleet };
}

const triesOf = async (fleet: Fleet, client: FleetClient) => (await fleet.record(client)).rotation?.tries;

test('a KMS that is away at the start stops new rotations with a clear word, and they go on when it is back', async () => {
  const { transit, fleet } = await start();
  const [client, asked] = [await fleet.managed(IMPATIENT), await fleet.managed(IMPATIENT)];
  // Nobody works yet: the request is left, and was signed.
  await rekeyd(fleet, 'rotate', asked.ref, '--reason', 'while it was well');
  transit.mood = 'away';
  const unsigned = await ran(fleet, 'rotate', client.ref, '--reason', 'now');
  expect(unsigned).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/KEK vault: Vault at .* cannot be reached/),
  });
  const service = await fleet.start({ http: true });
  const ready = await fetch(`${service.url}/readyz`);
  expect(ready.status).toBe(503);
  expect(JSON.stringify(await ready.json())).toMatch(/KEK vault: Vault at .* cannot be reached/);
  const doctor = await ran(fleet, 'doctor', '--json');
  const found = JSON.parse(doctor.stdout).checks.filter(({ ok }: { ok: boolean }) => !ok);
  expect(doctor.code).toBe(1);
  expect(found).toEqual([
    expect.objectContaining({ name: 'kms vault', detail: expect.stringMatching(AWAY) }),
    expect.objectContaining({ name: expect.stringMatching(/^service /), detail: expect.stringMatching(AWAY) }),
  ]);

  const id = await fleet.rotate(client);
  await until('it was tried more often than it has attempts', async (saw) => {
    const tries = saw(await triesOf(fleet, client));
    return (tries?.failed ?? 0) > 2 * IMPATIENT.policy.attempts && AWAY.test(tries?.error ?? '');
  });
  expect(fleet.patches(client)).toEqual([]);
  expect(JSON.stringify(await statusOfClient(fleet, client))).toMatch(/KEK vault: Vault at .* cannot be reached/);

  // Who signed the other request cannot be checked.
  await until('the request waits', () =>
    fleet.lines.some((line) => /a request waits/.test(line) && /KEK vault/.test(line)),
  );
  expect((await fleet.record(asked)).rotation).toBeNull();

  transit.mood = 'well';
  await fleet.reached(client, id);
  expect((await fleet.record(client)).rotation).toBeNull();
  // It would come by itself, once its backoff is over.
  await until('the request is answered', async () => {
    for (const job of await fleet.queues.requests.getDelayed()) await job.promote().catch(() => {});
    return fleet.patches(asked).length > 0;
  });
  const started = (await fleet.audit()).find(
    ({ type, client: of }) => type === 'rotation.requested' && of === asked.ref,
  );
  expect(started?.claimed_by).toMatch(/^os:/);
});

test('readiness follows the KMS, and a reload takes none that does not answer', async () => {
  const { transit, fleet } = await start();
  const checks = await watchChecks(() => fleet.resources);
  expect(checks.problem).toBeNull();
  checks.stop();
  await openSealer(fleet.resources.store, { holder: 'test', leaseMs: 1_000, keks: keksOf(fleet.config) }).run();
  transit.mood = 'sealed';
  const others = await watchChecks(() => fleet.resources);
  expect(others.problem).toMatch(/Vault is sealed.*Unseal it/);
  const status = await ran(fleet, 'store', 'status');
  expect(status).toMatchObject({ code: 1, stdout: expect.stringContaining('Its audit log') });
  expect(status.stderr).toMatch(/KEK vault: Vault at .* is sealed/);
  const live = await startLive(fleet);
  const keks = [{ ...transit.kek('vault-2') }, transit.kek('vault')];
  expect(await live.reloadWith({ encryption: { keks } })).toMatchObject({
    problems: [expect.stringMatching(/encryption\.keks: KEK vault-2: Vault at .* is sealed/)],
  });
  // What has nothing to do with it is taken.
  expect(await live.reloadWith({ breaker: '50%' })).toMatchObject({ kind: 'changed' });
  transit.mood = 'well';
  expect(await live.reloadWith({ encryption: { keks } })).toMatchObject({ kind: 'changed' });
  others.again();
  await until('it is ready again', () => others.problem === null);
  others.stop();
});

test('a KMS that goes away in the middle holds up what needs it, and nothing else', async () => {
  const app = { ...KID_APP, policy: { ...KID_APP.policy, attempts: 2 } };
  const { transit, fleet } = await start([app]);
  const client = await fleet.managed(app);
  const goAway = (point: string) => {
    if (point === 'patch:before effect' && fleet.patches(client).length === 1) transit.mood = 'away';
  };
  await fleet.start({ hooks: { onPoint: goAway } });
  const id = await fleet.rotate(client);
  // The old key is taken away on time. That it is refused is proven by signing with it.
  await until('the old key is gone from the server', () => fleet.patches(client).length === 2);
  await until('its proof waits for the KMS', async (saw) => {
    const [old] = saw((await fleet.record(client)).retirements);
    return AWAY.test(old?.tries.error ?? '') && (old?.tries.failed ?? 0) > 4;
  });
  transit.mood = 'well';
  await fleet.reached(client, id);
});

test('a KMS that is away before a cutover uses up none of its attempts', async () => {
  const { transit, fleet } = await start();
  const client = await fleet.managed(IMPATIENT);
  let hasGone = false;
  const goAway = (point: string) => {
    if (hasGone || point !== 'deliver:after commit') return;
    hasGone = true;
    transit.mood = 'away';
    // Before a cutover the new key signs, to see whether it could be proven. The run that made it holds it open; the run after it has to open it.
    throw new Error('the run ends here');
  };
  await fleet.start({ hooks: { onPoint: goAway } });
  const id = await fleet.rotate(client);
  await until('the cutover waits for the KMS', async (saw) => {
    const tries = saw(await triesOf(fleet, client));
    return (tries?.failed ?? 0) > 2 * IMPATIENT.policy.attempts && AWAY.test(tries?.error ?? '');
  });
  expect(fleet.patches(client)).toEqual([]);
  transit.mood = 'well';
  await fleet.reached(client, id);
});

test('keys, tokens and the key of the seal move from a local KEK to a KMS and back', async () => {
  const transit = await startTransit();
  const local = { id: 'kek-1', key: 'env:KEK' };
  const fleet = await startFleet({ apps: [PEM_APP], config: { http: { listen: '127.0.0.1:0' } } });
  const client = await fleet.managed(PEM_APP);
  const token = await makeToken(fleet, { name: 'siem', scopes: ['read'] });
  const { store } = fleet.resources;
  await openSealer(store, { holder: 'test', leaseMs: 1_000, keks: keksOf(fleet.config) }).run();
  const withKeks = (...keks: object[]) => ({ ...fleet, file: { ...fleet.file, encryption: { keks } } });
  const under = async () => [...(await store.sealedHalves(client.ref)).values()].map((jwe) => keksIn(jwe)[0]);

  transit.mood = 'forbidden';
  const refused = await ran(withKeks(transit.kek('vault'), local), 'keys', 'rewrap');
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/KEK vault: Vault at .* refuses the token/) });
  expect(await under()).toEqual(['kek-1']);

  transit.mood = 'well';
  expect(await rekeyd(withKeks(transit.kek('vault'), local), 'keys', 'rewrap')).toContain('1 use KEK vault now');
  expect(await under()).toEqual(['vault']);
  const again = await ran(withKeks(transit.kek('vault'), local), 'keys', 'rewrap');
  expect(again).toMatchObject({ code: 0, stdout: expect.stringContaining('all use KEK vault already') });
  expect(again.stderr).not.toContain('tokens');

  // Without the local one: nothing is left under it.
  const there = withKeks(transit.kek('vault'));
  const service = await fleet.start({ http: true, sealEveryMs: 50 }, await fleet.configOf(there.file));
  expect(await rekeyd(there, 'rotate', client.ref, '--reason', 'a test', '--wait')).toContain(client.ref);
  await until('it is sealed', async () => (await store.sealState()).checkpoint > 0);
  const get = caller(service.url ?? '', token);
  expect((await get('/v1/clients')).status).toBe(200);
  // Who was let in before goes on.
  transit.mood = 'away';
  expect((await get('/v1/clients')).status).toBe(200);
  await service.stop();

  transit.mood = 'well';
  expect(await rekeyd(withKeks(local, transit.kek('vault')), 'keys', 'rewrap')).toContain('use KEK kek-1 now');
  transit.mood = 'away';
  expect(JSON.parse(await rekeyd(withKeks(local), 'doctor', '--json')).ok).toBe(true);
});
