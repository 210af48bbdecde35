/** What keys that are not ours are called. A server may say anything of them. */
import type { PublishedKey } from './document.ts';
import { shortMessage } from './reply.ts';

/** How a foreign key is called: by its kid, else by the id that `rekeyd drift` prints. */
export function nameOf({ jwk, ids }: PublishedKey): string {
  const name = typeof jwk.kid === 'string' && jwk.kid !== '' ? jwk.kid : ids[0];
  return name === undefined ? `without a kid (kty ${shortMessage(jwk.kty)})` : shortMessage(name);
}

/** The same for a command line: a kid may be any text, also one that a shell would run. */
export function argumentOf(key: PublishedKey): string {
  const { kid } = key.jwk;
  const isPlain = typeof kid === 'string' && /^[A-Za-z0-9._~:][A-Za-z0-9._~:-]{0,127}$/.test(kid);
  return isPlain ? kid : (key.ids[0] ?? nameOf(key));
}
