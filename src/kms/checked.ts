/** Checks each answer of a KMS. A private key that is sealed under a data key which does not unwrap would be lost. */
import { RekeydError } from '../errors.ts';
import { DATA_KEY_BYTES, type Kms, type KmsContext } from '../keys/kms.ts';
import { unavailable } from './unavailable.ts';

/** It stands in the header of each sealed key. */
const WRAPPED = /^[\w:+/=-]{1,8192}$/;

/** The same service, with each answer checked. @param id of the KEK */
export function checked(id: string, kms: Kms): Kms {
  async function unwrap(wrapped: string, context: KmsContext): Promise<Uint8Array> {
    const key = await kms.unwrap(wrapped, context);
    if (key.length === DATA_KEY_BYTES) return key;
    key.fill(0);
    throw unavailable(id, `what it unwraps is no data key of ${DATA_KEY_BYTES} bytes`, LOOK);
  }

  return {
    async wrap(dataKey, context) {
      const wrapped = await kms.wrap(dataKey, context);
      if (!WRAPPED.test(wrapped)) throw unavailable(id, 'what it wraps is no text that can be kept', LOOK);
      const back = await unwrap(wrapped, context).catch((error: unknown) => {
        throw error instanceof RekeydError && error.code === 'key_tampered' ? broken(id) : error;
      });
      const isSame = Buffer.compare(back, dataKey) === 0;
      back.fill(0);
      if (!isSame) throw broken(id);
      return wrapped;
    },
    unwrap,
    release: kms.release,
  };
}

function broken(id: string): RekeydError {
  return unavailable(id, 'it does not unwrap what it has just wrapped', LOOK);
}

const LOOK = 'Look at the service, and at what may answer in its place.';
