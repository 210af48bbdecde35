import type { KeyObject } from 'node:crypto';
import { inspect } from 'node:util';
import type { Algorithm } from '../core/keys.ts';

const OPAQUE = '[private key]';

/** A private key that cannot be printed by accident: as text, as JSON and in `util.inspect` it is `[private key]`. */
export class PrivateKey {
  /** RFC 7638 SHA-256 thumbprint, base64url. */
  readonly thumbprint: string;
  readonly alg: Algorithm;
  readonly #key: KeyObject;

  constructor(thumbprint: string, alg: Algorithm, key: KeyObject) {
    this.thumbprint = thumbprint;
    this.alg = alg;
    this.#key = key;
  }

  /** The key itself, for signing and sealing. */
  keyObject(): KeyObject {
    return this.#key;
  }

  toString(): string {
    return OPAQUE;
  }

  toJSON(): string {
    return OPAQUE;
  }

  [inspect.custom](): string {
    return OPAQUE;
  }
}
