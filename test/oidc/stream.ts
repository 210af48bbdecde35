/** Applications that sign in all the time, with openid-client and the signer, as the README says. */
import { setTimeout as delay } from 'node:timers/promises';
import * as client from 'openid-client';
import { onTestFinished } from 'vitest';
import { clientAuth, openSigner, signingFetch } from '../../src/signer/index.ts';
import type { FleetClient } from '../support/fleet.ts';
import { until } from '../support/until.ts';

export interface Counts {
  /** Accepted at the first try. */
  ok: number;
  /** Accepted at the second. */
  fallback: number;
  /** What was said to those that were refused for good. */
  readonly refused: string[];
}

export interface Stream {
  readonly counts: ReadonlyMap<FleetClient, Counts>;
  /** Waits for so many sign-ins more, of all clients together. */
  more(count: number): Promise<void>;
  /** Resolves when the last answer is in. */
  stop(): Promise<void>;
}

/** @param perSecond of all clients together */
export async function startStream(clients: readonly FleetClient[], issuer: string, perSecond: number): Promise<Stream> {
  const counts = new Map(clients.map((one) => [one, { ok: 0, fallback: 0, refused: [] as string[] }]));
  const signIns = await Promise.all(clients.map((one) => application(one, issuer)));
  let stopped = false;
  const underWay = new Set<Promise<void>>();

  async function signIn(index: number): Promise<void> {
    const [one, attempt] = [clients[index], signIns[index]];
    const count = one && counts.get(one);
    if (attempt === undefined || count === undefined) return;
    const { tries, error } = await attempt();
    if (error !== null) count.refused.push(error);
    else if (tries > 1) count.fallback += 1;
    else count.ok += 1;
  }

  async function run(): Promise<void> {
    const begun = performance.now();
    for (let made = 0; !stopped; made++) {
      const signing = signIn(made % clients.length).finally(() => underWay.delete(signing));
      underWay.add(signing);
      await delay(Math.max(0, begun + ((made + 1) * 1000) / perSecond - performance.now()));
    }
    await Promise.all(underWay);
  }

  const running = run();
  running.catch(() => {}); // reported by `stop`
  const stream: Stream = {
    counts,
    async more(count) {
      const sum = () => [...counts.values()].reduce((all, one) => all + one.ok + one.fallback + one.refused.length, 0);
      const goal = sum() + count;
      await until(`${count} more sign-ins`, (saw) => saw(sum()) >= goal);
    },
    async stop() {
      stopped = true;
      await running;
    },
  };
  onTestFinished(() => stream.stop());
  return stream;
}

/** @returns signs in once */
async function application({ folder }: FleetClient, issuer: string) {
  const told: unknown[] = [];
  const signer = await openSigner(folder, { onReloadError: (error) => told.push(error) });
  onTestFinished(() => signer.close());
  const execute = [client.allowInsecureRequests]; // loopback
  const config = await client.discovery(new URL(issuer), signer.clientId, undefined, clientAuth(signer), { execute });
  return async (): Promise<{ readonly tries: number; readonly error: string | null }> => {
    let tries = 0;
    const counting: typeof fetch = (...of) => {
      tries += 1;
      return fetch(...of);
    };
    // One for each sign-in, so that those under way are counted apart.
    const own = new client.Configuration(config.serverMetadata(), signer.clientId, undefined, clientAuth(signer));
    client.allowInsecureRequests(own);
    own[client.customFetch] = signingFetch(signer, { fetch: counting });
    try {
      await client.clientCredentialsGrant(own);
      return { tries, error: null };
    } catch (error) {
      const body = error instanceof client.ResponseBodyError ? JSON.stringify(error.cause) : '';
      return { tries, error: `${error} ${body} after ${tries} tries; told: ${told.join()}` };
    }
  };
}
