/** What brings those mutants to light that use a standby key too early, or one that leaked: see {@link ./circumstances.ts}. */
import { PATIENCE_MS } from '../actors/asking.ts';
import { apps, areReplaced, entrusted, ready, report } from '../actors/standby-plot.ts';
import { kindOf } from '../stage/scenario.ts';
import { openStage } from '../stage/stage.ts';

/** Half of the reports spare the standby keys. Then nothing happens, until each standby key is too old. */
export const standingBy = kindOf({
  name: 'standing-by',
  open: (place) =>
    openStage(place, { fleet: { apps: apps.filter(({ slug }) => ['overlap', 'cutover'].includes(slug)) } }),
  crew: () => ({ size: 1, schedule: () => true }),
  async play(scene) {
    // The first round gives everybody a key that was made here.
    for (const _ of ['imported', 'made']) {
      await ready(scene, PATIENCE_MS / 4);
      await Promise.all(entrusted(scene).map((client, index) => report(scene, client, index % 2 === 0)));
    }
    await ready(scene, PATIENCE_MS / 4);
    await areReplaced(scene);
  },
});
