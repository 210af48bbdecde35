/** Applications that sign in all the time: with the current key first and, when it is refused, once with the other one; or with keys of their own. */
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../../../src/errors.ts';
import { openSigner, type Signer } from '../../../src/signer/index.ts';
import type { Emulator } from '../../emulator/server.ts';
import { ASSERTION_TYPE, post } from '../../emulator/testing.ts';
import { assertionOf } from '../checks/keys.ts';
import type { History, Try } from '../evidence/history.ts';
import type { FaultClient } from '../stage/fleet.ts';

/** Not where proofs go: what is done to proofs must not be done to logins. */
const LOGIN_PATH = '/oauth/token';

/** How often each client signs in when nothing else is said, in ms. */
const EVERY_MS = 150;

export interface Logins {
  /** One more signs in from now on. */
  add(client: FaultClient): void;
  /** Resolves when the last answer is in. */
  stop(): Promise<void>;
}

export function startLogins(
  clients: readonly FaultClient[],
  emulator: Emulator,
  history: History,
  everyMs: number = EVERY_MS,
): Logins {
  const running: Promise<void>[] = [];
  let stopped = false;

  async function run(client: FaultClient): Promise<void> {
    const { signIn, close } = signInOf(client, emulator);
    while (!stopped) {
      const { tried, isAccepted, refused } = await signIn();
      const result = !isAccepted ? 'refused' : tried.length > 1 ? 'fallback' : 'ok';
      history.note({ kind: 'login', ref: client.ref, result, tried: result === 'ok' ? [] : tried, refused });
      await delay(everyMs);
    }
    await close();
  }

  function add(client: FaultClient): void {
    if (client.app.logins === 'none') return;
    const stream = run(client);
    stream.catch(() => {}); // reported when stopped
    running.push(stream);
  }

  for (const client of clients) add(client);
  return {
    add,
    async stop() {
      stopped = true;
      await Promise.all(running);
    },
  };
}

type Told = Pick<SignIn, 'tried' | 'refused'>;

interface SignIn {
  /** What was presented, and what the server said to it. */
  readonly tried: string[];
  readonly refused: Try[];
  readonly isAccepted: boolean;
}

function signInOf(
  client: FaultClient,
  emulator: Emulator,
): { readonly signIn: () => Promise<SignIn>; readonly close: () => Promise<void> } {
  const { host, clientId, folder, initial, outbox } = client;
  const audience = `https://${host}${LOGIN_PATH}`;
  let signer: Signer | null = null;
  /** When the keys that the signer holds were seen in their folder. A folder that does not answer in time is told, and signed without. */
  let seenAt = Date.now();
  let isBlind = false;
  const onReloadError = (error: unknown) => {
    if (/does not answer/.test(messageOf(error))) isBlind = true;
    else process.emitWarning(messageOf(error));
  };

  /** @param since when its key was chosen */
  async function present(assertion: string, name: string, since: number, { tried, refused }: Told) {
    const { status, body } = await post(emulator, host, LOGIN_PATH, {
      grant_type: 'client_credentials',
      client_id: clientId,
      client_assertion_type: ASSERTION_TYPE,
      client_assertion: assertion,
    });
    tried.push(`${name}: ${status} ${JSON.stringify(body).slice(0, 120)}`);
    if (status !== 200) refused.push({ from: since, to: Date.now() });
    const error = typeof body === 'object' && body !== null && 'error' in body ? body.error : undefined;
    return { status, error };
  }

  async function signIn(): Promise<SignIn> {
    const told: Told = { tried: [], refused: [] };
    const { signing } = client;
    if (signing !== 'folder') {
      const assertion = assertionOf(initial.privateKey, initial.alg, initial.kid, clientId, audience);
      const { status } = await present(assertion, `its own ${initial.kid}`, Date.now(), told);
      if (status === 200 || signing === 'own') return { ...told, isAccepted: status === 200 };
    }
    let lookedAt = Date.now();
    signer ??= await openSigner(folder, { onReloadError, ...(outbox !== null && { reports: outbox }) });
    const { status } = await signer.authenticate(
      async (assertion, { kid, role }) => {
        if (!isBlind) seenAt = lookedAt;
        const answer = await present(assertion, `${role} ${kid}`, seenAt, told);
        [lookedAt, isBlind] = [Date.now(), false];
        return answer;
      },
      { audience },
    );
    return { ...told, isAccepted: status === 200 };
  }

  return { signIn, close: async () => signer?.close() };
}
