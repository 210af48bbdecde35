/** Each worker notes that it is there, and by what config it works: `doctor` names those that differ. */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import packageFile from '../package.json' with { type: 'json' };
import { configParts } from '../src/config/digest.ts';
import type { Resources } from '../src/rotation/resources.ts';
import { sleep } from '../src/time.ts';

/** In ms. A note counts for three times as long. */
const RENEWED_MS = 60_000;

/** How long taking the note back may last, in ms: Redis may be away. */
const LEAVING_MS = 1_000;

/** Renews the note until the returned function is called, which takes it back. What is wrong with Redis is told elsewhere. */
export async function notePresence({
  store,
  config,
}: Pick<Resources, 'store' | 'config'>): Promise<() => Promise<void>> {
  const id = randomUUID();
  const note = {
    name: `${hostname()}:${process.pid}`,
    version: packageFile.version,
    config: configParts(config),
  };
  const leaving = new AbortController();
  await store.noteWorker(id, note);
  void (async () => {
    for (;;) {
      await sleep(RENEWED_MS, leaving.signal);
      if (leaving.signal.aborted) return;
      await store.noteWorker(id, note).catch(() => {});
    }
  })();
  return async () => {
    leaving.abort();
    await Promise.race([store.forgetWorker(id).catch(() => {}), sleep(LEAVING_MS)]);
  };
}
