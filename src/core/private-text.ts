/** Texts that people write for the audit trail. They stand there for good, so no secret of ours may be among them. */
import { VALUE_PATTERN } from './token.ts';

/** A PEM of any kind of private key, or a JWK with a private member: `d` (RFC 7518, sections 6.2.2 and 6.3.2), also with its quotes escaped. */
const PRIVATE_KEY = /PRIVATE KEY-----|\\?"d\\?"\s*:\s*\\?"/;

/** A token of the API and the page, as `rekeyd token create` prints it. */
const TOKEN = new RegExp(VALUE_PATTERN);

export const HOLDS_SECRET =
  'holds a private key or a token, which would stand in the audit log for good. Say where it was found';

export function holdsSecret(text: string): boolean {
  return PRIVATE_KEY.test(text) || TOKEN.test(text);
}
