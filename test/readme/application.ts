/** An application that signs in all the time: with a key of its own, and once it is pointed at a key folder with the signer library. */
import type { KeyObject } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import { openSigner } from '../../src/signer/index.ts';
import { goodClaims, introspect, sign } from '../emulator/testing.ts';
import { until } from '../support/patient.ts';

export interface Application {
  /** Accepted so far. */
  readonly accepted: number;
  /** What the server said to logins that it refused for good. */
  readonly refused: readonly string[];
  /** Takes its keys from that folder from now on. @throws when there is no key */
  pointAt(folder: string): Promise<void>;
  /** Waits until it has signed in `count` times more. */
  more(count: number): Promise<void>;
  stop(): Promise<void>;
}

interface OwnKey {
  readonly privateKey: KeyObject;
  /** As it is published; null: it has none. */
  readonly kid: string | null;
}

export interface ApplicationOptions {
  /** Of the local Wacht. */
  readonly url: string;
  /** The app's own domain. */
  readonly host: string;
  readonly clientId: string;
  /** Null: it signs in once it is pointed at a folder. */
  readonly key: OwnKey | null;
}

const EVERY_MS = 50;

/** Stopped at the latest when the test ends. */
export function startApplication({ url, host, clientId, key }: ApplicationOptions): Application {
  const seen = { accepted: 0, refused: [] as string[] };
  const send = async (assertion: string) => {
    const { status, body } = await introspect({ url }, host, clientId, assertion);
    return { status, error: (body as { error?: unknown }).error, body }; // the local Wacht answers objects
  };

  async function withOwnKey({ privateKey, kid }: OwnKey) {
    const claims = goodClaims(clientId, host, '/oauth/introspect');
    return send(await sign({ alg: 'ES256', privateKey }, claims, kid === null ? {} : { kid }));
  }

  let stopped = false;
  let signIn = key === null ? null : () => withOwnKey(key);
  let close = async () => {};
  const running = (async () => {
    for (; !stopped; await delay(EVERY_MS)) {
      const answer = await signIn?.();
      if (answer?.status === 200) seen.accepted += 1;
      else if (answer !== undefined) seen.refused.push(`${clientId}: ${answer.status} ${JSON.stringify(answer.body)}`);
    }
  })();
  running.catch(() => {}); // reported by `stop`

  async function stop(): Promise<void> {
    stopped = true;
    await running;
    await close();
  }
  onTestFinished(stop);
  return {
    get accepted() {
      return seen.accepted;
    },
    refused: seen.refused,
    async pointAt(folder) {
      const signer = await openSigner(folder);
      close = () => signer.close();
      signIn = () => signer.authenticate(send, { audience: `https://${host}/oauth/introspect` });
    },
    async more(count) {
      const goal = seen.accepted + count;
      await until(`${clientId} signs in ${count} times more`, (saw) => saw(seen.accepted) >= goal);
    },
    stop,
  };
}
