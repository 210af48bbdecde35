/** The keys of a document as an audit entry names them. A later entry without a name shows that this key was taken away. */
import type { AuditData } from './audit.ts';
import type { ObservedClient, PublishedKey } from './document.ts';
import type { ManagedKey } from './keys.ts';

/** More names than this are only counted: the log must not grow with what others publish. */
const MOST_NAMES = 20;

/** Names that an entry can hold. A longer one goes by its id. */
const NAME = /^[\x21-\x7e]{1,100}$/;

/** `foreign`: keys that are not ours, by `kid`, or by id where they have none. `foreign_more`: how many are not named. */
export function foreignNames(keys: readonly PublishedKey[]): AuditData {
  const names = [...new Set(keys.map(nameOf))];
  const more = names.length - MOST_NAMES;
  return { foreign: names.slice(0, MOST_NAMES), ...(more > 0 && { foreign_more: more }) };
}

function nameOf({ jwk, ids }: PublishedKey): string {
  return typeof jwk.kid === 'string' && NAME.test(jwk.kid) ? jwk.kid : (ids[0] ?? 'unreadable');
}

/**
 * What the server shows of a client. `kids`: keys of ours. `jwks_uri`: it also has an address, and which keys are published there is not known.
 * @param ours keys that are called by our `kid`, under whatever name they are shown
 */
export function shownNames(
  { keys, jwksUri }: Pick<ObservedClient, 'keys' | 'jwksUri'>,
  ours: readonly Pick<ManagedKey, 'id' | 'kid'>[] = [],
): AuditData {
  const isOurs = ({ ids }: PublishedKey) => ours.some(({ id }) => ids.includes(id));
  const kids = ours.filter(({ id }) => keys.some(({ ids }) => ids.includes(id))).map(({ kid }) => kid);
  const foreign = foreignNames(keys.filter((key) => !isOurs(key)));
  return { ...(ours.length > 0 && { kids }), ...foreign, ...(jwksUri !== null && { jwks_uri: true }) };
}
