/** Texts that people write for the audit trail. They stand there for good, so a private key must not be among them. */

/** A PEM of any kind of private key, or a JWK with a private member: `d` (RFC 7518, sections 6.2.2 and 6.3.2), also with its quotes escaped. */
const PRIVATE_KEY = /PRIVATE KEY-----|\\?"d\\?"\s*:\s*\\?"/;

export const HOLDS_KEY = 'holds a private key, which would stand in the audit log for good. Say where it was found';

export function holdsPrivateKey(text: string): boolean {
  return PRIVATE_KEY.test(text);
}
