/** Another store, as one that somebody else's rekeyd works with: it knows most of the same clients, and has none of their keys. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { takeFound } from '../../../jobs/start.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { makeReference } from '../../../src/core/client.ts';
import { clientPolicy } from '../../../src/rotation/policy.ts';
import type { Resources } from '../../../src/rotation/resources.ts';
import { createLog } from '../../../src/runtime/log.ts';
import { openResources } from '../../../src/runtime/resources.ts';
import { systemClock } from '../../../src/time.ts';
import { startRedis } from '../../support/redis.ts';
import { DEPLOYMENT, ENVIRONMENT, type FaultClient, placeOf } from '../stage/fleet.ts';
import type { Place, Testbed } from '../stage/testbed.ts';
import { copyLog } from '../trouble/store-data.ts';

/** One in so many clients is known to ours alone. */
const UNKNOWN_EVERY = 3;

/** @returns a folder with its append-only files */
export async function makeOtherStore({ dir, later }: Place, { direct, clients }: Testbed): Promise<string> {
  const redis = await startRedis();
  later('another redis', () => redis.stop());
  const ours: object = JSON.parse(await readFile(direct, 'utf8'));
  const file = join(dir, 'other.yaml');
  const place = { data_dir: join(dir, 'another-machine'), redis: { url: `unix://${redis.socketPath}` } };
  await writeFile(file, JSON.stringify({ ...ours, ...place }));
  const log = createLog({ level: 'warn' });
  const resources = await openResources(await loadConfig(file, ENVIRONMENT), { log, clock: systemClock });
  try {
    for (const client of clients.filter((_, index) => index % UNKNOWN_EVERY !== 0)) await find(client, resources);
  } finally {
    await resources.close();
  }
  const copy = join(dir, 'other');
  copyLog(redis, copy);
  return copy;
}

async function find({ ref }: FaultClient, resources: Resources): Promise<void> {
  const { slug, id } = placeOf(ref);
  const reference = makeReference(DEPLOYMENT, slug, id);
  const policy = clientPolicy(resources, reference);
  const { clients } = await resources.deploymentOf(reference).wacht.listClients(slug);
  const client = clients.find((listed) => listed.id === id);
  if (policy === null || client === undefined) throw new Error(`${ref} is not listed`);
  const cause = { actor: 'somebody else', reason: 'found in the client list', request: null };
  await takeFound(resources.store, reference, { client, readAt: await resources.store.now() }, policy, cause);
}
