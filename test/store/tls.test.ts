/** Redis over TLS, by URL, by Sentinels and as a cluster: who is trusted, which name is asked for, and what we show of ourselves. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo, Server } from 'node:net';
import { connect } from 'node:net';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { storeKeys } from '../../src/store/keys.ts';
import { connectRedis } from '../../src/store/redis/connection.ts';
import type { RedisTarget, Tls } from '../../src/store/redis/target.ts';
import { type Authority, type Certificate, makeAuthority } from '../support/certificates.ts';
import { freePort } from '../support/ports.ts';
import { type RedisServer, redisKinds, startRedis } from '../support/redis.ts';
import { tell } from '../support/redis-ha.ts';
import { until } from '../support/until.ts';

let authority: Authority;
let [server, client]: [Certificate | null, Certificate | null] = [null, null];

beforeAll(() => {
  authority = makeAuthority();
  server = authority.issue('server', ['DNS:redis.test', 'DNS:localhost']);
  client = authority.issue('client', ['DNS:rekeyd']);
});
afterAll(() => rmSync(authority.dir, { recursive: true, force: true }));

/** Speaks TLS before a port that does not, and notes which names were asked for. */
async function startFront(
  port: number,
  { asksForCertificate = false } = {},
): Promise<{ port: number; names: (string | false)[] }> {
  const names: (string | false)[] = [];
  const sockets = new Set<{ destroy(): unknown }>();
  const options = { cert: server?.cert, key: server?.key, ca: authority.ca, requestCert: asksForCertificate };
  const front: Server = createServer({ ...options, rejectUnauthorized: asksForCertificate }, (secure) => {
    names.push(secure.servername ?? false);
    const plain = connect(port, '127.0.0.1');
    for (const socket of [secure, plain]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => void [secure.destroy(), plain.destroy()]);
    }
    secure.pipe(plain).pipe(secure);
  });
  front.listen(0, '127.0.0.1');
  await once(front, 'listening');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    front.close();
  });
  return { port: (front.address() as AddressInfo).port, names }; // a TCP server that listens has one
}

async function answerOf(target: RedisTarget): Promise<string> {
  const redis = await connectRedis(target, { name: 'test', connectTimeout: 5_000 });
  try {
    return await redis.ping();
  } finally {
    redis.disconnect();
  }
}

test('a server is trusted by its authority and by its name, which is the host or servername', async () => {
  const redis = await startRedis();
  onTestFinished(() => redis.stop());
  const front = await startFront(Number(new URL(redis.url).port));
  const at = (host: string) => `rediss://${host}:${front.port}`;
  const { ca } = authority;

  expect(await answerOf({ url: at('localhost'), tls: { ca } })).toBe('PONG');
  expect(front.names.at(-1)).toBe('localhost');
  expect(await answerOf({ url: at('127.0.0.1'), tls: { ca, servername: 'redis.test' } })).toBe('PONG');
  expect(front.names.at(-1)).toBe('redis.test');

  const refusals: [string, Tls, RegExp][] = [
    ['localhost', {}, /TLS: .*(self-signed|unable to).*redis\.tls\.ca/],
    ['127.0.0.1', { ca }, /TLS: .*ERR_TLS_CERT_ALTNAME_INVALID.*redis\.tls\.servername/],
    ['localhost', { ca, servername: 'other.test' }, /TLS: .*other\.test/],
  ];
  for (const [host, tls, message] of refusals) {
    // They fail at once, however long the first connection might take.
    const refused = connectRedis({ url: at(host), tls }, { name: 'test', connectTimeout: 3_600_000 });
    await expect(refused, host).rejects.toMatchObject({
      code: 'redis_unreachable',
      message: expect.stringMatching(message),
    });
  }
  const plain = connectRedis({ url: redis.url.replace('redis:', 'rediss:'), tls: { ca } }, { name: 'test' });
  await expect(plain).rejects.toMatchObject({ message: expect.stringMatching(/does that port speak TLS/) });
});

/** That listens with TLS on `port`, beside its plain port, and asks for a certificate of the client. */
async function startSecure(port: number, settings: readonly string[]): Promise<RedisServer | null> {
  try {
    const redis = await startRedis({
      settings: ['--tls-port', `${port}`, '--tls-auth-clients', 'yes', ...files(), ...settings],
    });
    onTestFinished(() => redis.stop());
    return redis;
  } catch (error) {
    if (/Bad directive|without TLS/.test(String(error))) return null;
    throw error;
  }
}

function files(): string[] {
  const { certFile = '', keyFile = '' } = server ?? {};
  return ['--tls-cert-file', certFile, '--tls-key-file', keyFile, '--tls-ca-cert-file', authority.caFile];
}

const WITHOUT = 'this server was built without TLS';

test('by URL, as a cluster and by Sentinels: TLS all the way, and our certificate where it is asked for', async ({
  skip,
}) => {
  const key = storeKeys('rekeyd').id;
  const port = await freePort();
  const node = await startSecure(port, ['--cluster-enabled', 'yes', '--tls-cluster', 'yes']);
  if (node === null) return skip(WITHOUT);
  await tell(node, 'CLUSTER', 'ADDSLOTSRANGE', 0, 16_383);
  await until('the cluster is whole', async () => String(await tell(node, 'CLUSTER', 'INFO')).includes('state:ok'));
  const single = await freePort();
  await startSecure(single, []);
  const sentinel = await startSecureSentinel(single);

  const tls = { ca: authority.ca, cert: client?.cert ?? '', key: client?.key ?? '', servername: 'redis.test' };
  const at = (where: number) => ({ host: '127.0.0.1', port: where });
  const targets = (secured: Tls | undefined): RedisTarget[] => {
    const common = { login: {}, ...(secured !== undefined && { tls: secured }) };
    return [
      { url: `rediss://127.0.0.1:${single}`, ...common },
      { group: { kind: 'cluster', nodes: [at(port)], key, ...common } },
      { group: { kind: 'sentinels', name: 'secure', nodes: [at(sentinel)], ...common } },
    ];
  };
  for (const target of targets(tls)) expect(await answerOf(target)).toBe('PONG');

  const { ca, servername } = tls;
  const refused = [{ ca, servername }, undefined].flatMap(targets);
  await Promise.all(
    refused.map((target) =>
      expect(connectRedis(target, { name: 'test', connectTimeout: 1_000 })).rejects.toMatchObject({
        code: 'redis_unreachable',
      }),
    ),
  );
  // With TLS 1.3 the server refuses only after the handshake.
  for (const login of [{}, { password: 'PASSWORD' }]) {
    const bare = { url: `rediss://127.0.0.1:${single}`, login, tls: { ca, servername } };
    await expect(connectRedis(bare, { name: 'test' })).rejects.toMatchObject({
      message: expect.stringMatching(
        /: TLS: [a-z0-9 ]*certificate required \(ERR_SSL_\w+\)\. .*needs redis\.tls\.cert/,
      ),
    });
  }
});

/** A Sentinel that is spoken to with TLS only, and watches a server that way. Resolves with its port. */
async function startSecureSentinel(primaryPort: number): Promise<number> {
  const [port, file] = [await freePort(), join(authority.dir, 'sentinel.conf')];
  const settings = files().map((word) => word.replace(/^--/, ''));
  const tlsLines = [0, 2, 4].map((index) => `${settings[index]} ${settings[index + 1]}`);
  const lines = [
    ...['port 0', `tls-port ${port}`, 'tls-replication yes', 'tls-auth-clients yes', 'bind 127.0.0.1', ...tlsLines],
    ...[`dir ${authority.dir}`, `sentinel monitor secure 127.0.0.1 ${primaryPort} 1`],
  ];
  writeFileSync(file, lines.join('\n'));
  const child = spawn(`${redisKinds[0]}-server`, [file, '--sentinel'], { stdio: 'ignore' });
  onTestFinished(async () => {
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  });
  return port;
}
