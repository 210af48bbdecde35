import type { JsonWebKey } from 'node:crypto';
import type { RekeydError } from '../errors.ts';
import { invalid } from './invalid.ts';

/**
 * Whether the members of an RSA private key belong together (RFC 8017 section 3.2). A signature does not show it: OpenSSL checks what the primes
 * came to and, when it is wrong, signs with `d`. The next program that is given this key may not, and a wrong signature gives its primes away.
 */
export function belongTogether(jwk: JsonWebKey): boolean {
  const [n, e, d, p, q] = [jwk.n, jwk.e, jwk.d, jwk.p, jwk.q].map(integerOf);
  const [dp, dq, qi] = [jwk.dp, jwk.dq, jwk.qi].map(integerOf);
  if (n === undefined || e === undefined || d === undefined || p === undefined || q === undefined) return false;
  if (p < 3n || q < 3n || p * q !== n || d >= n) return false;
  return (
    (e * d) % (p - 1n) === 1n &&
    (e * d) % (q - 1n) === 1n &&
    dp === d % (p - 1n) &&
    dq === d % (q - 1n) &&
    qi !== undefined &&
    (qi * q) % p === 1n
  );
}

function integerOf(member: string | undefined): bigint {
  return BigInt(`0x0${Buffer.from(member ?? '', 'base64url').toString('hex')}`);
}

/** For a private key with members that do not belong together. */
export function mixed(): RekeydError {
  return invalid(
    'The parts of the private key do not belong together',
    'It was damaged or put together from several: export it again',
  );
}
