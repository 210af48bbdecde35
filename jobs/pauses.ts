/** Pauses by people: what they hold back, and how a pause with an end is removed. */
import type { ClientRef } from '../src/core/client.ts';
import { isInForce, pauseEntry, scopesOf, scopeWords } from '../src/core/pause.ts';
import type { Store } from '../src/store/store.ts';
import type { JobContext } from './context.ts';

/** True while no scheduled rotation of this client begins. */
export async function isPaused(
  store: Pick<Store, 'pausesOf'>,
  ref: ClientRef,
  policy: string,
  now: number,
): Promise<boolean> {
  return (await store.pausesOf(scopesOf(ref, policy))).some((pause) => isInForce(pause, now));
}

/** True while no scheduled rotation of any client under this policy begins. */
export async function isPolicyPaused(store: Pick<Store, 'pausesOf'>, policy: string, now: number): Promise<boolean> {
  return (await store.pausesOf([{ all: true }, { policy }])).some((pause) => isInForce(pause, now));
}

/** Removes the pauses that are over, and says so in the audit log. They hold nothing back any more, whether or not this runs. */
export async function endOldPauses({ resources: { store }, log }: JobContext): Promise<void> {
  const now = await store.now();
  for (const pause of await store.pauses()) {
    if (isInForce(pause, now)) continue;
    const { scope, reason } = pause;
    const told = pauseEntry('schedule.resumed', scope, { actor: 'rekeyd', reason: 'the time of the pause is over' });
    if (await store.endPause(scope, [told], pause))
      log.info({ ...scope, reason }, `over: the pause of ${scopeWords(scope)}`);
  }
}
