/** `npm run demo -- --serve`: the page on the demo's fleet, for as long as a person looks at it. */
import { once } from 'node:events';
import { openTokenBook } from '../../src/http/tokens.ts';
import { keksOf } from '../../src/rotation/policy.ts';
import type { Service } from '../../src/runtime/service.ts';
import { arrangeSights, type Scene } from './sights.ts';

/** What the config of a demo that serves has beside the usual. */
export const SERVED = { http: { listen: '127.0.0.1:0' }, reconcile_every: '2s' };

const LIFE_MS = 8 * 3_600_000;

/** Aborts on the first Ctrl-C. */
export function onInterrupt(): AbortSignal {
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => interrupted.abort());
  return interrupted.signal;
}

export interface Serving extends Scene {
  readonly interrupted: AbortSignal;
  readonly say: (line: string) => void;
}

/** Resolves when it was interrupted. */
export async function serve({ interrupted, say, ...scene }: Serving): Promise<void> {
  if (interrupted.aborted) return;
  await arrangeSights(scene);
  say(`\nThe page: ${await link(scene.service)}\nCtrl-C ends it all.`);
  if (!interrupted.aborted) await once(interrupted, 'abort');
}

/** The sign-in fills in the token that follows the #. A browser does not send that part to a server. */
async function link({ resources, url }: Service): Promise<string> {
  const { config, store } = resources;
  const book = openTokenBook({ store, keks: keksOf(config), dataDir: config.dataDir });
  const wanted = {
    name: 'demo',
    scopes: ['rotate', 'read'],
    only: null,
    expiresAt: (await store.now()) + LIFE_MS,
  } as const;
  const token = await book.create(wanted, { actor: 'demo', reason: 'to look at the page' });
  return `${url}/sign-in#token=${token}`;
}
