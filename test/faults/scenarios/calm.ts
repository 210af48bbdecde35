/** Nothing is broken: what a rotation looks like by itself. */
import { kindOf } from '../stage/scenario.ts';
import { openStage } from '../stage/stage.ts';

export const calm = kindOf({
  name: 'calm',
  open: (place) => openStage(place),
  crew: () => ({ size: 2 }),
  play: async ({ ask }) => void (await ask()),
});
