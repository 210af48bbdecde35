/** Stands in a preview for a key that is not made yet. */
import type { Algorithm, KeyMaterial } from '../core/keys.ts';
import { KEY_SHAPES } from '../keys/algorithms.ts';

export const PLANNED_KID = '<new key>';

export function plannedKey(alg: Algorithm): KeyMaterial {
  const { kty, crv, members } = KEY_SHAPES[alg];
  const blank = Object.fromEntries(members.map((member) => [member, PLANNED_KID]));
  const jwk = { ...blank, kty, ...(crv === null ? {} : { crv }) };
  return { id: PLANNED_KID, kid: PLANNED_KID, thumbprint: PLANNED_KID, alg, jwk, pem: PLANNED_KID };
}
