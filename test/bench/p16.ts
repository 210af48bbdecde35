import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import { makeReference } from '../../src/core/client.ts';
import { found } from '../../src/core/enrolment.ts';
import { keyNames, publishedKey } from '../../src/keys/key-id.ts';
import { commitOf } from '../../src/rotation/commit.ts';
import { ownersInStore } from '../../src/rotation/owners.ts';
import { clientPolicy } from '../../src/rotation/policy.ts';
import { type Figure, judge, p99 } from './figure.ts';
import { APP, onStage, type Stage } from './stage.ts';

const CLIENTS = 100_000;
/** A key in use and a former one, each by its id and its thumbprint. */
const MARKS = 4;
const LOOK_UPS = 2_000;

/** The store is asked which clients have a key: half of the keys that are asked for are known, half are not. */
export const p16: Figure = {
  ids: ['P16'],
  async measure({ rounds, quick }) {
    const clients = quick ? CLIENTS / 10 : CLIENTS;
    const took = await onStage(
      { appendfsync: 'everysec', strategy: 'cutover', clients: 1, concurrency: 1 },
      async (stage) => {
        const names = await fill(stage, clients);
        const all: number[] = [];
        for (let round = 0; round < rounds; round += 1) all.push(await slowest(stage, names));
        return all;
      },
    );
    const what = `p99 of finding the owner of a key among ${clients} clients`;
    return [judge({ id: 'P16', what, unit: 's', goal: 0.01, baseline: {} }, took)];
  },
};

/** One real client among the marks of many. @returns the names of its key */
async function fill({ redis, resources }: Stage, clients: number): Promise<readonly string[]> {
  const { store } = resources;
  const deployment = resources.config.deployments[0]?.id ?? '';
  const client = new Redis(redis.socketPath);
  for (let from = 0; from < clients; from += 1_000) {
    const members = Array.from({ length: 1_000 * MARKS }, (_, index) => {
      const mark = randomBytes(12).toString('base64url');
      return ['0', `${mark} ${makeReference(deployment, APP, `${from + Math.floor(index / MARKS)}`)}`];
    });
    await client.zadd(store.keys.owners, ...members.flat());
  }
  client.disconnect();
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const shown = { id: '1', clientId: 'one', authMethod: 'private_key_jwt', alg: 'ES256', jwksUri: null, active: true };
  const keys = [publishedKey({ kty: 'EC', ...publicKey.export({ format: 'jwk' }) })];
  const ref = makeReference(deployment, APP, 'one');
  const cause = { actor: 'bench', reason: 'bench', request: null };
  const policy = clientPolicy(resources, ref);
  if (policy === null) throw new Error('the stage has a policy for its app');
  const change = found(ref, { ...shown, keys, updatedAt: '' }, cause, await store.now());
  await store.commit(commitOf(change, policy, { from: null, durable: true }));
  await store.confirmOwnersNoted();
  const { id, thumbprint } = keyNames(publicKey);
  return [id, thumbprint ?? id];
}

/** p99, in s. */
async function slowest({ resources: { store } }: Stage, names: readonly string[]): Promise<number> {
  const took: number[] = [];
  for (let count = 0; count < LOOK_UPS; count += 1) {
    const isOurs = count % 2 === 0;
    const name = isOurs ? (names[(count / 2) % names.length] ?? '') : randomBytes(32).toString('base64url');
    const from = performance.now();
    const owners = await ownersInStore(store, { name });
    took.push(performance.now() - from);
    if (owners.length !== (isOurs ? 1 : 0))
      throw new Error(`${owners.length} clients have a key of ${isOurs ? 'one' : 'none'}`);
  }
  return p99(took) / 1000;
}
