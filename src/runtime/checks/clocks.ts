/** Whether this machine's clock agrees with those that matter: the store's, the API's, the issuers'. */
import { formatDuration } from '../../core/duration.ts';
import type { Store } from '../../store/store.ts';
import { systemClock } from '../../time.ts';
import { advice, type Check, fine, wrong } from './check.ts';

/** A clock that is this far off deserves a word; servers allow for it. */
const NOTED_MS = 5_000;
/** The skew that servers commonly allow in an assertion's times. */
const ALLOWED_MS = 60_000;

/** Overlaps and due times are measured by the store's clock; assertions are signed by this machine's. */
export async function checkStoreClock(store: Pick<Store, 'now'>): Promise<Check> {
  const before = systemClock.now();
  const skew = (await store.now()) - (before + systemClock.now()) / 2;
  if (Math.abs(skew) <= NOTED_MS) return fine('store clock', "agrees with this machine's");
  const detail = `the store's clock is ${formatDuration(Math.abs(skew))} ${skew < 0 ? 'behind' : 'ahead of'} this machine's; overlaps and due times are measured by it`;
  const fix = 'Synchronise the clocks of both machines (NTP).';
  return Math.abs(skew) > ALLOWED_MS ? wrong('store clock', detail, fix) : advice('store clock', detail, fix);
}

/** @param skewMs the server's clock minus ours */
export function clockCheck(name: string, skewMs: number, whose: string): Check {
  const off = Math.abs(skewMs);
  if (off <= NOTED_MS) return fine(name, `agrees with ${whose}`);
  const seconds = Math.round(off / 1000);
  const detail = `this machine's clock is ${seconds} s ${skewMs > 0 ? 'behind' : 'ahead of'} ${whose} (${formatDuration(off)})`;
  const fix =
    'Synchronise this clock (NTP). Proofs allow for the difference, signers may not. Overlaps are measured by the store’s clock.';
  return off > ALLOWED_MS ? wrong(name, detail, fix) : advice(name, detail, fix);
}
