import type { ClientRef } from '../../src/core/client.ts';

/** Told of each point that a worker passes, as `RotateHooks` has it. */
type Seen = (point: string, ref: ClientRef) => void | Promise<void>;

/** Tells `seen` each point of a client with how often it was passed before: `deliver:before commit 0`, then `deliver:before commit 1`. */
export function countedPoints(seen: Seen): Seen {
  const passed = new Map<string, number>();
  return (point, ref) => {
    const count = passed.get(`${ref} ${point}`) ?? 0;
    passed.set(`${ref} ${point}`, count + 1);
    return seen(`${point} ${count}`, ref);
  };
}

/**
 * Notes when a client of a service passes the point, as {@link countedPoints} counts it. A phase that lasts a second may be over before a test looks for
 * it; that it began stays noted.
 */
export function watchFor(wanted: string): { readonly hooks: { readonly onPoint: Seen }; isPassed(): boolean } {
  let passed = false;
  const onPoint = countedPoints((point) => {
    if (point === wanted) passed = true;
  });
  return { hooks: { onPoint }, isPassed: () => passed };
}

/** The new key is with signers as the one in use: the old one is on its way out. */
export const OLD_KEY_LEAVES = 'deliver:after commit 1';
