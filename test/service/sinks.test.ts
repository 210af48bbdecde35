/** Sinks beside the key folder: a rotation waits for all of them, publishes nothing before, and leaves private keys nowhere else. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { chmod, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { compactDecrypt } from 'jose';
import { expect, onTestFinished, test } from 'vitest';
import { type Cluster, startCluster } from '../deliver/kubernetes/server.ts';
import { startVault, type Vault } from '../deliver/vault/server.ts';
import { type Fleet, type FleetClient, PEM_APP, startFleet } from '../support/fleet.ts';
import { startLogins } from '../support/logins.ts';
import { keysIn, needlesOf, searchFor } from '../support/secrets.ts';
import { expectSound } from '../support/sound.ts';
import { until } from '../support/until.ts';

const VAULT_TOKEN = 'token-of-rekeyd-in-vault';
const SERVICE_TOKEN = 'token-of-rekeyd-in-kubernetes';

interface World {
  readonly fleet: Fleet;
  readonly client: FleetClient;
  readonly vault: Vault;
  readonly cluster: Cluster;
  /** Whether the program fails, and prints what it gets. */
  readonly switch: string;
  readonly recipient: KeyObject;
  readonly config: Parameters<Fleet['start']>[1];
}

async function startWorld(): Promise<World> {
  const [vault, cluster] = [await startVault(), await startCluster()];
  vault.addToken(VAULT_TOKEN);
  cluster.tokens.clear();
  cluster.tokens.add(SERVICE_TOKEN);
  // It is tried again for as long as the test takes.
  const app = { ...PEM_APP, policy: { attempts: 1000 } };
  const fleet = await startFleet({ apps: [app], redis: { settings: ['--rdbcompression', 'no'] } });
  const { publicKey, privateKey } = generateKeyPairSync('x25519');
  await writeFile(join(fleet.dir, 'recipient.json'), JSON.stringify(publicKey.export({ format: 'jwk' })));
  await writeFile(join(fleet.dir, 'token'), SERVICE_TOKEN);
  const [program, off] = [join(fleet.dir, 'install-key'), join(fleet.dir, 'off')];
  await writeFile(
    program,
    `#!/bin/sh\nif [ -e "$OFF" ]; then cat; exit 1; fi\ncat > "$OUT.new" && mv "$OUT.new" "$OUT"\n`,
  );
  await chmod(program, 0o755);
  const sinks = [
    { kind: 'directory', path: './data/keys' },
    { kind: 'vault', url: vault.url, auth: { token: 'env:VAULT_TOKEN' } },
    { kind: 'kubernetes', url: cluster.url, namespace: 'apps', service_account: '.' },
    { kind: 'exec', command: [program], env: { OUT: join(fleet.dir, 'installed.json'), OFF: off } },
    { kind: 'encrypted_file', path: './handover', recipient: 'file:recipient.json' },
  ];
  const config = await fleet.configOf({ ...fleet.file, sinks }, { VAULT_TOKEN });
  const client = await fleet.managed(app);
  return { fleet, client, vault, cluster, switch: off, recipient: privateKey, config };
}

/** What each sink says it holds, where it has anything. */
async function metas({
  fleet,
  client,
  vault,
  cluster,
  recipient,
}: World): Promise<Record<string, { current: string | null; next: string | null } | null>> {
  const read = (path: string) => readFile(path, 'utf8').catch(() => 'null');
  const secret = cluster.secrets.get(`apps/rekeyd.${client.ref.replaceAll('/', '.')}`)?.data['meta.json'];
  const jwe = await readFile(`${join(fleet.dir, 'handover', client.ref)}.jwe`, 'utf8').catch(() => null);
  const opened = jwe === null ? null : (await compactDecrypt(jwe.trim(), recipient)).plaintext;
  return {
    directory: JSON.parse(await read(join(client.folder, 'meta.json'))),
    vault: JSON.parse(vault.latest(`rekeyd/${client.ref}`)?.data?.['meta.json'] ?? 'null'),
    kubernetes: JSON.parse(Buffer.from(secret ?? 'bnVsbA==', 'base64').toString()),
    exec: JSON.parse(await read(join(fleet.dir, 'installed.json'))),
    encrypted_file: opened === null ? null : JSON.parse(new TextDecoder().decode(opened)),
  };
}

const currents = async (world: World) => Object.values(await metas(world)).map((meta) => meta?.current);

/** What keeps the client's rotation, as `status` shows it. */
async function reason({ fleet, client }: World): Promise<string> {
  return (await fleet.record(client)).rotation?.tries.error ?? '';
}

test('a rotation waits for each sink that fails, publishes nothing, and goes on when it works again', async () => {
  const world = await startWorld();
  const { fleet, client, vault, cluster, config } = world;
  const keys = new Map<string, KeyObject>();
  await fleet.start(
    {
      hooks: {
        async onPoint(point) {
          if (point !== 'deliver:after effect') return;
          for (const [kid, key] of await keysIn(client.folder)) keys.set(kid, key);
        },
      },
    },
    config,
  );
  // They have nothing of the client yet: a start puts that right.
  await until('all have the imported key', async (saw) =>
    saw(await currents(world)).every((kid) => kid === client.key.kid),
  );
  const logins = await startLogins(client, fleet);
  const redis = new Redis(fleet.redis.socketPath);
  onTestFinished(() => redis.disconnect());

  vault.sealed = true;
  cluster.denied.add('patch secrets');
  await writeFile(world.switch, '');
  const id = await fleet.rotate(client);
  const told = await until('it says what it waits for', async (saw) => saw(await reason(world)) || null);
  expect(told).toMatch(/vault .*sealed.*operator unseal/);
  expect(told).toMatch(/kubernetes .*403 \(.*cannot patch resource/);
  expect(told).toMatch(/exec .*it ended with 1, and printed a part of a private key, which is not repeated here/);
  // Those that work have it, and the old key goes on.
  const next = (await fleet.record(client)).keys.find(({ state }) => state === 'pre-active')?.kid;
  expect(await metas(world)).toMatchObject({
    directory: { current: client.key.kid, next },
    encrypted_file: { current: client.key.kid, next },
    vault: { next: null },
    kubernetes: { next: null },
    exec: { next: null },
  });
  for (const [mend, sink] of [
    [() => Object.assign(vault, { sealed: false }), /vault /],
    [() => cluster.denied.clear(), /kubernetes /],
  ] as const) {
    mend();
    await until(`nothing is wrong with ${sink} any more`, async (saw) => !sink.test(saw(await reason(world))));
    await logins.more(2);
    expect(fleet.patches(client)).toEqual([]);
  }
  await rm(world.switch);
  const { kid } = await fleet.reached(client, id);
  await logins.more(2);
  expect(await logins.stop()).toMatchObject({ refused: [] });
  expect(new Set(await currents(world))).toEqual(new Set([kid]));
  await expectSound(fleet, [client]);

  // Nothing of the keys, and of what opens the sinks, is anywhere else.
  expect(keys.size).toBe(2);
  await redis.save();
  const places: readonly (readonly [string, Buffer])[] = [
    ['log', Buffer.from(fleet.lines.join(''))],
    ['snapshot', await readFile(join(fleet.redis.socketPath, '..', 'dump.rdb'))],
    ['audit', Buffer.from(JSON.stringify(await fleet.audit()))],
    ['reason', Buffer.from(told)],
    ['requests', Buffer.from(JSON.stringify(fleet.emulator.log))],
  ];
  const search = searchFor([...keys].flatMap(([name, key]) => needlesOf(name, key)));
  for (const [place, bytes] of places) {
    expect([...search(bytes)], place).toEqual([]);
    for (const token of [VAULT_TOKEN, SERVICE_TOKEN]) expect(bytes.includes(token), place).toBe(false);
  }
  // It would find one that is there.
  expect(
    search(Buffer.from(vault.latest(`rekeyd/${client.ref}`)?.data?.['current.jwk.json'] ?? '')).size,
  ).toBeGreaterThan(0);
});

test('a rotation whose sink goes on failing is given up: the old key stays, and a later one takes', async () => {
  const vault = await startVault();
  vault.addToken(VAULT_TOKEN);
  const app = { ...PEM_APP, policy: { attempts: 2 } };
  const fleet = await startFleet({ apps: [app] });
  const sinks = [{ kind: 'vault', url: vault.url, auth: { token: 'env:VAULT_TOKEN' } }];
  const config = await fleet.configOf({ ...fleet.file, sinks }, { VAULT_TOKEN });
  const client = await fleet.managed(app);
  await fleet.start({}, config);
  const inVault = () => JSON.parse(vault.latest(`rekeyd/${client.ref}`)?.data?.['meta.json'] ?? 'null');
  await until('Vault has the imported key', (saw) => saw(inVault())?.current === client.key.kid);
  vault.tokens.clear();
  const { error } = await fleet.reached(client, await fleet.rotate(client), 'failed');
  expect(error).toMatch(/gave up after 2 attempts: .*vault.*invalid token/s);
  expect(fleet.patches(client)).toEqual([]);
  expect(inVault().current).toBe(client.key.kid);
  vault.addToken(VAULT_TOKEN);
  const { kid } = await fleet.reached(client, await fleet.rotate(client));
  expect(inVault()).toMatchObject({ current: kid, next: null, previous: null });
  // A key that is destroyed is in none of its versions.
  expect(vault.secrets.get(`rekeyd/${client.ref}`)?.filter(({ data }) => data !== null)).toHaveLength(1);
});
