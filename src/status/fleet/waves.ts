/** The waves of the policies as `status` shows them. */
import { formatDuration } from '../../core/duration.ts';
import { followTime, howToResume } from '../../core/wave.ts';
import type { Resources } from '../../rotation/resources.ts';
import type { WaveStatus } from '../model.ts';

export async function wavesOf({ store, config }: Pick<Resources, 'store' | 'config'>): Promise<readonly WaveStatus[]> {
  const waves = Object.entries(config.policies).map(async ([policy, { cohort }]): Promise<readonly WaveStatus[]> => {
    const standing = cohort === null ? null : await store.wave(policy);
    if (cohort === null || standing === null) return [];
    const { id, phase, found, first, waiting, active, failed, startedAt, why } = standing.wave;
    const since = new Date(startedAt).toISOString();
    const after = new Date(followTime(startedAt, cohort.thenMs)).toISOString();
    return [
      {
        policy,
        wave: id,
        phase,
        clients: found,
        first,
        waiting,
        active,
        failed,
        since,
        rest_after: after,
        stopped: why,
      },
    ];
  });
  return (await Promise.all(waves)).flat();
}

/** @param now the store's clock, ms since the epoch */
export function waveLine(wave: WaveStatus, now: number): string {
  const { policy, phase, clients, first, waiting, active, failed } = wave;
  if (phase === 'stopped') {
    return `STOPPED  policy ${policy}: ${wave.stopped ?? ''}. Nothing more is rotated on schedule: ${howToResume(policy)}.`;
  }
  if (phase === 'rest') return `WAVE  policy ${policy}: the rest of ${clients} clients is begun.`;
  const left = Date.parse(wave.rest_after) - now;
  const then = left > 0 ? `in ${formatDuration(left)}` : 'when those have ended';
  const counts = `${active} in use, ${waiting} under way, ${failed} failed`;
  return `WAVE  policy ${policy}: ${first} of ${clients} clients go first (${counts}). The rest follows ${then}.`;
}
