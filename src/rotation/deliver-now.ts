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

/** So often another process may be at it, and so far apart, in ms. */
const DELIVERIES = 10;
const APART_MS = 100;

const NEVER = new AbortController().signal;

/**
 * The loop delivers it, as it delivers everything. A worker that is at work on the client does it by itself. An interruption waits for it: what is in the
 * store and not with the signers would look like a failure.
 * @throws RekeydError `sink_failed`: a worker tries again
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
  let error: string | null = null;
  for (let tries = 1; tries <= DELIVERIES && error === null; tries += 1) {
    const { record } = (await resources.store.load(ref)) ?? {};
    if (record === undefined || record.rotation !== null || isDelivered(record)) return;
    const { kind } = await rotate(ref, policy, tools, NEVER);
    // Another import delivers it, too. Each would take the record from the other for ever.
    if (kind === 'outrun') await sleep(Math.random() * APART_MS * tries);
    else error = (await resources.store.load(ref))?.record.signers.tries.error ?? null;
  }
  throw new RekeydError('sink_failed', error ?? 'Another process delivers them at the same time.');
}

function isDelivered(record: ClientRecord): boolean {
  return sameDelivery(record.signers.delivered, desiredDelivery(record));
}
