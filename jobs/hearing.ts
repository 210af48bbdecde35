/**
 * Enrolls a held client when a signer reports that it signs with the imported key, and a found client when a signer reports that it signs with the key that is
 * offered to it. A rotation reads the reports itself; here they are read for clients without one.
 */
import type { ClientRef } from '../src/core/client.ts';
import { heard } from '../src/core/heard.ts';
import { inParallel } from '../src/parallel.ts';
import { hearSigners } from '../src/rotation/hearing.ts';
import { clientPolicy } from '../src/rotation/policy.ts';
import { FLEET_LANES, type JobContext } from './context.ts';
import { apply } from './start.ts';

/** Clients that one run looks at: the folders of a large fleet on a network disk take long. The next run goes on with others. */
const MOST_HEARD = 5_000;

/** @returns how many were enrolled */
export async function hearWaiting(context: JobContext): Promise<number> {
  const { resources } = context;
  const { store } = resources;
  const waiting = [...(await store.offeredRefs()), ...(await store.heldRefs())];
  let enrolled = 0;
  await inParallel(turnOf(waiting, await store.now(), resources.config.reconcileEveryMs), FLEET_LANES, async (ref) => {
    if (await enrollHeard(ref, context)) enrolled += 1;
  });
  return enrolled;
}

/** By the clock, so that no worker has to remember where another one stopped. */
export function turnOf(waiting: readonly ClientRef[], now: number, everyMs: number): readonly ClientRef[] {
  const turns = Math.ceil(waiting.length / MOST_HEARD);
  if (turns <= 1) return waiting;
  const turn = Math.floor(now / everyMs) % turns;
  return waiting.slice(turn * MOST_HEARD, (turn + 1) * MOST_HEARD);
}

async function enrollHeard(ref: ClientRef, { resources, queues, log }: JobContext): Promise<boolean> {
  const policy = clientPolicy(resources, ref);
  if (policy === null) return false;
  const hearing = await hearSigners(ref, resources.sinks);
  if (hearing.error !== null) log.warn({ client: ref, error: hearing.error }, 'reports of signers cannot be read');
  if (hearing.reports.length === 0) return false;
  let isTaken = false;
  const { entries } = await apply(resources.store, ref, policy, (record, now) => {
    const change = heard(record, hearing, { policy, now });
    isTaken = record.rotation !== null && change.record.rotation === null;
    // Only what is worth a commit.
    return change.record.enrolment === record.enrolment ? { record, entries: [] } : change;
  });
  // A key that was offered takes over: what its server and its signers hold follows.
  if (isTaken) await queues.wake(ref, false);
  for (const { actor } of entries.filter(({ type }) => type === 'client.enrolled'))
    log.info({ client: ref, actor }, 'enrolled: a signer takes its key from the key folder');
  return entries.length > 0;
}
