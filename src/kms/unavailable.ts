/** What a person is told of a service that holds a KEK. */
import { RekeydError } from '../errors.ts';

/** What it means while the service does not do what it is asked for. */
const MEANING =
  'Until then no new key is encrypted and none of its keys is used: rotations wait, and lose no attempt. Keys that are in use go on.';

/** @param id of the KEK @param fix an imperative sentence */
export function unavailable(id: string, why: string, fix: string): RekeydError {
  return new RekeydError('kms_unavailable', `KEK ${id}: ${why}. ${fix} ${MEANING}`);
}

/** @param id of the KEK */
export function foreign(id: string, why: string): RekeydError {
  return new RekeydError('key_tampered', `KEK ${id} does not unwrap it: ${why}`);
}
