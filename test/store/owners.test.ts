/** Whose key is this: the index of all keys that clients have and had. */
import { generateKeyPairSync, hash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { ManagedKey } from '../../src/core/keys.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { keyNames, publishedKey } from '../../src/keys/key-id.ts';
import { marksFor } from '../../src/keys/key-marks.ts';
import { ownersInStore } from '../../src/rotation/owners.ts';
import { storeKeys } from '../../src/store/keys.ts';
import { redisKinds } from '../support/redis.ts';
import { firstCommit, onTopOf, record, ref, twoStores } from './fixtures.ts';

const keys = storeKeys('rekeyd');

function pair() {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { id, thumbprint } = keyNames(publicKey);
  return {
    publicKey,
    id,
    thumbprint: thumbprint ?? '',
    pem: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  };
}

function managed(state: ManagedKey['state'], kid?: string): ManagedKey {
  const { publicKey, id, thumbprint, pem } = pair();
  const jwk = { kty: 'EC', ...publicKey.export({ format: 'jwk' }) };
  const times = { createdAt: 1, publishedAt: null, activatedAt: null };
  return { id, kid: kid ?? thumbprint, thumbprint, alg: 'ES256', state, jwk, pem, ...times, proof: null };
}

function showing(shown: ClientRecord, jwk: Parameters<typeof publishedKey>[0]): ClientRecord {
  const { observed } = shown.server;
  const client = { ...observed.client, keys: [publishedKey(jwk)] };
  return { ...shown, server: { ...shown.server, observed: { ...observed, client } } };
}

describe.each(redisKinds)('owners of keys on %s', (kind) => {
  const workers = twoStores(kind);
  const [alpha, beta] = [ref('alpha'), ref('beta')];

  async function owners(name: string) {
    const found = await Promise.all(marksFor(name).map((mark) => workers.opened.store.ownersOf(mark, 10)));
    return [...new Set(found.flat())];
  }

  it('finds every key by each of its names, and by the hash of each', async () => {
    const { store } = workers.opened;
    const [active, named, standby] = [managed('active'), managed('deactivated', 'of their own'), managed('pre-active')];
    const [former, shown] = [pair(), pair()];
    const past = [{ id: former.id, kid: 'an old name', thumbprint: former.thumbprint, at: 1, compromised: true }];
    const whole = record(alpha, { keys: [active, named, standby], former: past });
    const foreign = { kty: 'PEM', public_key_pem: shown.pem, kid: 'theirs' };
    await store.commit(firstCommit(alpha, { record: showing(whole, foreign) }));
    await store.commit(firstCommit(beta));
    const names = [active, named, standby, former, shown].flatMap(({ id, thumbprint }) => [id, thumbprint]);
    const hex = names.map((name) => Buffer.from(name, 'base64url').toString('hex'));
    const hashed = names.map((name) => hash('sha256', name, 'hex'));
    for (const name of [...names, ...hex, ...hashed, 'of their own', 'an old name', 'theirs']) {
      expect(await owners(name), name).toEqual([alpha]);
    }
    for (const name of [pair().id, '', 'theirs '.repeat(100), 'an old', hash('sha256', 'x', 'hex')]) {
      expect(await owners(name), name).toEqual([]);
    }
  });

  it('finds a key that was not reported and is gone by its thumbprint, and so by the key', async () => {
    const { store } = workers.opened;
    await store.confirmOwnersNoted();
    const [made, named] = [pair(), pair()];
    const past = { at: 1, compromised: false };
    const former = [
      { id: made.id, kid: made.thumbprint, ...past },
      { id: named.id, kid: 'an old name', thumbprint: named.thumbprint, ...past },
    ];
    await store.commit(firstCommit(alpha, { record: record(alpha, { former }) }));
    for (const { id, thumbprint } of [made, named]) {
      expect(await owners(thumbprint)).toEqual([alpha]);
      const found = await ownersInStore(store, { keys: [{ id, thumbprint, privateKey: null }] });
      expect(found).toMatchObject([{ client: alpha, state: 'destroyed' }]);
    }
    expect(await owners('an old name')).toEqual([alpha]);
  });

  it('forgets a key with the record, also where an older version committed in between', async () => {
    const { store, redis } = workers.opened;
    const [first, second, third] = [managed('active'), managed('active'), managed('active')];
    const { op } = await store.commit(firstCommit(alpha, { record: record(alpha, { keys: [first] }) }));
    const between = firstCommit(alpha, { record: record(alpha, { keys: [second] }), expected: onTopOf({ op }) });
    const noted = await redis.hget(keys.record(alpha), 'marks');
    const committed = await store.commit(between);
    expect([await owners(first.id), await owners(second.thumbprint)]).toEqual([[], [alpha]]);
    // An older version leaves both as they were.
    await redis.hset(keys.record(alpha), 'marks', noted ?? '');
    for (const mark of marksFor(second.id)) await redis.zrem(keys.owners, `${mark} ${alpha}`);
    const next = firstCommit(alpha, { record: record(alpha, { keys: [second, third] }), expected: onTopOf(committed) });
    await store.commit(next);
    expect([await owners(first.id), await owners(second.id), await owners(third.id)]).toEqual([[], [alpha], [alpha]]);
  });

  it('knows all clients of one key, up to a limit', async () => {
    const { store } = workers.opened;
    const shared = managed('active');
    for (const client of [beta, alpha]) {
      await store.commit(firstCommit(client, { record: record(client, { keys: [shared] }) }));
    }
    const [mark = ''] = marksFor(shared.id);
    expect(await store.ownersOf(mark, 10)).toEqual([alpha, beta]);
    expect(await store.ownersOf(mark, 1)).toEqual([alpha]);
  });

  it('asks Redis as often among many clients as among few', async () => {
    const { store, redis } = workers.opened;
    await store.confirmOwnersNoted();
    const key = managed('active');
    await store.commit(firstCommit(alpha, { record: record(alpha, { keys: [key] }) }));
    const asked = async () => {
      const calls = (text: string) =>
        [...text.matchAll(/^cmdstat_(?!info)[^:]+:calls=(\d+)/gm)].map(([, n]) => Number(n));
      const total = async () => calls(await redis.info('commandstats')).reduce((sum, count) => sum + count, 0);
      const before = await total();
      expect((await ownersInStore(store, { name: key.thumbprint })).map(({ client }) => client)).toEqual([alpha]);
      expect(await ownersInStore(store, { name: pair().id })).toEqual([]);
      return (await total()) - before;
    };
    await asked(); // the first time scripts are sent whole
    const few = await asked();
    for (let index = 0; index < 300; index += 1) {
      const client = ref(`client-${index}`);
      await store.commit(firstCommit(client, { record: record(client, { keys: [managed('active')] }) }));
    }
    expect(await asked()).toBe(few);
  });

  it('takes records that an older version wrote, unless they were committed again meanwhile', async () => {
    const { store, redis } = workers.opened;
    const key = managed('active');
    const { op } = await store.commit(firstCommit(alpha, { record: record(alpha, { keys: [key] }) }));
    await redis.del(keys.owners);
    await redis.hdel(keys.record(alpha), 'marks');
    expect([await store.areOwnersNoted(), await owners(key.id)]).toEqual([false, []]);
    expect(await store.noteOwner({ record: record(alpha), op: 'another' })).toBe(false);
    expect(await owners(key.id)).toEqual([]);
    expect(await store.noteOwner({ record: record(alpha, { keys: [key] }), op })).toBe(true);
    await store.confirmOwnersNoted();
    expect([await store.areOwnersNoted(), await owners(key.id)]).toEqual([true, [alpha]]);
  });
});
