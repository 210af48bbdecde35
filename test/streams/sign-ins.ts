/** Applications that use openid-client, and sign in all the time. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import * as oidc from 'openid-client';
import { clientAuth, openSigner, signingFetch } from '../../src/signer/index.ts';
import type { StreamClient } from './world.ts';

export interface SignIns {
  /** Accepted at the first try. */
  readonly ok: number;
  /** Accepted with the signer's other key. */
  readonly fallback: number;
  /** What the server said to those that it refused for good. */
  readonly refused: readonly string[];
  /** When first tries were refused, in ms since the Unix epoch. */
  refusedFirst(client: StreamClient): readonly number[];
  /** Stops; resolves when the last answer is in. */
  stop(): Promise<void>;
}

interface Answered {
  readonly status: number;
  readonly at: number;
}

/** What a busy machine missed beyond that is not made up for: a burst of sign-ins would measure the machine. */
const MOST_BEHIND_MS = 100;

/** What came to the token endpoint in one sign-in. */
const tries = new AsyncLocalStorage<Answered[]>();

const counted: typeof fetch = async (input, init) => {
  const response = await fetch(input, init);
  tries.getStore()?.push({ status: response.status, at: Date.now() });
  return response;
};

/** @param perSecond of all clients together, which take turns */
export async function startSignIns(
  clients: readonly StreamClient[],
  issuer: string,
  perSecond: number,
): Promise<SignIns> {
  const applications = await Promise.all(clients.map((client) => openApplication(client, issuer)));
  const running = new Set<Promise<void>>();
  const refused: string[] = [];
  const refusedFirst = new Map<StreamClient, number[]>(clients.map((client) => [client, []]));
  let [ok, fallback, isStopped] = [0, 0, false];

  async function signIn({ client, grant }: (typeof applications)[number]): Promise<void> {
    const answered: Answered[] = [];
    const error = await tries.run(answered, grant).then(
      () => null,
      (cause: unknown) => cause,
    );
    const [first] = answered;
    if (first !== undefined && first.status !== 200) refusedFirst.get(client)?.push(first.at);
    if (error !== null)
      refused.push(`${client.ref}: ${answered.map(({ status }) => status).join(', then ')}: ${error}`);
    else if (answered.length > 1) fallback += 1;
    else ok += 1;
  }

  async function run(): Promise<void> {
    let due = performance.now();
    for (let count = 0; !isStopped; count += 1) {
      const application = applications[count % applications.length];
      if (application === undefined) return;
      const one = signIn(application).finally(() => running.delete(one));
      running.add(one);
      due = Math.max(due + 1000 / perSecond, performance.now() - MOST_BEHIND_MS);
      await delay(Math.max(0, due - performance.now()));
    }
  }

  const paced = run();
  return {
    get ok() {
      return ok;
    },
    get fallback() {
      return fallback;
    },
    refused,
    refusedFirst: (client) => refusedFirst.get(client) ?? [],
    async stop() {
      isStopped = true;
      await paced;
      await Promise.all(running);
      // A report that nobody takes back would hold up the end of the next overlap.
      for (const { close } of applications) await close();
    },
  };
}

/** The three lines that an application changes. */
async function openApplication(client: StreamClient, issuer: string) {
  const signer = await openSigner(client.folder);
  const execute = [oidc.allowInsecureRequests]; // loopback
  const config = await oidc.discovery(new URL(issuer), signer.clientId, undefined, clientAuth(signer), { execute });
  config[oidc.customFetch] = signingFetch(signer, { fetch: counted });
  return { client, grant: () => oidc.clientCredentialsGrant(config), close: signer.close };
}
