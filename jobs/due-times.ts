/** Notes anew when clients are due. Each commit notes it; a setting, or what is known of a server, changes it without one. */
import { appPaths, policiesOf, policyFor } from '../src/config/lookup.ts';
import type { ClientRef } from '../src/core/client.ts';
import { activeKey } from '../src/core/keys.ts';
import { inParallel, PAGE } from '../src/parallel.ts';
import { dueTime } from '../src/rotation/commit.ts';
import { clientPolicy } from '../src/rotation/policy.ts';
import type { Resources } from '../src/rotation/resources.ts';
import { FLEET_LANES } from './context.ts';

export async function noteDueTimes(policyName: string, resources: Resources): Promise<void> {
  const { store, config } = resources;
  for (const app of appPaths(config)) {
    let last: ClientRef | null = null;
    do {
      const page: readonly ClientRef[] = await store.appRefs(app, PAGE, last);
      last = page.at(-1) ?? null;
      const ours = page.filter((ref) => policyFor(config, ref)?.name === policyName);
      await inParallel(await store.loadMany(ours), FLEET_LANES, async ([ref, { record }]) => {
        const policy = clientPolicy(resources, ref);
        await store.setDue(ref, policy === null ? null : dueTime(record, policy));
        // Seen by a version that did not note it for the app.
        const active = activeKey(record);
        if (active?.proof === 'accepted') await resources.facts.noteProven(ref, active.alg);
      });
    } while (last !== null);
  }
}

/** The server of an app (`deployment/slug`) is known to take several keys from now on, or not to: that decides who is offered a key of ours. */
export async function noteOffers(app: string, resources: Resources): Promise<void> {
  const [deployment = '', slug = ''] = app.split('/');
  for (const [name, { adopt }] of policiesOf(resources.config, deployment, slug))
    if (adopt === 'overlap') await noteDueTimes(name, resources);
}
