/** Which key of a set comes first: the folder's, or the one that the server takes in its place. */
import type { KeySet, SigningKey } from './folder.ts';
import { firstKey } from './held.ts';

export interface Choice {
  /** undefined when no key of the set may sign. */
  first(set: KeySet): SigningKey | undefined;
  /** The key to try when the server has refused this one; undefined when there is no other. */
  insteadOf(refused: SigningKey, set: KeySet): SigningKey | undefined;
  /** The server has accepted this key: it comes first until the folder's first key is another one. */
  accepted(key: SigningKey, set: KeySet): void;
  /** The server has refused the other key, too: the folder's first key comes first again. */
  refused(): void;
}

export function openChoice(): Choice {
  /** While the folder's first key is refused: which one was accepted in its place. */
  let stead: { readonly first: string; readonly accepted: string } | null = null;

  return {
    first(set) {
      const first = firstKey(set);
      const accepted = stead?.first === first?.kid ? keyOf(set.keys, stead?.accepted) : undefined;
      return accepted ?? first;
    },
    insteadOf({ kid }, set) {
      const others = set.keys.filter((key) => key.kid !== kid);
      // Another request of this process has found it in the meantime.
      const found = stead?.first === kid ? keyOf(others, stead?.accepted) : undefined;
      const other = found ?? others.find((key) => key.kid !== stead?.first) ?? others[0];
      if (found === undefined) stead = null;
      return other;
    },
    accepted({ kid }, set) {
      stead = { first: firstKey(set)?.kid ?? kid, accepted: kid };
    },
    refused() {
      stead = null;
    },
  };
}

function keyOf(keys: readonly SigningKey[], kid: string | undefined): SigningKey | undefined {
  return keys.find((key) => key.kid === kid);
}
