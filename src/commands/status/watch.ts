/** `rekeyd status --watch`: the fleet on one screen, painted anew every two seconds. */
import { putOffRequests } from '../../../jobs/waiting.ts';
import { messageOf } from '../../errors.ts';
import type { Resources } from '../../rotation/resources.ts';
import { openCensus } from '../../status/census/census.ts';
import { openViews } from '../../status/open-views.ts';
import { monotonic, sleep } from '../../time.ts';
import { awaitInterruption, type Globals } from '../open.ts';
import { type Canvas, plain, repaint, stdoutCanvas } from '../output.ts';
import { withQueues } from '../queues.ts';
import { pictureOf } from './picture.ts';
import type { Filter } from './survey.ts';

/** Between two paintings, in ms. */
const EVERY_MS = 2_000;

/** When Redis takes longer than this to answer, in ms, the screen says so. */
const LATE_MS = 3_000;

/** @returns the exit code: 0 after an interruption */
export async function watching(globals: Globals, resources: Resources, filter: Filter): Promise<number> {
  const { signal, release } = awaitInterruption(globals);
  const census = openCensus(() => resources);
  try {
    await withQueues(resources, async (queues) => {
      const views = openViews(() => ({ resources, requests: () => putOffRequests(queues) }), census);
      const look = () => pictureOf(views, resources, filter, stdoutCanvas().size?.rows ?? null);
      await showing(look, stdoutCanvas, signal);
    });
    return 0;
  } finally {
    census.stop();
    release();
  }
}

type Look = () => Promise<readonly string[]>;

/** Exported for tests, which are no terminal. */
export async function showing(
  look: Look,
  canvas: () => Canvas,
  signal: AbortSignal,
  everyMs = EVERY_MS,
): Promise<void> {
  let shown: readonly string[] = [];
  for (; !signal.aborted; await sleep(everyMs, signal)) {
    const beganAt = monotonic();
    const looking = look().catch(
      (error: unknown) => `The fleet cannot be read: ${messageOf(error)} rekeyd tries again.`,
    );
    let found = await soon(looking, signal);
    for (let isTold = false; found === null && !signal.aborted; found = await soon(looking, signal)) {
      const seconds = Math.round((monotonic() - beganAt) / 1000);
      tell(`Redis has not answered for ${seconds} s. The screen shows its last answer, and goes on by itself.`, isTold);
      isTold = true;
    }
    if (typeof found === 'string') tell(found, false);
    else if (found !== null) {
      shown = found.map(plain);
      repaint(shown, canvas());
    }
  }

  /** Paints a message above the last picture; where there is no terminal, prints it alone. */
  function tell(what: string, isTold: boolean): void {
    const { size, write } = canvas();
    if (size !== null) repaint([what, '', ...shown], { size, write });
    else if (!isTold) repaint([plain(what)], { size, write });
  }
}

/** Null: no answer yet. */
async function soon<T>(work: Promise<T>, signal: AbortSignal): Promise<T | null> {
  const done = new AbortController();
  const late = sleep(LATE_MS, AbortSignal.any([done.signal, signal])).then(() => null);
  try {
    return await Promise.race([work, late]);
  } finally {
    done.abort();
  }
}
