/** Logins by which the checker finds out what the server takes. */
import type { KeyObject } from 'node:crypto';
import type { Emulator } from '../../emulator/server.ts';
import { introspect } from '../../emulator/testing.ts';
import type { FaultClient } from '../stage/fleet.ts';
import { assertionOf } from './keys.ts';

/** Where proofs go; applications sign in elsewhere. */
export const PROOFS = '/oauth/introspect';

export interface Signing {
  readonly key: KeyObject;
  readonly alg: string;
  readonly kid: string;
}

/** What the server says against a login with that key; null when it accepts it. @throws when its answer says nothing about the key, as a 503 does */
export async function refusalOf(
  { host, clientId }: FaultClient,
  { key, alg, kid }: Signing,
  emulator: Emulator,
): Promise<string | null> {
  const assertion = assertionOf(key, alg, kid, clientId, `https://${host}${PROOFS}`);
  const { status, body } = await introspect(emulator, host, clientId, assertion);
  if (status === 200) return null;
  const answer = `${status} ${JSON.stringify(body)}`;
  if (status !== 400 && status !== 401)
    throw new Error(`a login of ${clientId} was neither accepted nor refused: ${answer}`);
  return answer;
}
