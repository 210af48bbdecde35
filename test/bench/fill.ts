/** A large fleet in the store, as if it had been rotated for a while. */
import { type ClientRef, makeReference } from '../../src/core/client.ts';
import { commitOf } from '../../src/rotation/commit.ts';
import { clientPolicy } from '../../src/rotation/policy.ts';
import { enrolledRecord } from '../core/support.ts';
import { APP, type Stage } from './stage.ts';

/** Commits that are under way at the same time. */
const LANES = 500;

/** Clients with keys of every age up to a hundred days. */
export async function fill({ resources }: Stage, clients: number): Promise<void> {
  const { store, config } = resources;
  const like = enrolledRecord();
  const now = await store.now();
  const [deployment = { id: '' }] = config.deployments;
  const refs = Array.from({ length: clients }, (_, index) => makeReference(deployment.id, APP, `${index}`));
  const commit = async (ref: ClientRef, index: number) => {
    const policy = clientPolicy(resources, ref);
    if (policy === null) throw new Error('the stage has a policy for its app');
    const at = now - (index % 2_400) * 3_600_000;
    const keys = like.keys.map((key) => ({ ...key, createdAt: at, activatedAt: at }));
    await store.commit(
      commitOf({ record: { ...like, ref, keys }, entries: [] }, policy, { from: null, durable: false }),
    );
  };
  for (let from = 0; from < refs.length; from += LANES) {
    await Promise.all(refs.slice(from, from + LANES).map((ref, index) => commit(ref, from + index)));
  }
}
