/** An application that signs in all the time, with the signer library and the keys in its folder. */
import { setTimeout as delay } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import { openSigner } from '../../src/signer/index.ts';
import type { Emulator } from '../emulator/server.ts';
import { introspect } from '../emulator/testing.ts';
import type { FleetClient } from './fleet.ts';
import { until } from './until.ts';

export interface Logins {
  /** Accepted at once. */
  ok: number;
  /** Accepted with the signer's other key. */
  fallback: number;
  /** What the server said to logins that it refused for good. */
  readonly refused: string[];
  /** Waits until `count` more logins were answered. */
  more(count: number): Promise<void>;
  /** Stops; resolves when the last answer is in. */
  stop(): Promise<Logins>;
}

export interface LoginOptions {
  readonly emulator: Emulator;
  readonly everyMs?: number;
  /** The emulator's clock when it is not this machine's; ms since the epoch. */
  readonly clock?: () => number;
}

/** Signs in until stopped, at the latest when the test ends. */
export async function startLogins(client: FleetClient, options: LoginOptions): Promise<Logins> {
  const { emulator, everyMs = 40, clock } = options;
  const signer = await openSigner(client.folder);
  const host = `${client.app.slug}.example.com`;
  const request = { audience: `https://${host}/oauth/introspect`, ...(clock === undefined ? {} : { clock }) };
  let stopped = false;

  async function signIn(): Promise<void> {
    const tried: string[] = [];
    const { status } = await signer.authenticate(async (assertion, { kid, role }) => {
      const { status, body } = await introspect(emulator, host, client.clientId, assertion);
      const answer: { status: number; error?: unknown } = { status };
      if (typeof body === 'object' && body !== null && 'error' in body) answer.error = body.error;
      tried.push(`${role} ${kid}: ${status} ${JSON.stringify(body)}`);
      return answer;
    }, request);
    if (status !== 200) logins.refused.push(tried.join(', then '));
    else if (tried.length > 1) logins.fallback += 1;
    else logins.ok += 1;
  }

  async function run(): Promise<void> {
    while (!stopped) {
      await signIn();
      await delay(everyMs);
    }
  }

  const count = () => logins.ok + logins.fallback + logins.refused.length;
  const logins: Logins = {
    ok: 0,
    fallback: 0,
    refused: [],
    async more(wanted) {
      const goal = count() + wanted;
      await until(`${wanted} more logins of ${client.ref}`, (saw) => saw(count()) >= goal);
    },
    async stop() {
      stopped = true;
      await running;
      // A report that nobody takes back would hold up the end of the next overlap.
      await signer.close();
      return logins;
    },
  };
  const running = run();
  running.catch(() => {}); // reported by `stop`
  onTestFinished(() => logins.stop().then(() => undefined));
  return logins;
}
