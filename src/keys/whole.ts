/** Whether a private key is what its public half says: anybody can write the public members of another key beside a made-up `d`. */
import { createPublicKey, type KeyObject, randomBytes, sign, verify } from 'node:crypto';

/** A signature is made, and checked with the public half by which the key was recognised. */
export function isWhole(privateKey: KeyObject): boolean {
  try {
    const digest = privateKey.asymmetricKeyType === 'ed25519' ? null : 'sha256';
    const data = randomBytes(32);
    return verify(digest, data, createPublicKey(privateKey), sign(digest, data, privateKey));
  } catch {
    return false;
  }
}
