/** Fleet rotations against a bare loop, round by round. */
import type { Usage } from './child.ts';
import { type Figure, judge, medians, type Scale } from './figure.ts';
import { type FleetRun, rotateFleet } from './fleet.ts';
import type { BareResult, Loop } from './lanes.ts';
import { onStage, type Setting } from './stage.ts';

export interface Throughput {
  readonly id: string;
  readonly what: string;
  readonly goal: number;
  readonly setting: Setting;
  /** The bare loop, and how many at once it may do. */
  readonly against: { readonly loop: 'patches' | 'keys' | 'script'; readonly lanes: number };
  /** How many clients the bare loop does when it need not do them all; a slow one shows its pace sooner. */
  readonly bareClients?: number;
}

interface Round {
  readonly run: FleetRun;
  /** Both in clients per second. */
  readonly pace: number;
  readonly barePace: number;
  readonly bareCpuMs: number;
}

/** Clients per second ÷ clients per second. Both send the same PATCHes per client where the bare loop sends what a rotation sends. */
export function throughput(about: Throughput): Figure {
  return {
    ids: [about.id],
    async measure(scale) {
      const setting = scaled(about.setting, scale);
      const rounds = await onStage(setting, async (stage) => {
        const worker = await stage.startWorker();
        const loop: Loop = {
          clients: stage.clients.slice(0, about.bareClients ?? stage.clients.length),
          lanes: about.against.lanes,
          alg: setting.alg ?? 'ES256',
          strategy: setting.strategy,
        };
        const both = async (): Promise<Round> => {
          const before = await stage.bare.ask<Usage>('usage');
          const { seconds } = await stage.bare.ask<BareResult>(about.against.loop, loop);
          const after = await stage.bare.ask<Usage>('usage');
          const run = await rotateFleet(stage, [worker]);
          const barePace = loop.clients.length / seconds;
          const bareCpuMs = (after.cpuMs - before.cpuMs) / loop.clients.length;
          return { run, pace: run.rotations / run.seconds, barePace, bareCpuMs };
        };
        await both(); // adopts the fleet, and warms everybody up
        const measured: Round[] = [];
        for (let round = 0; round < scale.rounds; round += 1) measured.push(await both());
        return measured;
      });
      const { id, what, goal } = about;
      const baseline = medians(
        rounds.map(({ run, pace, barePace, bareCpuMs }) => ({
          clients: run.rotations,
          bare_per_s: barePace,
          bare_cpu_ms_each: bareCpuMs,
          rekeyd_per_s: pace,
          rekeyd_patches_per_s: run.patches / run.seconds,
        })),
      );
      const perRotation = medians(rounds.map(({ run }) => run.spent));
      const ratios = rounds.map(({ pace, barePace }) => pace / barePace);
      return [judge({ id, what, unit: 'ratio', goal, baseline, perRotation }, ratios)];
    },
  };
}

export function scaled(setting: Setting, { quick }: Scale): Setting {
  return quick ? { ...setting, clients: Math.ceil(setting.clients / 10) } : setting;
}
