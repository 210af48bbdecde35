/** Logins of groups of Redis servers, and certificates, that are replaced while a service runs: what is connected from then on takes the new ones. */
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { certificateFor, makeAuthority } from '../support/certificates.ts';
import { type Fleet, PEM_APP, startFleet } from '../support/fleet.ts';
import { startLive, told } from '../support/live-config.ts';
import { freePort } from '../support/ports.ts';
import { type RedisGroup, startCluster, startSentinelGroup, tell } from '../support/redis-ha.ts';
import { expectSound } from '../support/sound.ts';
import { startTls } from '../support/tunnels.ts';
import { until } from '../support/until.ts';

/** Another file takes the place. */
async function put(fleet: Fleet, name: string, value: string): Promise<void> {
  const path = join(fleet.dir, name);
  await writeFile(`${path}.new`, value, { mode: 0o600 });
  await rename(`${path}.new`, path);
}

/** How often a new config took over, by what the log says. */
const reloads = (fleet: Fleet) => told(fleet, 'info').filter(({ msg }) => msg === 'the config was reloaded').length;

async function taken(fleet: Fleet, name: string, value: string): Promise<void> {
  const before = reloads(fleet);
  await put(fleet, name, value);
  await until(`${name} is taken`, () => reloads(fleet) > before);
}

const GROUPS: readonly [string, () => Promise<RedisGroup>][] = [
  ['Sentinels', () => startSentinelGroup({ replicas: 0 })],
  ['a cluster', () => startCluster()],
];

test.each(GROUPS)('new passwords for %s', async (_, start) => {
  const group = await start();
  onTestFinished(() => group.stop());
  const fleet = await startFleet({ apps: [PEM_APP], config: { redis: group.section, durability: 'relaxed' } });
  const client = await fleet.managed(PEM_APP);
  const servers = [group.primary, ...group.others];
  const sentinels = group.group.kind === 'sentinels' ? group.group.nodes : [];
  const allow = async (password: string, ...before: string[]) => {
    for (const server of servers)
      await tell(server, 'ACL', 'SETUSER', 'worker', 'on', '~*', '&*', '+@all', ...before, `>${password}`);
  };
  await put(fleet, 'password', 'first');
  await put(fleet, 'sentinel-password', 'first');
  await allow('first');
  const { sentinels: own } = group.section;
  const asked = own === undefined ? {} : { sentinels: { ...Object(own), password: 'file:./sentinel-password' } };
  const redis = { ...group.section, ...asked, username: 'worker', password: 'file:./password' };
  const service = await startLive(fleet, { redis });

  await allow('second');
  if (own !== undefined) await taken(fleet, 'sentinel-password', 'second');
  await taken(fleet, 'password', 'second');
  await allow('second', 'resetpass');
  for (const { host, port } of sentinels)
    await tell({ url: `redis://${host}:${port}` }, 'ACL', 'SETUSER', 'default', 'resetpass', '>second');
  for (const server of servers) await tell(server, 'CLIENT', 'KILL', 'USER', 'worker');
  await fleet.reached(client, await fleet.rotate(client));
  await until('it is ready', async () => (await service.obstacle()) === null);
  await expectSound(fleet, [client]);
});

test('a new certificate of ours, its key, and a new authority of Redis', async ({ skip }) => {
  const [old, fresh] = [makeAuthority(), makeAuthority()];
  for (const { dir } of [old, fresh]) onTestFinished(() => rm(dir, { recursive: true, force: true }));
  const [server, next] = [old, fresh].map((authority) => authority.issue('server', ['DNS:redis.test']));
  const [mine, renewed] = [old, fresh].map((authority) => authority.issue('client', ['DNS:rekeyd']));
  if (!server || !next || !mine || !renewed) throw new Error('no certificates');
  const port = await freePort();
  const tls = ['--tls-port', `${port}`, '--tls-auth-clients', 'yes', '--tls-ca-cert-file', old.caFile];
  const settings = [...tls, '--tls-cert-file', server.certFile, '--tls-key-file', server.keyFile];
  const fleet = await startFleet({ apps: [PEM_APP], redis: { settings } }).catch((error: unknown) => {
    if (/Bad directive|without TLS/.test(String(error))) return skip('this server was built without TLS');
    throw error;
  });
  const client = await fleet.managed(PEM_APP);
  const admin = new Redis(fleet.redis.socketPath);
  onTestFinished(() => admin.disconnect());
  const files = { ca: old.ca, cert: mine.cert, key: mine.key };
  for (const [name, pem] of Object.entries(files)) await put(fleet, name, pem);
  const ours = { ca: 'file:./ca', cert: 'file:./cert', key: 'file:./key', servername: 'redis.test' };
  const service = await startLive(fleet, { redis: { url: `rediss://127.0.0.1:${port}`, tls: ours } });
  const both = join(fleet.dir, 'both.pem');
  await writeFile(both, old.ca + fresh.ca);

  await taken(fleet, 'ca', old.ca + fresh.ca);
  await admin.config('SET', 'tls-ca-cert-file', both);
  await put(fleet, 'cert', renewed.cert);
  await taken(fleet, 'key', renewed.key);
  await admin.call(
    ...['CONFIG', 'SET', 'tls-ca-cert-file', fresh.caFile],
    ...['tls-cert-file', next.certFile, 'tls-key-file', next.keyFile],
  );
  await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  await fleet.reached(client, await fleet.rotate(client));
  await until('it is ready', async () => (await service.obstacle()) === null);
  expect(fleet.lines.join('')).not.toContain('PRIVATE KEY');
  await expectSound(fleet, [client]);
});

test('a new authority of the API', async () => {
  const fleet = await startFleet({ apps: [PEM_APP] });
  const client = await fleet.managed(PEM_APP);
  const [other, another, api] = [1, 2, 3].map(() => certificateFor('DNS:localhost'));
  if (!other || !another || !api) throw new Error('no certificates');
  await put(fleet, 'company.pem', other.cert);
  const port = await startTls(api, fleet.emulator.url);
  const over = { api_url: `https://localhost:${port}`, ca: 'file:./company.pem' };
  const deployments = (fleet.file.deployments as object[]).map((one) => ({ ...one, ...over })); // the fleet's own file
  await startLive(fleet, { deployments });
  // All files are read once soon after a start, so the first change would be seen in any case.
  await taken(fleet, 'company.pem', another.cert);
  await taken(fleet, 'company.pem', api.cert);
  await fleet.reached(client, await fleet.rotate(client));
  await expectSound(fleet, [client]);
});
