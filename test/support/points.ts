import type { ClientRef } from '../../src/core/client.ts';

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
