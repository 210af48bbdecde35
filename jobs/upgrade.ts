/** Removes or converts what earlier versions left in the queues and in the store. Runs at each start; doing it twice does no harm. */
import type { AuditDraft } from '../src/core/audit.ts';
import { inParallel, pagesOf } from '../src/parallel.ts';
import { FLEET_LANES, type JobContext } from './context.ts';

/** Upkeep that version 0.1 kept in the control queue. A job that nobody knows stays, and fails with a message. */
const MOVED: ReadonlySet<string> = new Set(['sweep', 'discover', 'reconcile']);

export async function upgradeQueues({ resources, queues, log }: JobContext): Promise<void> {
  const { control } = queues;
  // Upkeep has a queue of its own now.
  if (await control.removeJobScheduler('reconcile'))
    log.info({}, 'removed the upkeep of version 0.1 from the control queue');
  for (const job of await control.getJobs(['waiting', 'delayed', 'prioritized'])) {
    if (MOVED.has(job.name)) await job.remove().catch(() => undefined); // a worker was faster, and has turned it down
  }
  for (const { id } of resources.config.deployments) await upgradeDeployment(id, { resources, queues, log });
}

/** An earlier version noted a pause in BullMQ and in the store. Now it is in the store alone. */
async function upgradeDeployment(
  deployment: string,
  { resources: { store }, queues }: Pick<JobContext, 'resources' | 'queues' | 'log'>,
): Promise<void> {
  const queue = queues.rotateQueue(deployment);
  if (await queue.isPaused()) await queue.resume();
  if (!(await store.takePausedBefore(deployment))) return;
  const why = 'the API key was refused before the upgrade';
  const draft: AuditDraft = {
    type: 'deployment.paused',
    client: null,
    rotation: null,
    actor: 'rekeyd',
    reason: why,
    data: { deployment },
  };
  await store.pause(deployment, why, [draft]);
}

/**
 * An earlier version kept no index of keys. Each record is read once, and its keys are put into the index. Until that is done, looking a key up reads
 * all records. Killed in the middle, it begins again at the next start.
 */
export async function noteOwners({ resources: { store }, log }: JobContext, signal: AbortSignal): Promise<void> {
  if (await store.areOwnersNoted()) return;
  let clients = 0;
  for (const page of pagesOf(await store.clientRefs())) {
    signal.throwIfAborted();
    await inParallel(page, FLEET_LANES, async (ref) => {
      const loaded = await store.load(ref);
      if (loaded !== null) await store.noteOwner(loaded);
    });
    clients += page.length;
  }
  await store.confirmOwnersNoted();
  if (clients > 0)
    log.info({ clients }, 'the keys of all clients are indexed: `rekeyd identify` finds any of them at once');
}
