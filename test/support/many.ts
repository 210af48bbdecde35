/** A fleet of many clients, made of one. */
import { type ClientRef, makeReference } from '../../src/core/client.ts';
import { commitOf } from '../../src/rotation/commit.ts';
import { clientPolicy } from '../../src/rotation/policy.ts';
import { DEPLOYMENT, type Fleet, PEM_APP } from './fleet.ts';

export const manyRef = (index: number) => makeReference(DEPLOYMENT, PEM_APP.slug, `many-${index}`);

/** Clients like that one, each an hour older than the one before. @returns them */
export async function likeMany({ resources }: Fleet, like: ClientRef, count: number): Promise<readonly ClientRef[]> {
  const { store } = resources;
  const [held, policy] = [await store.load(like), clientPolicy(resources, like)];
  if (held === null || policy === null) throw new Error(`${like} is not known`);
  const refs = Array.from({ length: count }, (_, index) => manyRef(index));
  const commits = refs.map((ref, index) => {
    const at = held.now - index * 3_600_000;
    const keys = held.record.keys.map((key) => ({ ...key, createdAt: at, activatedAt: at }));
    const change = { record: { ...held.record, ref, keys }, entries: [] };
    return store.commit(commitOf(change, policy, { from: null, durable: false }));
  });
  await Promise.all(commits);
  return refs;
}
