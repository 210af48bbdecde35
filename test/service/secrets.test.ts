/** No private key leaves the process in clear but to its folder. */

import type { KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { CHANGE } from '../emulator/fault-rules.ts';
import { caller, makeToken } from '../support/api.ts';
import { ENCODINGS } from '../support/encodings.ts';
import { DEPLOYMENT, type Fleet, KEK, startFleet } from '../support/fleet.ts';
import { APPS, managedClients, ROTATIONS, ROUNDS } from '../support/rotations.ts';
import { filesIn, keysIn, needlesOf, searchFor } from '../support/secrets.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

/** Everything that Redis holds now, as it would answer it. */
async function contentsOf(redis: Redis): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for (const key of await redis.keys('*')) {
    pieces.push(Buffer.from(`\n${key}\n`), ...(await valuesOf(redis, key)));
  }
  return Buffer.concat(pieces);
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
  const folder = dirname(fleet.redis.socketPath);
  await redis.save();
  return new Map([
    ['redis', await contentsOf(redis)],
    ['append-only file', await filesIn(join(folder, 'appendonlydir'))],
    ['snapshot', await readFile(join(folder, 'dump.rdb'))],
    ['log', Buffer.from(fleet.lines.join(''))],
    ['requests', Buffer.from(JSON.stringify(fleet.emulator.log))],
    ['audit', Buffer.from(JSON.stringify(await fleet.audit()))],
  ]);
}

type Search = (haystack: Buffer) => ReadonlySet<string>;

async function findings(fleet: Fleet, redis: Redis, search: Search): Promise<Record<string, readonly string[]>> {
  const found = [...(await places(fleet, redis))].map(([place, bytes]) => [place, [...search(bytes)]] as const);
  return Object.fromEntries(found.filter(([, names]) => names.length !== 0));
}

/** Each key in each place, in one form or another. */
async function plant(fleet: Fleet, redis: Redis, keys: ReadonlyMap<string, KeyObject>): Promise<void> {
  for (const [kid, key] of keys) {
    const jwk = key.export({ format: 'jwk' });
    const der = key.export({ format: 'der', type: 'pkcs8' });
    await redis.hset('planted', { [kid]: Buffer.concat([Buffer.from('\0before'), der, Buffer.from('after')]) });
    await fleet.queues.control.add('planted', { v: 1, deep: { jwk } }, { delay: 3_600_000 });
    fleet.lines.push(JSON.stringify({ msg: 'planted', pem: der.toString('base64') }));
    await fetch(`${fleet.emulator.url}/deployments/${DEPLOYMENT}/oauth/apps/ec/clients/1`, {
      method: 'PATCH',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(jwk),
    });
  }
  const reason = JSON.stringify([...keys.values()].map((key) => key.export({ format: 'jwk' })));
  const draft = { type: 'key.imported', client: null, rotation: null, actor: 'test', reason, data: {} } as const;
  await fleet.resources.store.append([draft]);
}

test('private keys are in no place but their folder, and the search for them finds one that is', async () => {
  // Without it a snapshot would compress what it holds, where no search finds it.
  const fleet = await startFleet({ apps: APPS, redis: { settings: ['--rdbcompression', 'no'] } });
  const redis = new Redis(fleet.redis.socketPath);
  onTestFinished(() => redis.disconnect());
  const keys = new Map<string, KeyObject>();
  const clients = await managedClients(fleet);
  const [app = APPS[0]] = APPS;
  const failing = app === undefined ? [] : [await fleet.managed(app)];
  // Debug logs too; and one client whose rotation fails with its key at hand.
  for (const { id } of failing) {
    fleet.emulator.faults.add({ kind: 'status', status: 400, match: { ...CHANGE, client: id }, times: ROUNDS });
  }
  await fleet.start({
    hooks: {
      async onPoint(point, ref) {
        const client = [...clients, ...failing].find((one) => one.ref === ref);
        if (client === undefined || point !== 'deliver:after effect') return;
        for (const [kid, key] of await keysIn(client.folder)) keys.set(kid, key);
      },
    },
  });
  for (let round = 0; round < ROUNDS; round += 1) {
    await Promise.all([
      ...clients.map(async (client) => fleet.reached(client, await fleet.rotate(client))),
      ...failing.map(async (client) => fleet.reached(client, await fleet.rotate(client), 'failed')),
    ]);
  }
  // Imported, and one for each rotation.
  expect(keys.size).toBe((clients.length + failing.length) * (ROUNDS + 1));
  expect(keys.size).toBeGreaterThan(ROTATIONS);
  const search = searchFor([...keys].flatMap(([kid, key]) => needlesOf(kid, key)));
  expect(await findings(fleet, redis, search)).toEqual({});
  for (const [place, bytes] of await places(fleet, redis)) {
    expect(bytes.length, `${place} was looked at`).toBeGreaterThan(1_000);
    expect(bytes.includes(KEK), `the key encryption key is not in the ${place}`).toBe(false);
  }
  await expectSound(fleet, clients);

  await plant(fleet, redis, keys);
  const planted = await findings(fleet, redis, search);
  for (const kid of keys.keys()) {
    for (const [place, name] of [
      ['redis', `${kid} PKCS#8 raw`],
      ['redis', `${kid} d base64url`],
      ['append-only file', `${kid} PKCS#8 raw`],
      ['append-only file', `${kid} d base64url`],
      ['snapshot', `${kid} PKCS#8 raw`],
      ['snapshot', `${kid} d base64url`],
      ['log', `${kid} PKCS#8 base64`],
      ['requests', `${kid} d base64url`],
      ['audit', `${kid} d base64url`],
    ] as const) {
      expect(planted[place], `planted in the ${place}`).toContain(name);
    }
  }
});

test('a private key that is reported in any encoding is replaced, and is in no place afterwards', async () => {
  const fleet = await startFleet({
    apps: APPS,
    redis: { settings: ['--rdbcompression', 'no'] },
    config: { http: { listen: '127.0.0.1:0' } },
  });
  const redis = new Redis(fleet.redis.socketPath);
  onTestFinished(() => redis.disconnect());
  const [ec, , rsa] = APPS;
  if (ec === undefined || rsa === undefined) throw new Error('apps are missing');
  const leaked = await Promise.all(
    ENCODINGS.map(async (encoding, index) => ({
      encoding,
      client: await (index % 4 === 0 ? fleet.managed(rsa, { alg: 'RS256' }) : fleet.managed(ec)),
    })),
  );
  const service = await fleet.start({ http: true });
  await until('the keys are noted', () => fleet.resources.store.areOwnersNoted());
  const call = caller(service.url ?? '', await makeToken(fleet));
  const answers: string[] = [];
  for (const { encoding, client } of leaked) {
    const asked = { method: 'POST', headers: { 'content-type': 'application/octet-stream' } };
    const body = encoding.encode(client.key.privateKey);
    const answer = await call('/v1/leaks?rotate=true&reason=found+in+a+paste', { ...asked, body: body as string }); // bytes too
    expect([answer.status, answer.body.keys], encoding.name).toMatchObject([
      202,
      [{ private: true, clients: [{ client: client.ref, state: 'active', sign_in: 'accepted', left: null }] }],
    ]);
    answers.push(JSON.stringify([answer.body, [...answer.headers]]));
    await fleet.reached(client, answer.body.keys[0].clients[0].rotation);
    expect((await call('/v1/leaks', { ...asked, body: body as string })).body.keys, encoding.name).toMatchObject([
      { private: true, clients: [{ client: client.ref, state: 'destroyed', reported: true, sign_in: 'refused' }] },
    ]);
    expect(fleet.patches(client)).toHaveLength(1);
  }
  const keys = new Map(leaked.map(({ client, encoding }) => [encoding.name, client.key.privateKey]));
  const search = searchFor([...keys].flatMap(([name, key]) => needlesOf(name, key)));
  expect(await findings(fleet, redis, search)).toEqual({});
  expect([...search(Buffer.from(answers.join('')))]).toEqual([]);
  expect([...search(await filesIn(join(fleet.dir, 'data')))]).toEqual([]);
  expect((await places(fleet, redis)).get('log')?.includes('a leaked key was reported')).toBe(true);

  await plant(fleet, redis, keys);
  const planted = await findings(fleet, redis, search);
  for (const name of keys.keys()) expect(planted.redis, 'planted').toContain(`${name} PKCS#8 raw`);
});
