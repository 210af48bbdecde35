/** What has to be looked at in the store and in Redis before a new config takes over. */
import { isDeepStrictEqual } from 'node:util';
import { sameKek } from '../config/changes.ts';
import type { Config } from '../config/model.ts';
import { hasCode, messageOf } from '../errors.ts';
import { keksOf } from '../rotation/policy.ts';
import { connectRedis } from '../store/redis/connection.ts';
import { answerOf } from '../store/redis/patience.ts';
import { renewTarget } from '../store/redis/target.ts';
import { checkKeks, clientsSealedUnder, kekOf, SAMPLED } from './checks/keks.ts';
import { checkKms } from './checks/kms.ts';
import { redisTarget } from './redis-target.ts';
import type { StoreHandle } from './resources.ts';

/** How long a reload waits for Redis, in ms. */
const PATIENCE_MS = 10_000;

/** What is wrong with the KEKs of the new config, one sentence each. @throws RekeydError `redis_unreachable` when Redis does not answer in time */
export async function checkCandidate(
  { store }: StoreHandle,
  { encryption: before }: Config,
  config: Config,
): Promise<readonly string[]> {
  const { keks } = config.encryption;
  const { signal } = new AbortController();
  const soon = <T>(answer: Promise<T>) =>
    answerOf(answer, { signal, ms: PATIENCE_MS }, 'The config from before goes on; reload again when it is back.');
  await soon(store.now());
  const left = before.keks.filter(({ id }) => !keks.some((kek) => kek.id === id)).map(({ id }) => id);
  // One that is asked for the first time, or in another way: what it does not do now, it may never do.
  const fresh = keks.filter((kek) => !before.keks.some((old) => sameKek(old, kek))).map(({ id }) => id);
  const asked = await checkKms(keksOf(config).filter(({ id }) => fresh.includes(id)));
  const broken = asked.flatMap(({ ok, detail }) => (ok ? [] : [`encryption.keks: ${detail}`]));
  if (broken.length > 0) return broken;
  const isSame = before.keks.every((kek) => keks.some((next) => sameKek(kek, next)));
  if (isSame) return [];
  const [sealing] = before.keks;
  if (sealing !== undefined && left.includes(sealing.id)) {
    return [
      `encryption.keks: ${sealing.id} encrypts new keys until now, so it may not leave the list at once: put the new KEK before it, run \`rekeyd reload\`, then \`rekeyd keys rewrap\`, and remove it after that`,
    ];
  }
  const look = async () => {
    const needed = await clientsSealedUnder(left, store);
    const gone = [...needed].map(
      ([id, ref]) =>
        `encryption.keks: ${id} still encrypts keys, such as one of ${ref}: put it back, run \`rekeyd keys rewrap\`, and remove it after that`,
    );
    const signing = await store.sealedSealKey();
    const kek = signing === null ? null : kekOf(signing);
    if (kek !== null && left.includes(kek)) {
      gone.push(
        `encryption.keks: ${kek} still encrypts the key that signs the audit log: put it back, run \`rekeyd keys rewrap\`, and remove it after that`,
      );
    }
    if (gone.length > 0) return gone;
    const checks = await checkKeks(keksOf(config), store, SAMPLED);
    return checks.flatMap(({ name, ok, detail }) => (name === 'keks' && !ok ? [`encryption.keks: ${detail}`] : []));
  };
  return (await soon(look())) ?? [];
}

/**
 * Another user, password or certificate for Redis is tried before connections use it; those that exist stay. It is compared with what connections use now:
 * a config that was refused for something else may have left its own there.
 * @returns what is wrong with it
 */
export async function renewLogin(handle: StoreHandle, config: Config): Promise<readonly string[]> {
  if (config.redis.server.kind === 'embedded') return [];
  const target = await redisTarget(config, () => {});
  const { ended: _, ...present } = handle.target;
  if (isDeepStrictEqual(target, present)) return [];
  try {
    const redis = await connectRedis(target, { name: 'rekeyd-reload', connectTimeout: PATIENCE_MS });
    redis.disconnect();
  } catch (error) {
    if (hasCode(error, 'redis_unreachable') || hasCode(error, 'config')) return [messageOf(error)];
    throw error;
  }
  renewTarget(handle.target, target);
  return [];
}
