/** All that the page shows of one client. */

import { type ClientRef, splitReference } from '../../core/client.ts';
import { clientPolicy } from '../../rotation/policy.ts';
import type { Resources } from '../../rotation/resources.ts';
import { lifelineOf } from '../lifeline/lifeline.ts';
import { summariesOf } from '../lifeline/past.ts';
import { plannedSteps } from '../lifeline/planned.ts';
import { type Surroundings, surroundingsOf } from '../surroundings.ts';
import type { ClientView } from '../views.ts';
import { adviceOn } from './advice.ts';
import { driftView } from './drift.ts';
import { entriesOf } from './entries.ts';
import { exposuresOf } from './exposure.ts';
import { rotationViews } from './rotations.ts';
import { heardNow } from './signers.ts';
import { clientStatus } from './status.ts';

/** @returns null when the client is not known. Reads the store only, never the server. */
export async function clientView(ref: ClientRef, resources: Resources): Promise<ClientView | null> {
  const { store } = resources;
  // The history is read after the record: a rotation that ends in between is in both, and not in neither.
  const loaded = await store.load(ref);
  if (loaded === null) return null;
  const [seen, history] = [await surroundingsOf(resources), await store.history(ref)];
  const { now } = seen;
  const record = (await heardNow(new Map([[ref, loaded.record]]), now, resources)).get(ref) ?? loaded.record;
  const policy = clientPolicy(resources, ref);
  const summaries = summariesOf(record, history);
  const status = clientStatus(record, seen, resources);
  const exposures = exposuresOf(record, history);
  const drift = driftView(record, policy);
  return {
    status: exposures.length === 0 ? status : { ...status, exposures },
    lifeline: lifelineOf(record, history, plannedSteps(record, policy, now), now),
    rotations: rotationViews(summaries),
    entries: await entriesOf(
      store,
      ref,
      summaries.toReversed().map(({ id }) => id),
    ),
    drift,
    advice: adviceOn({ record, status, drift, refused: refusalOf(ref, seen) }),
  };
}

/** Why nothing is sent to its deployment. */
function refusalOf(ref: ClientRef, { deployments }: Surroundings): string | null {
  return deployments.get(splitReference(ref).deployment)?.paused ?? null;
}
