/** A KEK that never leaves a key management service: the service wraps data keys, each of which encrypts one thing. */
import { randomBytes } from 'node:crypto';

/** What a data key is for. The service authenticates it: a wrapped key that somebody moved elsewhere does not unwrap. No secrets: services log it. */
export type KmsContext = Readonly<Record<string, string>>;

export interface Kms {
  /**
   * Wraps a data key, and has seen that the service unwraps it again.
   * @returns text of letters, digits and `:+/=-_`
   * @throws RekeydError `kms_unavailable` when the service cannot do it now, or may not
   */
  wrap(dataKey: Uint8Array, context: KmsContext): Promise<string>;
  /** @throws RekeydError `kms_unavailable`; `key_tampered` when this key did not wrap it, or in another context */
  unwrap(wrapped: string, context: KmsContext): Promise<Uint8Array>;
  /** Ends connections, and gives back what it logged in for. It can be asked again: then it connects anew. */
  release(): Promise<void>;
}

/** A data key, in clear and wrapped. */
export interface DataKey {
  readonly key: Uint8Array;
  readonly wrapped: string;
}

export const DATA_KEY_BYTES = 32;

export async function newDataKey(kms: Kms, context: KmsContext): Promise<DataKey> {
  const key = randomBytes(DATA_KEY_BYTES);
  return { key, wrapped: await kms.wrap(key, context) };
}

/** The keys that documents are signed with, by purpose. They stay in memory, as a local KEK does: while the service is away, documents can still be checked. */
export interface MacKeys {
  /** The one that this process signs with: made once. @throws as {@link Kms.wrap} */
  own(purpose: string): Promise<DataKey>;
  /** That of a document: unwrapped once. @throws as {@link Kms.unwrap} */
  open(wrapped: string, purpose: string): Promise<Uint8Array>;
}

/** Each process that signs has its own. Older ones are asked for again. */
const MOST_REMEMBERED = 1_000;

export function openMacKeys(kms: Kms): MacKeys {
  const own = new Map<string, Promise<DataKey>>();
  const opened = new Map<string, Promise<Uint8Array>>();
  const contextOf = (purpose: string) => ({ purpose });

  function remembered<T>(map: Map<string, Promise<T>>, name: string, make: () => Promise<T>): Promise<T> {
    const known = map.get(name);
    if (known !== undefined) return known;
    const [oldest] = map.keys();
    if (map.size >= MOST_REMEMBERED && oldest !== undefined) map.delete(oldest);
    const made = make();
    map.set(name, made);
    // The next call tries again.
    made.catch(() => map.delete(name));
    return made;
  }

  return {
    own: (purpose) => remembered(own, purpose, () => newDataKey(kms, contextOf(purpose))),
    open: (wrapped, purpose) =>
      remembered(opened, `${purpose} ${wrapped}`, () => kms.unwrap(wrapped, contextOf(purpose))),
  };
}
