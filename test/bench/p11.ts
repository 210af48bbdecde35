import { until } from '../support/patient.ts';
import { peakOfCommand } from './command.ts';
import { type Figure, judge, medians } from './figure.ts';
import { rotateFleet } from './fleet.ts';
import { peakRssMiB } from './memory.ts';
import { onStage, type Stage } from './stage.ts';
import { scaled } from './throughput.ts';

const SETTING = { appendfsync: 'always', strategy: 'overlap', clients: 3_000, concurrency: 50 } as const;
const PATIENCE_MS = 600_000;

interface Round {
  readonly worker_mib: number;
  readonly rekeyd_per_s: number;
  readonly command_mib: number;
}

/** Memory that has to be there: the most that a process held at once, from its start on. */
export const p11: Figure = {
  ids: ['P11', 'P11-command'],
  async measure(scale) {
    const setting = scaled(SETTING, scale);
    const rounds = await onStage(setting, async (stage) => {
      const first = await stage.startWorker();
      await rotateFleet(stage, [first]); // takes the fleet over
      await first.stop();
      const all: Round[] = [];
      for (let round = 0; round < scale.rounds; round += 1) all.push(await measured(stage));
      return all;
    });
    const fleet = `${setting.clients} clients`;
    const { rekeyd_per_s } = medians(rounds);
    const workers = rounds.map(({ worker_mib }) => worker_mib);
    const commands = rounds.map(({ command_mib }) => command_mib);
    const what = `peak memory of a worker that rotates ${fleet} at full speed`;
    return [
      judge({ id: 'P11', what, unit: 'MiB', goal: 180, baseline: { rekeyd_per_s } }, workers),
      judge(
        {
          id: 'P11-command',
          what: `peak memory of \`rekeyd rotate --all --wait\` with ${fleet}`,
          unit: 'MiB',
          goal: 120,
          baseline: {},
        },
        commands,
      ),
    ];
  },
};

/** The worker is a new one each time, and its peak is read before the command asks for anything. */
async function measured(stage: Stage): Promise<Round> {
  const worker = await stage.startWorker();
  const { rotations, seconds } = await rotateFleet(stage, [worker]);
  const worker_mib = peakRssMiB(worker.pid);
  const command_mib = await peakOfCommand(stage, 'rotate', '--all', '--wait');
  const { store } = stage.resources;
  // The command waits for the new keys, and not for the old ones to go.
  await until('the fleet is rotated', async (saw) => saw(await store.openWork()).length === 0, PATIENCE_MS);
  await worker.stop();
  return { worker_mib, rekeyd_per_s: rotations / seconds, command_mib };
}
