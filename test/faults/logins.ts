/** Applications that sign in all the time: with the current key first and, when it is refused, once with the other one. */
import { setTimeout as delay } from 'node:timers/promises';
import { openSigner } from '../../src/signer/index.ts';
import type { Emulator } from '../emulator/server.ts';
import { ASSERTION_TYPE, post } from '../emulator/testing.ts';
import type { FaultClient } from './fleet.ts';
import type { History } from './history.ts';

/** Not where proofs go: what is done to proofs must not be done to logins. */
const LOGIN_PATH = '/oauth/token';

/** How often each client signs in when nothing else is said, in ms. */
const EVERY_MS = 150;

export async function startLogins(
  clients: readonly FaultClient[],
  emulator: Emulator,
  history: History,
  everyMs: number = EVERY_MS,
): Promise<() => Promise<void>> {
  let stopped = false;

  async function run(client: FaultClient): Promise<void> {
    const { ref, host, clientId, folder } = client;
    const signer = await openSigner(folder);
    while (!stopped) {
      const tried: string[] = [];
      const { status } = await signer.authenticate(
        async (assertion, { kid, role }) => {
          const { status, body } = await post(emulator, host, LOGIN_PATH, {
            grant_type: 'client_credentials',
            client_id: clientId,
            client_assertion_type: ASSERTION_TYPE,
            client_assertion: assertion,
          });
          tried.push(`${role} ${kid}: ${status} ${JSON.stringify(body).slice(0, 120)}`);
          const error = typeof body === 'object' && body !== null && 'error' in body ? body.error : undefined;
          return { status, error };
        },
        { audience: `https://${host}${LOGIN_PATH}` },
      );
      const result = status !== 200 ? 'refused' : tried.length > 1 ? 'fallback' : 'ok';
      history.note({ kind: 'login', ref, result, tried: result === 'ok' ? [] : tried });
      await delay(everyMs);
    }
  }

  const running = clients.filter(({ app }) => app.logins !== 'none').map((client) => run(client));
  for (const stream of running) stream.catch(() => {}); // reported when stopped
  return async () => {
    stopped = true;
    await Promise.all(running);
  };
}
