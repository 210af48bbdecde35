/** All that the page shows of one client. */

import type { ClientRef } from '../../core/client.ts';
import { clientPolicy } from '../../rotation/policy.ts';
import type { Resources } from '../../rotation/resources.ts';
import { lifelineOf } from '../lifeline/lifeline.ts';
import { summariesOf } from '../lifeline/past.ts';
import { plannedSteps } from '../lifeline/planned.ts';
import type { ClientView } from '../views.ts';
import { driftView } from './drift.ts';
import { entriesOf } from './entries.ts';
import { namedStatus, readNamed } from './named.ts';
import { rotationViews } from './rotations.ts';

/** @returns null when the client is not known. Reads the store and the folders of signers, never the server. */
export async function clientView(ref: ClientRef, resources: Resources): Promise<ClientView | null> {
  const named = await readNamed(ref, resources);
  if (named === null) return null;
  const { record, history, seen } = named;
  const policy = clientPolicy(resources, ref);
  const summaries = summariesOf(record, history);
  const newestFirst = summaries.toReversed().map(({ id }) => id);
  return {
    status: namedStatus(named, resources),
    lifeline: lifelineOf(record, history, plannedSteps(record, policy, seen.now), seen.now),
    rotations: rotationViews(summaries),
    entries: await entriesOf(resources.store, ref, newestFirst),
    drift: driftView(record, policy),
  };
}
