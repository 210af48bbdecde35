import { startRotation } from '../../jobs/start.ts';
import { FRESH_MS } from '../../src/core/plan.ts';
import { commitOf } from '../../src/rotation/commit.ts';
import { clientPolicy } from '../../src/rotation/policy.ts';
import type { Fleet, FleetClient } from './fleet.ts';

/**
 * Starts a rotation as a request does, but with no service running. What is known of the server counts as old news, so that the rotation reads the
 * list before it writes.
 * @returns the rotation's id
 */
export async function beginRotation({ parts, queues }: Fleet, { ref }: FleetClient): Promise<string> {
  const policy = clientPolicy(parts, ref);
  const loaded = await parts.store.load(ref);
  if (policy === null || loaded === null) throw new Error(`${ref} is not known`);
  const { record } = loaded;
  const stale = { record: { ...record, observed: { ...record.observed, at: loaded.now - 2 * FRESH_MS } }, entries: [] };
  await parts.store.commit(commitOf(stale, policy, { expected: loaded, durable: false }));
  const cause = { actor: 'test', reason: 'a test', request: null, compromised: null };
  const id = await startRotation(parts.store, ref, null, policy, { ...cause, id: `r-${ref.replaceAll('/', '-')}` });
  await queues.wake(ref, id, false);
  return id;
}
