/** No private key leaves the process in clear but to its folder. */
import type { KeyObject } from 'node:crypto';
import { dirname } from 'node:path';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { type Fleet, type FleetApp, KEK, KID_APP, PEM_APP, startFleet } from '../support/fleet.ts';
import { filesIn, findNeedles, keysIn, type Needle, needlesOf } from '../support/secrets.ts';
import { expectSound } from '../support/sound.ts';

const APPS: readonly FleetApp[] = [
  { ...PEM_APP, slug: 'ec', policy: { alg: 'ES256' } },
  { ...KID_APP, slug: 'okp', policy: { alg: 'EdDSA', strategy: 'overlap' } },
  { ...PEM_APP, slug: 'rsa', policy: { alg: 'RS256', modulus_length: 2048 } },
];

/** Everything that Redis holds now, as it would answer it. */
async function contentsOf(redis: Redis): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (const key of await redis.keys('*')) {
    parts.push(Buffer.from(`\n${key}\n`), ...(await valuesOf(redis, key)));
  }
  return Buffer.concat(parts);
}

async function valuesOf(redis: Redis, key: string): Promise<Buffer[]> {
  switch (await redis.type(key)) {
    case 'string':
      return [(await redis.getBuffer(key)) ?? Buffer.alloc(0)];
    case 'hash':
      return Object.values(await redis.hgetallBuffer(key));
    case 'list':
      return redis.lrangeBuffer(key, 0, -1);
    case 'set':
      return redis.smembersBuffer(key);
    case 'zset':
      return redis.zrangeBuffer(key, '0', '-1');
    default:
      return (await redis.xrangeBuffer(key, '-', '+')).flatMap(([id, fields]) => [id, ...fields]);
  }
}

/** Where a private key could be seen by somebody: what Redis holds and what it ever wrote to disk, the log, and the requests. */
async function places(fleet: Fleet, redis: Redis): Promise<ReadonlyMap<string, Buffer>> {
  return new Map([
    ['redis', await contentsOf(redis)],
    ['append-only file', await filesIn(dirname(fleet.redis.socketPath))],
    ['log', Buffer.from(fleet.lines.join(''))],
    ['requests', Buffer.from(JSON.stringify(fleet.emulator.log))],
    ['audit', Buffer.from(JSON.stringify(await fleet.audit()))],
  ]);
}

async function findings(fleet: Fleet, redis: Redis, needles: readonly Needle[]): Promise<Record<string, string[]>> {
  const found = [...(await places(fleet, redis))].map(([place, bytes]) => [place, findNeedles(needles, bytes)]);
  return Object.fromEntries(found.filter(([, names]) => names?.length !== 0));
}

test('private keys are in no place but their folder, and the search for them finds one that is', async () => {
  const fleet = await startFleet({ apps: APPS });
  const redis = new Redis(fleet.redis.socketPath);
  onTestFinished(() => redis.disconnect());
  const keys = new Map<string, KeyObject>();
  const algs = { ec: 'ES256', okp: 'EdDSA', rsa: 'RS256' } as const;
  const clients = await Promise.all([
    ...APPS.map((app) => fleet.managed(app, { alg: algs[app.slug as keyof typeof algs] })), // the slugs above
    fleet.managed(APPS[0] ?? PEM_APP),
  ]);
  // Debug logs too; and one client whose rotation fails with its key at hand.
  const match = { method: 'PATCH', client: clients[3]?.id ?? '' };
  fleet.emulator.faults.add({ kind: 'status', status: 400, match, times: 2 });
  await fleet.start({
    hooks: {
      async onPoint(point, ref) {
        const client = clients.find((one) => one.ref === ref);
        if (client === undefined || point !== 'deliver:after effect') return;
        for (const [kid, key] of await keysIn(client.folder)) keys.set(kid, key);
      },
    },
  });
  for (let round = 0; round < 2; round += 1) {
    for (const [index, client] of clients.entries()) {
      await fleet.reached(client, await fleet.rotate(client), index === 3 ? 'failed' : 'finished');
    }
  }
  // Imported, and two new ones each.
  expect(keys.size).toBe(clients.length * 3);
  const needles = [...keys].flatMap(([kid, key]) => needlesOf(kid, key));
  expect(await findings(fleet, redis, needles)).toEqual({});
  for (const [place, bytes] of await places(fleet, redis)) {
    expect(bytes.length, `${place} was looked at`).toBeGreaterThan(1_000);
    expect(bytes.includes(KEK), `the key encryption key is not in the ${place}`).toBe(false);
  }
  await expectSound(fleet, clients.slice(0, 3));

  for (const [kid, key] of keys) {
    const jwk = key.export({ format: 'jwk' });
    const der = key.export({ format: 'der', type: 'pkcs8' });
    await redis.hset('planted', { [kid]: Buffer.concat([Buffer.from('\0before'), der, Buffer.from('after')]) });
    await fleet.queues.control.add('planted', { v: 1, deep: { jwk } }, { delay: 3_600_000 });
    fleet.lines.push(JSON.stringify({ msg: 'planted', pem: der.toString('base64') }));
  }
  const planted = await findings(fleet, redis, needles);
  for (const kid of keys.keys()) {
    for (const [place, name] of [
      ['redis', `${kid} PKCS#8 raw`],
      ['redis', `${kid} d base64url`],
      ['append-only file', `${kid} d base64url`],
      ['log', `${kid} PKCS#8 base64`],
    ] as const) {
      expect(planted[place], `planted in the ${place}`).toContain(name);
    }
  }
});
