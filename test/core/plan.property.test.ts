/**
 * Random histories of crashes, answers, clocks and people against a simulated world. What must never happen is checked after every single effect and
 * commit; what must happen in the end, once nothing fails any more.
 */
import fc from 'fast-check';
import { describe, it } from 'vitest';
import { Play } from './play.ts';
import { story } from './story.ts';

/** `REKEYD_STORIES=20000` for a long night. */
const STORIES = Number(process.env.REKEYD_STORIES ?? 800);

describe('any history of crashes, answers, clocks and people', () => {
  it(
    'loses no login and no key, and comes to rest',
    () => {
      // To play a failed story again, give `seed` and `path` as they were printed.
      fc.assert(
        fc.property(story, (told) => {
          const play = new Play(told);
          for (const incident of told.incidents) play.happen(incident);
          play.rest();
        }),
        { numRuns: STORIES, interruptAfterTimeLimit: 25 * STORIES },
      );
    },
    75 * STORIES,
  );
});
