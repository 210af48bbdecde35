/** After an API key was replaced in the config: what waits because the old one was refused goes on at once. */
import { hastened } from '../src/core/setback.ts';
import { messageOf } from '../src/errors.ts';
import { inParallel } from '../src/parallel.ts';
import { noteAccepted } from '../src/rotation/deployment.ts';
import { amend } from '../src/rotation/loop.ts';
import { clientPolicy } from '../src/rotation/policy.ts';
import { FLEET_LANES, type JobContext } from './context.ts';
import { isDue } from './reconcile.ts';

/** Asks the API of those that are paused. Where it takes the new key, the pause ends and its clients and requests are woken. */
export async function tryRenewed(deployments: readonly string[], context: JobContext): Promise<void> {
  const { resources, queues, log } = context;
  for (const [id, { paused }] of await resources.store.deploymentStates(deployments)) {
    if (paused === null) continue;
    try {
      await resources.deployments.get(id)?.listApps();
    } catch (error) {
      log.warn({ deployment: id, error: messageOf(error) }, 'still paused: the new API key does not help');
      continue;
    }
    await noteAccepted(resources, id);
    await wakeAll(id, context);
    // Requests wait until the list of an app can be read.
    for (const inbox of queues.inboxes) {
      for (const job of await inbox.getDelayed()) await job.promote().catch(() => undefined); // another worker was faster
    }
  }
}

async function wakeAll(deployment: string, { resources, queues }: JobContext): Promise<void> {
  const { store } = resources;
  const refs = (await store.openWork()).filter((ref) => ref.startsWith(`${deployment}/`));
  await inParallel(refs, FLEET_LANES, async (ref) => {
    const loaded = await store.load(ref);
    const policy = clientPolicy(resources, ref);
    if (loaded === null || policy === null) return;
    const record = hastened(loaded.record);
    if (!isDue(record, policy, loaded.now)) return;
    if (!isDue(loaded.record, policy, loaded.now)) await amend(ref, hastened, policy, store);
    await queues.wake(ref, record.rotation?.compromised != null);
  });
}
