/** A client's application: signs in, again and again, with the keys that it finds in its folder. */
import { setTimeout as delay } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { CLIENT_ASSERTION_TYPE, openSigner } from '../../src/signer/index.ts';

export interface LoginCounts {
  /** Accepted at the first try. */
  ok: number;
  /** Refused with one key, accepted with the other a moment later: what a cutover looks like. */
  fallback: number;
  refused: number;
}

export interface LoginStream {
  readonly counts: LoginCounts;
  /** From now on it signs in once a second: enough for applications that go on for hours. */
  slowDown(): void;
  stop(): Promise<void>;
}

export interface LoginTarget {
  /** The client's key folder. */
  readonly folder: string;
  /** Origin of the local Wacht. */
  readonly origin: string;
  /** The app's own domain, sent as Host. */
  readonly fqdn: string;
}

const PAUSE_MS = 25;
const SLOW_PAUSE_MS = 1_000;

export async function startLogins({ folder, origin, fqdn }: LoginTarget): Promise<LoginStream> {
  const signer = await openSigner(folder);
  const agent = new Agent({ connections: 1 });
  const counts: LoginCounts = { ok: 0, fallback: 0, refused: 0 };
  const stopping = new AbortController();
  let pauseMs = PAUSE_MS;

  async function post(assertion: string) {
    const { statusCode, body } = await request(`${origin}/oauth/introspect`, {
      method: 'POST',
      dispatcher: agent,
      headers: { host: fqdn, 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({
        client_assertion_type: CLIENT_ASSERTION_TYPE,
        client_assertion: assertion,
        client_id: signer.clientId,
        token: 'a-made-up-token',
      }).toString(),
    });
    const answer = (await body.json()) as { error?: string }; // the local Wacht always answers JSON
    return { status: statusCode, ...(answer.error === undefined ? {} : { error: answer.error }) };
  }

  async function loginOnce(): Promise<void> {
    let tries = 0;
    const answer = await signer.authenticate(
      (assertion) => {
        tries += 1;
        return post(assertion);
      },
      { audience: `https://${fqdn}/oauth/introspect` },
    );
    if (answer.status !== 200) counts.refused += 1;
    else if (tries === 1) counts.ok += 1;
    else counts.fallback += 1;
  }

  const running = (async () => {
    while (!stopping.signal.aborted) {
      await loginOnce();
      // Cut short when it stops.
      await delay(pauseMs, undefined, { signal: stopping.signal }).catch(() => {});
    }
  })();

  return {
    counts,
    slowDown: () => {
      pauseMs = SLOW_PAUSE_MS;
    },
    async stop() {
      stopping.abort();
      await running;
      await signer.close();
      await agent.close();
    },
  };
}
