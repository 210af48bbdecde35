/** A client that somebody named: its history is read, too, and what its signers report now. */
import { type ClientRef, splitReference } from '../../core/client.ts';
import type { RotationSummary } from '../../core/history.ts';
import type { ClientRecord } from '../../core/record.ts';
import { clientPolicy } from '../../rotation/policy.ts';
import type { Resources } from '../../rotation/resources.ts';
import type { ClientStatus } from '../model.ts';
import { type Surroundings, surroundingsOf } from '../surroundings.ts';
import { adviceOn } from './advice.ts';
import { driftView } from './drift.ts';
import { exposuresOf } from './exposure.ts';
import { heardNow } from './signers.ts';
import { clientStatus } from './status.ts';

export interface Named {
  readonly record: ClientRecord;
  /** Rotations that ended, the newest first. */
  readonly history: readonly RotationSummary[];
  readonly seen: Surroundings;
}

/** Null: it is not known. Reads the store and the folders of signers, never the server. */
export async function readNamed(ref: ClientRef, resources: Resources): Promise<Named | null> {
  const { store } = resources;
  // The history is read after the record: a rotation that ends in between is then in both, and otherwise in neither.
  const loaded = await store.load(ref);
  if (loaded === null) return null;
  const [seen, history] = [await surroundingsOf(resources), await store.history(ref)];
  const heard = await heardNow(new Map([[ref, loaded.record]]), seen.now, resources);
  return { record: heard.get(ref) ?? loaded.record, history, seen };
}

/** With `advice`, and with `exposures` where there were any. */
export function namedStatus({ record, history, seen }: Named, resources: Resources): ClientStatus {
  const { ref } = record;
  const status = clientStatus(record, seen, resources);
  const exposures = exposuresOf(record, history);
  const drift = driftView(record, clientPolicy(resources, ref));
  const refused = seen.deployments.get(splitReference(ref).deployment)?.paused ?? null;
  const advice = adviceOn({ record, status, drift, refused });
  return { ...status, ...(exposures.length > 0 && { exposures }), advice };
}
