/** Hands a client's keys to its signers without waiting for a worker. */
import type { ClientRef } from '../core/client.ts';
import type { ClientRecord } from '../core/record.ts';
import { desiredDelivery, sameDelivery } from '../core/signers.ts';
import { RekeydError } from '../errors.ts';
import type { Kek } from '../keys/kek.ts';
import { sleep } from '../time.ts';
import { handsFor } from './effects.ts';
import { rotate, type Tools } from './loop.ts';
import type { RotationPolicy } from './policy.ts';
import type { Resources } from './resources.ts';

/** The most runs: another process may take the record each time. The rest after each is up to `APART_MS`, in ms, times its number. */
const MOST_RUNS = 10;
const APART_MS = 100;

const NEVER = new AbortController().signal;

/**
 * The loop delivers the keys, as it delivers everything. While a rotation is under way, its worker does that. No signal ends it early: an import that has
 * stored a key and not delivered it would look like a failure.
 * @throws RekeydError `sink_failed`: the keys are not delivered yet, and a worker tries again
 */
export async function deliverNow(
  resources: Resources,
  keks: readonly Kek[],
  policy: RotationPolicy,
  ref: ClientRef,
  { onPoint }: { readonly onPoint?: Tools['onPoint'] },
): Promise<void> {
  const hands = handsFor(ref, policy, resources, keks);
  const tools = { store: resources.store, ...hands, random: Math.random, ...(onPoint !== undefined && { onPoint }) };
  let hasTried = false;
  for (let runs = 0; ; runs += 1) {
    const { record } = (await resources.store.load(ref)) ?? {};
    if (record === undefined || record.rotation !== null || isDelivered(record)) return;
    const { error } = record.signers.tries;
    if (hasTried && error !== null) throw new RekeydError('sink_failed', error);
    if (runs === MOST_RUNS) throw new RekeydError('sink_failed', 'Another process delivers them at the same time.');
    const { kind } = await rotate(ref, policy, tools, NEVER);
    hasTried = kind !== 'outrun';
    // Another import delivers them too. Without a rest each would take the record from the other again and again.
    if (!hasTried) await sleep(Math.random() * APART_MS * (runs + 1));
  }
}

function isDelivered(record: ClientRecord): boolean {
  return sameDelivery(record.signers.delivered, desiredDelivery(record));
}
