import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import { createLog } from '../../src/runtime/log.ts';
import { startService } from '../../src/runtime/service.ts';
import { connectRedis } from '../../src/store/redis/connection.ts';
import type { Emulator } from '../emulator/server.ts';
import { goodClaims, introspect, sign } from '../emulator/testing.ts';
import { serveFolder } from '../support/key-server.ts';
import { startLogins } from '../support/logins.ts';
import { redisKinds, startRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { dumpFolder, dumpRedis } from './dump.ts';
import { configText, type Recorded, readFixture, recordedClients } from './recorded.ts';
import { restoreFixture } from './restore.ts';
import { restoreWacht } from './wacht.ts';

/** Clients that rekeyd has no key of. */
const FOUND = ['never-managed', 'not-known-yet'];
/** What waits for something that does not come within the test, beside the deployment whose API key is refused. */
const WAITING = ['gone-from-config', 'retirement-overlap-waiting-for-years'];

/** Their rotations were being taken back, or have run out of time: that they are rolled back is logged as an error. */
const ROLLED_BACK = ['backing-off', 'cutover-reverting', 'cutover-reverting-patch-applied', 'overlap-reverting'];

/** The job of a request that the paused deployment put off. */
const ASKED_AGAIN = '26';
const ENDED: readonly string[] = ['completed', 'failed', 'unknown'];

test.each(redisKinds)('what 692ce67 left behind is taken over (%s)', { timeout: 300_000 }, async (kind) => {
  const fixture = await readFixture();
  const dir = await mkdtemp(join(tmpdir(), 'rekeyd-takeover-'));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  const server = await startRedis({ kind });
  onTestFinished(() => server.stop());
  const redis = await connectRedis({ socketPath: server.socketPath }, { name: 'restore' });
  onTestFinished(() => redis.disconnect());
  await restoreFixture(fixture, { redis, dir });
  const live = fixture.redis.filter(({ pexpireat }) => pexpireat === undefined || pexpireat > Date.now());
  expect(await dumpRedis(redis)).toEqual(live);
  expect([...(await dumpFolder(dir, 'data')), ...(await dumpFolder(dir, 'public'))]).toEqual(fixture.folders);

  const emulator = await restoreWacht(fixture, await serveFolder(() => join(dir, 'public')));
  onTestFinished(() => emulator.close());
  const clients = recordedClients(fixture, dir);
  const signing = clients.filter(({ ref }) => fixture.signing[ref]?.length);
  for (const client of clients) {
    const isAccepted = fixture.signing[client.ref]?.includes(client.key.kid) ?? false;
    expect([client.what, await signsIn(client, emulator)]).toEqual([client.what, isAccepted]);
  }
  const logins = await Promise.all(
    signing
      .filter(({ what }) => !FOUND.includes(what))
      .map(async (client) => ({ what: client.what, logins: await startLogins(client, { emulator, everyMs: 1_000 }) })),
  );
  await Promise.all(logins.map((one) => one.logins.more(2)));

  const config = await parseConfig(configText(fixture, { ...server, dir, wacht: emulator.url }), {
    file: join(dir, 'rekeyd.yaml'),
    env: fixture.env,
  });
  const lines: string[] = [];
  const log = createLog({ level: 'info', destination: { write: (line: string) => void lines.push(line) } });
  const service = await startService(config, { log, schedule: true, worker: true, http: false });
  onTestFinished(() => service.stop());
  const { store } = service.resources;
  const open = async () => {
    const refs = await store.openWork();
    return clients.filter(({ ref }) => refs.includes(ref)).map(({ what }) => what);
  };

  await until('what can end has ended', async (saw) => saw(await open()).length <= WAITING.length + 1, 120_000);
  expect((await open()).sort()).toEqual([...WAITING, 'paused-rotating'].sort());
  for (const { deployment, apiKey } of fixture.server) emulator.setApiKey(deployment, apiKey);
  // A request that was put off asks for the client of that deployment again: it joins the rotation under way, or begins one after it.
  const again = async () => service.queues.control.getJobState(ASKED_AGAIN);
  await until(
    'the paused deployment goes on',
    async (saw) => ENDED.includes(saw(await again())) && !(await open()).includes('paused-rotating'),
    120_000,
  );

  await Promise.all(logins.map((one) => one.logins.more(2)));
  for (const one of logins) {
    expect({ what: one.what, refused: (await one.logins.stop()).refused }).toEqual({ what: one.what, refused: [] });
  }
  const audit = await store.auditAfter(0, 1_000_000);
  expect(audit.map(({ seq }) => seq)).toEqual(audit.map((_, index) => index + 1));
  for (const client of clients) {
    const { ref, what } = client;
    const loaded = await store.load(ref);
    if (loaded === null || WAITING.includes(what)) continue;
    const { record } = loaded;
    // What was halted stays so, with its rotation, until a person starts another one.
    if (record.halted === null) expect([what, record.rotation]).toEqual([what, null]);
    expect([what, record.v]).toEqual([what, 2]);
    if (FOUND.includes(what)) expect([what, record.enrolment]).toEqual([what, 'found']);
    // Where the application may still sign with its own key, that key is still taken.
    const isKept = record.enrolment !== 'enrolled' && fixture.signing[ref]?.includes(client.key.kid);
    if (isKept) expect([what, await signsIn(client, emulator)]).toEqual([what, true]);
    const sealed = [...(await store.sealedHalves(ref)).keys()].sort();
    expect([what, sealed]).toEqual([what, record.keys.map(({ thumbprint }) => thumbprint).sort()]);
  }
  const errors = lines.map((line) => JSON.parse(line)).filter(({ level }) => level === 'error' || level === 'fatal');
  const rolledBack = clients.filter(({ what }) => ROLLED_BACK.includes(what)).map(({ ref }) => ref);
  const unexpected = errors.filter(({ client, msg, error }) => {
    if (rolledBack.includes(client)) return !msg.startsWith('the rotation was rolled back');
    // The lists of the deployment whose API key is refused cannot be read.
    return !/the deployment is paused/.test(error);
  });
  expect(unexpected).toEqual([]);
  expect(errors.length, 'and errors are found').toBeGreaterThan(0);
  expect(await service.queues.control.getJobSchedulersCount()).toBe(0);
});

/** With the key that was published first. */
async function signsIn({ app, clientId, key }: Recorded, emulator: Emulator): Promise<boolean> {
  const host = `${app.slug}.example.com`;
  const assertion = await sign(key, goodClaims(clientId, host, '/oauth/introspect'), { kid: key.kid });
  return (await introspect(emulator, host, clientId, assertion)).status === 200;
}
