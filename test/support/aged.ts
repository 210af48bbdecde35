/** Clients as time makes them. */
import { commitOf } from '../../src/rotation/commit.ts';
import { clientPolicy } from '../../src/rotation/policy.ts';
import type { Fleet, FleetClient } from './fleet.ts';

/** The key in use is that many days old. */
export async function aged({ resources }: Fleet, { ref }: FleetClient, days: number): Promise<void> {
  const { store } = resources;
  const [held, policy] = [await store.load(ref), clientPolicy(resources, ref)];
  if (held === null || policy === null) throw new Error(`${ref} is not known`);
  const at = held.now - days * 86_400_000;
  const keys = held.record.keys.map((key) => ({ ...key, createdAt: at, activatedAt: at }));
  const change = { record: { ...held.record, keys }, entries: [] };
  await store.commit(commitOf(change, policy, { from: held, durable: false }));
}
