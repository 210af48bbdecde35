/** One private half goes under the first KEK, also where another process is faster. */
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { rewrapOne } from '../../src/commands/keys/rewrap.ts';
import { generateKey } from '../../src/keys/generate.ts';
import type { Kek } from '../../src/keys/kek.ts';
import { keksIn, sealKey } from '../../src/keys/sealed.ts';
import type { Store } from '../../src/store/store.ts';
import { firstCommit, openEmpty, ref } from '../store/fixtures.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';

let server: RedisServer;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.stop());

const kek = (id: string, byte: number): Kek => ({ id, key: new Uint8Array(32).fill(byte) });
const [OLD, WANTED, OTHER] = [kek('old', 1), kek('wanted', 2), kek('other', 3)] as const;

/** A store with one private half under the old KEK, in which `first` happens before it is replaced for the first time. */
async function overtaken(first: (store: Store, half: readonly [string, string]) => Promise<unknown>) {
  const { store, close } = await openEmpty(server.socketPath);
  onTestFinished(close);
  const client = ref('alpha');
  const { privateKey, thumbprint } = await generateKey('ES256');
  const jwe = await sealKey(privateKey, { ref: client, thumbprint }, [OLD]);
  await store.commit(firstCommit(client, { seal: [{ thumbprint, jwe }] }));
  let isFirst = true;
  const slower: Pick<Store, 'sealedHalf' | 'replaceSealed'> = {
    sealedHalf: (...given) => store.sealedHalf(...given),
    async replaceSealed(...given) {
      if (isFirst) await first(store, [thumbprint, jwe]);
      isFirst = false;
      return store.replaceSealed(...given);
    },
  };
  const outcome = await rewrapOne(slower, [WANTED, OTHER, OLD], client, [thumbprint, jwe]);
  return { outcome, held: await store.sealedHalf(client, thumbprint) };
}

test('a key that another process puts under another KEK meanwhile is under the wanted one in the end', async () => {
  const { outcome, held } = await overtaken((store, half) => rewrapOne(store, [OTHER, OLD], ref('alpha'), half));
  expect(outcome).toBe('rewrapped');
  expect(keksIn(held ?? '')).toEqual(['wanted', 'other', 'old']);
});

test('a key that another process erases meanwhile is gone', async () => {
  const { outcome, held } = await overtaken(async (store, [thumbprint]) => {
    const loaded = await store.load(ref('alpha'));
    if (loaded === null) throw new Error('the client is not known');
    await store.commit(
      firstCommit(ref('alpha'), { expected: { op: loaded.op, claim: loaded.claim }, erase: [thumbprint] }),
    );
  });
  expect([outcome, held]).toEqual(['gone', null]);
});
