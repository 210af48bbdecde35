/** A fence says who delivered a set. A sink keeps it beside the set, so that a worker that stood still for long replaces no newer set with an older one. */
import { members } from '../core/reply.ts';
import { type SinkContents, SinkOutdated, sinkFailed } from './sink.ts';

/** The store that delivers. */
export interface DeliveringStore {
  id(): string;
  /** The ids of the stores that it replaced. */
  predecessors(): Promise<readonly string[]>;
}

export interface Fence {
  readonly client: string;
  /** Of the claim under which the set was delivered. */
  readonly epoch: number;
  /** Null: a delivery of no store, as of a test. */
  readonly store: string | null;
}

export function fenceOf({ ref, epoch }: SinkContents, store: DeliveringStore | null): Fence {
  return { client: ref, epoch, store: store?.id() ?? null };
}

/** Null for a value that is no fence: rekeyd did not make what holds it. */
export function fenceIn(value: unknown): Fence | null {
  const { client, epoch, store } = members(value);
  if (typeof client !== 'string' || typeof epoch !== 'number' || !Number.isSafeInteger(epoch)) return null;
  return store === null || typeof store === 'string' ? { client, epoch, store } : null;
}

/** @throws SinkOutdated; RekeydError `sink_failed` where another client has the place, or another store delivers there */
export async function refuseFenced(
  place: string,
  found: Fence,
  { ref, epoch }: SinkContents,
  store: DeliveringStore | null,
): Promise<void> {
  if (found.client !== ref) {
    throw sinkFailed(place, `it holds the keys of ${found.client}`, 'Give each client a place of its own');
  }
  const isOurs = store === null || found.store === null || found.store === store.id();
  if (!isOurs && !(await store.predecessors()).includes(found.store)) {
    const hint =
      'Two installations must not share a place: set another one for one of them. If that store is gone for good, delete what it left there';
    throw sinkFailed(place, `the store ${found.store} delivers there`, hint);
  }
  if (found.epoch > epoch) throw new SinkOutdated(place, found.epoch);
}
