/** Tells the store that this service runs, and hears there that all are to read their config again. */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import packageFile from '../../package.json' with { type: 'json' };
import { configParts } from '../config/digest.ts';
import type { Config } from '../config/model.ts';
import { whoOf } from '../core/audit.ts';
import type { ReloadOutcome, ServiceNote } from '../store/presence.ts';
import type { Store } from '../store/store.ts';
import { sleep, systemClock } from '../time.ts';
import type { Cause } from './reload.ts';

/** How often the service tells that it runs, and looks for a wish to reload, in ms. */
const EVERY_MS = 2_000;

interface Reloading {
  /** The config in force. */
  config(): Config;
  /** What keeps the service from being ready, and is no matter of the store. */
  problem(): string | null;
  reload(cause: Cause): Promise<ReloadOutcome>;
}

export interface PresentService {
  /** Says goodbye, when the store hears it soon. */
  leave(): Promise<void>;
}

/** How long a service that ends tries to say goodbye, in ms. */
const GOODBYE_MS = 1_000;

/** A reload that was wished before this start needs no answer: the config was just read. */
export async function bePresent(
  store: Pick<Store, 'bePresent' | 'leave'>,
  reloading: Reloading,
): Promise<PresentService> {
  const service = randomUUID();
  const ended = new AbortController();
  let answered: ServiceNote['reload'] = null;
  const say = () =>
    store.bePresent(service, {
      host: hostname(),
      pid: process.pid,
      version: packageFile.version,
      config: configParts(reloading.config()),
      reload: answered,
      problem: reloading.problem(),
      clock: systemClock.now(),
    });
  let heard = (await say())?.id ?? null;

  async function listen(): Promise<void> {
    const wish = await say();
    if (wish === null || wish.id === heard) return;
    heard = wish.id;
    const outcome = await reloading.reload({ ...whoOf(wish), reason: wish.reason });
    answered = { wish: wish.id, outcome };
    await say();
  }

  async function run(): Promise<void> {
    for (;;) {
      await sleep(EVERY_MS, ended.signal);
      if (ended.signal.aborted) return;
      // What is wrong with the store is told elsewhere; a wish stays there until it is heard.
      await listen().catch(() => {});
    }
  }
  void run();

  return {
    async leave() {
      ended.abort();
      const said = new AbortController();
      const saying = store.leave(service).catch(() => {}); // it is forgotten by itself, too
      await Promise.race([saying.finally(() => said.abort()), sleep(GOODBYE_MS, said.signal)]);
    },
  };
}
