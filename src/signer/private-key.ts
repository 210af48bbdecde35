/** A private JWK of a key folder. The signers of all languages take the same ones: what one library forgives and another does not, is damage. */
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { CompactSign, compactVerify } from 'jose';

/** What rekeyd makes keys for. jose knows more algs, and the libraries of other languages do not. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'];

type Members = Readonly<Record<string, unknown>>;

/**
 * Tried once, so that the first login does not find out that a key cannot sign, or that its halves do not belong together.
 * @throws what must not be shown: it may quote the key
 */
export async function privateKeyOf(jwk: Members, alg: string): Promise<KeyObject> {
  if (!ALGORITHMS.includes(alg)) throw new Error('an alg that rekeyd makes no keys for');
  const key = createPrivateKey({ key: jwk, format: 'jwk' });
  if (!isWrittenAs(key.export({ format: 'jwk' }), jwk)) throw new Error('not as RFC 7518 section 6 has it');
  const signed = await new CompactSign(new Uint8Array()).setProtectedHeader({ alg }).sign(key);
  // Without `d`: Node.js would make the public half of that where it can, and not read `x`.
  const { d: _, ...half } = jwk;
  await compactVerify(signed, createPublicKey({ key: half, format: 'jwk' }));
  return key;
}

/** Node.js also reads base64url with padding and other characters in it, numbers that are too long or too short, and RSA keys of which it uses only a part. */
function isWrittenAs(exact: Members, jwk: Members): boolean {
  const isSame = Object.entries(exact).every(([name, value]) => jwk[name] === value);
  return isSame && (exact.kty !== 'RSA' || isOfTwoPrimes(jwk));
}

/** RFC 8017 section 3.2. OpenSSL signs with the parts that are right. */
function isOfTwoPrimes(jwk: Members): boolean {
  const number = (name: string) => BigInt(`0x${Buffer.from(String(jwk[name]), 'base64url').toString('hex')}`);
  const [e, d, p, q] = [number('e'), number('d'), number('p'), number('q')];
  const [dp, dq] = [d % (p - 1n), d % (q - 1n)];
  return (
    (jwk.oth ?? null) === null &&
    p * q === number('n') &&
    (e * dp) % (p - 1n) === 1n &&
    (e * dq) % (q - 1n) === 1n &&
    dp === number('dp') &&
    dq === number('dq') &&
    (q * number('qi')) % p === 1n
  );
}
