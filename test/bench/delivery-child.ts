/** Deliveries of keys to a folder in a process of its own: by rekeyd's sink, or by the bare loop of the same files and fsyncs. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { makeReference } from '../../src/core/client.ts';
import { directorySink } from '../../src/deliver/directory.ts';
import type { SinkContents, SinkKey } from '../../src/deliver/sink.ts';
import { generateKey } from '../../src/keys/generate.ts';
import { inParallel } from '../../src/parallel.ts';
import { type FolderKey, openBareFolder } from './bare-folder.ts';
import { activeSet, firstSet, lastSet, nextSet } from './bare-sets.ts';
import { orderOf, serveParent, usage } from './child.ts';
import { fsyncs } from './counters.ts';

export interface DeliveryOrder {
  readonly by: 'sink' | 'bare';
  /** Empty. */
  readonly folder: string;
  readonly clients: number;
  /** Deliveries at once. */
  readonly lanes: number;
}

/** For one delivery. */
export interface DeliveryCost {
  /** Of all threads. */
  readonly cpuMs: number;
  readonly ms: number;
  readonly fsyncs: number;
}

/** What a rotation delivers: the new key as the next one, then as the current one, and then as the only one. */
interface Deliveries {
  begin(client: string, key: SinkKey): Promise<void>;
  rotate(client: string, old: SinkKey, fresh: SinkKey): Promise<void>;
  close(): unknown;
}

const PER_ROTATION = 3;
const [DEPLOYMENT, APP, ALG] = ['bench', 'app', 'ES256'] as const;
const ISSUER = 'https://app.example.com';

function bySink(root: string): Deliveries {
  const sink = directorySink(root);
  const deliver = (client: string, keys: Partial<SinkContents>) =>
    sink.deliver({
      ref: makeReference(DEPLOYMENT, APP, client),
      clientId: client,
      issuer: ISSUER,
      alg: ALG,
      ...{ current: null, next: null, previous: null },
      updatedAt: Date.now(),
      epoch: 1,
      ...keys,
    });
  return {
    begin: (client, current) => deliver(client, { current }),
    async rotate(client, old, fresh) {
      await deliver(client, { current: old, next: fresh });
      await deliver(client, { current: fresh, previous: old });
      await deliver(client, { current: fresh });
    },
    close: () => sink.close(),
  };
}

function byBareLoop(root: string): Deliveries {
  const path = join(root, DEPLOYMENT, APP);
  mkdirSync(path, { recursive: true });
  const folder = openBareFolder(path);
  const about = (client: string) => ({ client, clientId: client, issuer: ISSUER });
  const folderKey = (key: SinkKey): FolderKey => ({ ...key, privateKey: key.privateKey.keyObject() });
  return {
    begin: (client, key) => folder.deliver(client, firstSet(about(client), folderKey(key))),
    async rotate(client, ...keys) {
      const [old, fresh] = [folderKey(keys[0]), folderKey(keys[1])];
      await folder.deliver(client, nextSet(about(client), old, fresh));
      await folder.deliver(client, activeSet(about(client), old, fresh));
      await folder.deliver(client, lastSet(about(client), fresh));
    },
    close: () => folder.close(),
  };
}

async function makeKeys(count: number): Promise<SinkKey[]> {
  const keys: SinkKey[] = [];
  for (let index = 0; index < count; index += 1) {
    const { thumbprint, alg, jwk, privateKey } = await generateKey(ALG);
    keys.push({ kid: thumbprint, alg, jwk, privateKey });
  }
  return keys;
}

const order = orderOf<DeliveryOrder>();
const deliveries = order.by === 'sink' ? bySink(order.folder) : byBareLoop(order.folder);
const held = new Map<string, SinkKey>();
for (const [index, key] of (await makeKeys(order.clients)).entries()) {
  await deliveries.begin(`client-${index}`, key);
  held.set(`client-${index}`, key);
}

/** Rotates all clients; their new keys are there before the clock starts. */
async function rotate(): Promise<DeliveryCost> {
  const fresh = await makeKeys(held.size);
  const pairs = [...held].flatMap(([client, old], index) => {
    const key = fresh[index];
    return key === undefined ? [] : [{ client, old, key }];
  });
  // Threads that had nothing to do are gone: they start before the clock does.
  await inParallel([...held].slice(0, order.lanes), order.lanes, ([client, key]) => deliveries.begin(client, key));
  const before = { ...usage(), fsyncs: fsyncs(), at: performance.now() };
  await inParallel(pairs, order.lanes, ({ client, old, key }) => deliveries.rotate(client, old, key));
  const after = { ...usage(), fsyncs: fsyncs(), at: performance.now() };
  for (const { client, key } of pairs) held.set(client, key);
  const each = (from: number, to: number) => (to - from) / pairs.length / PER_ROTATION;
  return {
    cpuMs: each(before.cpuMs, after.cpuMs),
    ms: each(before.at, after.at),
    fsyncs: each(before.fsyncs, after.fsyncs),
  };
}

serveParent(null, { rotate }, () => deliveries.close());
