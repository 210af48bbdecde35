import { randomUUID } from 'node:crypto';
import { apply } from '../../jobs/start.ts';
import type { Config } from '../../src/config/model.ts';
import { rollback } from '../../src/core/rollback.ts';
import { outdated } from '../../src/core/server.ts';
import { clientPolicy } from '../../src/rotation/policy.ts';
import type { Fleet, FleetClient } from './fleet.ts';
import type { Begin } from './killing.ts';

/** Old keys stay on their way out for so long that a test can put them back. */
export function lasting(fleet: Fleet): Promise<Config> {
  const policies = Object.entries(Object(fleet.file.policies)).map(([name, policy]) => [
    name,
    { ...Object(policy), overlap: '1h' },
  ]);
  return fleet.configOf({ ...fleet.file, policies: Object.fromEntries(policies) });
}

/** Gives each client a new key, and begins to put the previous one back as `rekeyd rollback` does. No service runs when it returns. */
export const beginRollbacks: Begin = async (fleet, clients) => {
  const service = await fleet.start({}, await lasting(fleet));
  await Promise.all(clients.map(async (client) => fleet.reached(client, await fleet.rotate(client), 'active')));
  await service.stop();
  return Promise.all(clients.map((client) => beginRollback(fleet, client)));
};

async function beginRollback({ resources, queues }: Fleet, { ref }: FleetClient): Promise<string> {
  const { store } = resources;
  const policy = clientPolicy(resources, ref);
  if (policy === null) throw new Error(`${ref} is not known`);
  const asked = { actor: 'test', reason: 'a test', request: null, id: `r${randomUUID()}` };
  const now = await store.now();
  // What is known of the server counts as old news, so that the rotation looks before it writes.
  await apply(store, ref, policy, (record) =>
    rollback({ ...record, server: outdated(record.server) }, asked, policy, now),
  );
  await queues.wake(ref, false);
  return asked.id;
}
