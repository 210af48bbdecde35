/** Keys as Secrets of a local Kubernetes API: see {@link ./server.ts}. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeProtectedHeader } from 'jose';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { KubernetesClient, KubernetesSinkConfig } from '../../../src/config/sinks/model.ts';
import { parseReference } from '../../../src/core/client.ts';
import type { DeliveringStore } from '../../../src/deliver/fence.ts';
import { kubernetesSink } from '../../../src/deliver/kubernetes/sink.ts';
import type { Sink } from '../../../src/deliver/sink.ts';
import { openSigner } from '../../../src/signer/index.ts';
import { certificateFor } from '../../support/certificates.ts';
import { contents, deliveryAt, holds, message, SET_FILES, sinkKey } from '../contents.ts';
import { type Cluster, startCluster } from './server.ts';

const REF = '185019846023/mcp-auth/4711';
const NAME = 'apps/rekeyd.185019846023.mcp-auth.4711';
const RESTARTED: KubernetesClient = { client: REF, name: 'payments-key', namespace: null, restart: 'payments' };

interface Options extends Partial<KubernetesSinkConfig> {
  readonly store?: DeliveringStore | null;
}

async function start({ store = null, ...more }: Options = {}, tls?: { cert: string; key: string }) {
  const cluster = await startCluster(tls);
  const dir = mkdtempSync(join(tmpdir(), 'rekeyd-kubernetes-'));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  const tokenFile = join(dir, 'token');
  writeFileSync(tokenFile, 'token-1\n');
  const open = (over: Options = {}): Sink => {
    const config: KubernetesSinkConfig = {
      ...{ kind: 'kubernetes', url: cluster.url, namespace: 'apps', prefix: 'rekeyd', clients: [], timeoutMs: 20_000 },
      ...{ tokenFile, route: { proxy: null, authorities: [] }, ...more, ...over },
    };
    const sink = kubernetesSink(config, { store: over.store ?? store, now: Date.now });
    onTestFinished(() => sink.close());
    return sink;
  };
  return { cluster, tokenFile, open, sink: open() };
}

function filesIn(cluster: Cluster, name = NAME): Record<string, string> {
  const data = Object.entries(cluster.secrets.get(name)?.data ?? {});
  return Object.fromEntries(data.map(([file, text]) => [file, Buffer.from(text, 'base64').toString()]));
}

const metaIn = (cluster: Cluster, name = NAME) => JSON.parse(filesIn(cluster, name)['meta.json'] ?? 'null');

describe('a delivery', () => {
  test('is a Secret with the files of a key folder, and takes away what it does not have', async () => {
    const { cluster, sink } = await start();
    const [a, b] = [await sinkKey(), await sinkKey()];
    await sink.deliver(contents({ current: a, next: b }));
    expect(cluster.secrets.get(NAME)).toMatchObject({
      type: 'Opaque',
      metadata: { labels: { 'app.kubernetes.io/managed-by': 'rekeyd' } },
    });
    const files = filesIn(cluster);
    expect(Object.keys(files).sort()).toEqual(SET_FILES);
    expect([holds(a, files['current.pem'] ?? ''), holds(b, files['next.jwk.json'] ?? '')]).toEqual([true, true]);
    expect(await deliveryAt(sink)).toEqual({ current: a.kid, next: b.kid, previous: null });
    await sink.deliver(contents({ current: b }, { epoch: 2 }));
    expect(Object.keys(filesIn(cluster)).sort()).toEqual([
      'current.jwk.json',
      'current.pem',
      'meta.json',
      'public.jwks.json',
    ]);
    await sink.deliver(contents({}, { epoch: 3 }));
    expect(Object.keys(filesIn(cluster)).sort()).toEqual(['meta.json', 'public.jwks.json']);
  });

  test('of an earlier claim, or of another store, replaces nothing', async () => {
    const { cluster, open } = await start();
    const [one, two] = ['one', 'two'].map((id) => open({ store: { id: () => id, predecessors: async () => [] } }));
    const key = await sinkKey();
    await one?.deliver(contents({ current: key }, { epoch: 7 }));
    await expect(one?.deliver(contents({}, { epoch: 6 }))).rejects.toMatchObject({ code: 'sink_outdated', epoch: 7 });
    await expect(two?.deliver(contents({}, { epoch: 8 }))).rejects.toThrow('the store one delivers there');
    expect(metaIn(cluster).current).toBe(key.kid);
  });

  test('touches no Secret of somebody else, nor one that lost its label', async () => {
    const { cluster, sink } = await start();
    const theirs = {
      ...{ apiVersion: 'v1', kind: 'Secret', type: 'Opaque', data: { password: 'dGhlaXJz' } },
      metadata: {
        name: 'rekeyd.185019846023.mcp-auth.4711',
        namespace: 'apps',
        resourceVersion: '1',
        labels: {},
        annotations: {},
      },
    };
    cluster.secrets.set(NAME, structuredClone(theirs));
    expect(await message(sink.deliver(contents({ current: await sinkKey() })))).toMatch(
      /without the label.*writes no Secret that it did not make/,
    );
    expect(cluster.secrets.get(NAME)).toEqual(theirs);
    expect(await deliveryAt(sink)).toBeNull();
    cluster.secrets.clear();
    await sink.deliver(contents({ current: await sinkKey() }));
    cluster.edit(NAME, ({ metadata }) => void delete metadata.labels['app.kubernetes.io/managed-by']);
    expect(await message(sink.deliver(contents({}, { epoch: 2 })))).toContain('without the label');
  });

  test('puts right what was changed by hand, and leaves what others added', async () => {
    const { cluster, sink } = await start();
    const key = await sinkKey();
    await sink.deliver(contents({ current: key }));
    cluster.edit(NAME, ({ data, metadata }) => {
      Object.assign(data, { 'current.pem': 'YnkgaGFuZA==', 'extra.txt': 'dGhlaXJz' });
      metadata.labels.team = 'payments';
    });
    await sink.deliver(contents({ current: key }, { epoch: 2 }));
    const files = filesIn(cluster);
    expect([holds(key, files['current.pem'] ?? ''), files['extra.txt']]).toEqual([true, 'theirs']);
    expect(cluster.secrets.get(NAME)?.metadata.labels.team).toBe('payments');
  });

  test('meets another writer: it looks again, and tells when that goes on', async () => {
    const { cluster, sink } = await start();
    const key = await sinkKey();
    await sink.deliver(contents({ current: key }));
    const touch = () =>
      cluster.edit(NAME, ({ metadata }) => Object.assign(metadata.labels, { at: String(performance.now()) }));
    cluster.onWrite = () => {
      cluster.onWrite = () => {};
      touch();
    };
    await sink.deliver(contents({}, { epoch: 2 }));
    expect(metaIn(cluster).current).toBeNull();
    cluster.onWrite = touch;
    expect(await message(sink.deliver(contents({ current: key }, { epoch: 3 })))).toContain(
      'changed the Secret rekeyd.185019846023.mcp-auth.4711 5 times',
    );
    expect(metaIn(cluster).current).toBeNull();
  });

  test('into a Secret that others filled says how much it holds', async () => {
    const { cluster, sink } = await start();
    await sink.deliver(contents({ current: await sinkKey() }));
    const before = metaIn(cluster);
    cluster.edit(NAME, ({ data }) =>
      Object.assign(data, { 'big.bin': Buffer.alloc(1024 ** 2 - 1000).toString('base64') }),
    );
    expect(await message(sink.deliver(contents({ current: await sinkKey() }, { epoch: 2 })))).toMatch(
      /422 \(.*Too long.*at most 1 MiB/,
    );
    expect(metaIn(cluster)).toEqual(before);
  });

  test('into a namespace that is gone says so', async () => {
    const { cluster, sink } = await start();
    cluster.namespaces.clear();
    expect(await message(sink.deliver(contents({ current: await sinkKey() })))).toMatch(
      /404 \(namespaces "apps" not found\).*Make the namespace/,
    );
    expect(await sink.check()).toContain('Make the namespace');
  });

  test('has the right name for any client', async () => {
    const { sink } = await start();
    const names = ['1/a/b', '1/A/b', '1/a_b/c', '1/a/b.c', '1/a.b/c', `1/${'x'.repeat(128)}/${'y'.repeat(128)}`].map(
      (ref) => sink.placeOf(ref as never),
    );
    expect(names[0]).toMatch(/ apps\/rekeyd\.1\.a\.b$/);
    expect(new Set(names).size).toBe(names.length);
    for (const name of names)
      expect(name).toMatch(/\/(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/);
  });
});

test('a client whose name is the hash in the name of another Secret does not get that Secret', async () => {
  const { cluster, sink } = await start();
  const first = parseReference('1/a/_');
  const [hash = ''] = /[0-9a-f]{12}$/.exec(sink.placeOf(first)) ?? [];
  const second = parseReference(`1/a/${hash}`);
  expect(sink.placeOf(second)).toBe(sink.placeOf(first));
  const key = await sinkKey();
  await sink.deliver(contents({ current: key }, { ref: first }));
  const refused = sink.deliver(contents({ current: await sinkKey() }, { ref: second, epoch: 2 }));
  expect(await message(refused)).toMatch(/it holds the keys of 1\/a\/_\..*Give each client a place of its own/);
  expect(metaIn(cluster, `apps/rekeyd.1.a.${hash}`).current).toBe(key.kid);
  const read = await sink.sets?.('1/a');
  expect([await read?.(first), await read?.(second)]).toMatchObject([{ current: key.kid }, null]);
});

test('a Secret that is mounted is a key folder for the signer library', async () => {
  const { cluster, sink } = await start();
  const key = await sinkKey();
  await sink.deliver(contents({ current: key }));
  // As the kubelet mounts it.
  const volume = mkdtempSync(join(tmpdir(), 'rekeyd-volume-'));
  onTestFinished(() => rmSync(volume, { recursive: true }));
  mkdirSync(join(volume, '..2026_11_27'));
  symlinkSync('..2026_11_27', join(volume, '..data'));
  for (const [name, text] of Object.entries(filesIn(cluster))) {
    writeFileSync(join(volume, '..data', name), text);
    symlinkSync(`..data/${name}`, join(volume, name));
  }
  const signer = await openSigner(volume);
  onTestFinished(() => signer.close());
  const { assertion } = await signer.assertion({ audience: 'https://auth.example.com' });
  expect(decodeProtectedHeader(assertion).kid).toBe(key.kid);
});

test('a Deployment is restarted once for each change of the keys, whoever delivers them and how often', async () => {
  const { cluster, open } = await start({ clients: [RESTARTED] });
  cluster.deployments.set('apps/payments', { annotations: { theirs: 'stays' }, generation: 1 });
  const [a, b] = [await sinkKey(), await sinkKey()];
  const generation = () => cluster.deployments.get('apps/payments')?.generation;
  const sets = [{ current: a }, { current: a, next: b }, { current: b, previous: a }, { current: b }];
  for (const [index, keys] of sets.entries()) {
    await open().deliver(contents(keys, { epoch: 2 * index + 1 }));
    await open().deliver(contents(keys, { epoch: 2 * index + 2, updatedAt: index }));
    expect(generation()).toBe(index + 2);
  }
  expect(metaIn(cluster, 'apps/payments-key').current).toBe(b.kid);
  expect(cluster.deployments.get('apps/payments')?.annotations.theirs).toBe('stays');
  expect(await open().check()).toBeNull();

  cluster.deployments.clear();
  expect(await open().check()).toContain('deployments.apps "payments" not found');
  expect(await message(open().deliver(contents({}, { epoch: 20 })))).toContain('restarting the Deployment payments');
});

test('a token that was replaced in its file is read again, over TLS by the authority of the cluster', async () => {
  const certified = certificateFor('IP:127.0.0.1');
  const { cluster, sink, open, tokenFile } = await start(
    { route: { proxy: null, authorities: [certified.cert] } },
    certified,
  );
  await sink.deliver(contents({ current: await sinkKey() }));
  cluster.tokens.clear();
  expect(await message(sink.deliver(contents({}, { epoch: 2 })))).toMatch(/401 \(Unauthorized\).*its token is refused/);
  cluster.tokens.add('token-2');
  writeFileSync(tokenFile, 'token-2');
  await sink.deliver(contents({}, { epoch: 2 }));
  rmSync(tokenFile);
  expect(await open().check()).toMatch(/token of the service account cannot be read.*ENOENT/);
  expect(await open({ route: { proxy: null, authorities: [] } }).check()).toMatch(/cannot be read|certificate/);
  writeFileSync(tokenFile, 'token-2');
  expect(await open({ route: { proxy: null, authorities: [] } }).check()).toMatch(/certificate.*Check url, ca/);
});

test.each(['get secrets', 'create secrets', 'patch secrets', 'patch deployments'])(
  'without the right to %s the check says so, and writes nothing',
  async (right) => {
    const { cluster, sink } = await start({ clients: [RESTARTED] });
    cluster.deployments.set('apps/payments', { annotations: {}, generation: 1 });
    expect(await sink.check()).toBeNull();
    cluster.denied.add(right);
    expect(await sink.check()).toMatch(/403 \(.*cannot (get|create|patch) resource.*the Role in docs\/sinks\.md/);
    expect([cluster.secrets.size, cluster.deployments.get('apps/payments')?.generation]).toEqual([0, 1]);
  },
);
