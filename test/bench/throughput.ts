/** Fleet rotations against a bare loop, round by round. */
import type { Child, Usage } from './child.ts';
import type { EffectsResult } from './effects-child.ts';
import { type Figure, judge, medians, type Result, type Scale } from './figure.ts';
import { type FleetRun, rotateFleet } from './fleet.ts';
import type { BareResult, Loop } from './lanes.ts';
import { onStage, type Setting, type Stage } from './stage.ts';
import type { WorkerUsage } from './worker-child.ts';

export interface Throughput {
  readonly id: string;
  readonly what: string;
  readonly goal: number;
  readonly setting: Setting;
  /** The bare loop, and how many at once it may do. */
  readonly against: { readonly loop: 'effects' | 'keys' | 'script'; readonly lanes: number };
  /** How many clients the bare loop does when it need not do them all; a slow one shows its pace sooner. */
  readonly bareClients?: number;
  /** Judges CPU per rotation ÷ CPU of the bare loop per client too. */
  readonly cpu?: { readonly id: string; readonly what: string; readonly goal: number };
  /** A worker that has keys in stock when a round begins is no match for a loop that makes its own. */
  readonly withoutStock?: true;
}

/** What a loop did with one client after another. */
interface Pace {
  /** Clients per second. */
  readonly perS: number;
  readonly cpuMsEach: number;
}

interface Round {
  readonly run: FleetRun;
  readonly perS: number;
  readonly bare: Pace;
  /** What else was measured in the same minute. */
  readonly beside: Readonly<Record<string, number>>;
}

/** Clients per second ÷ clients per second. */
export function throughput(about: Throughput): Figure {
  const { id, what, goal, cpu, against } = about;
  return {
    ids: [id, ...(cpu === undefined ? [] : [cpu.id])],
    async measure(scale) {
      const rounds = await onStage(scaled(about.setting, scale), (stage) => measured(about, stage, scale));
      const baseline = medians(
        rounds.map(({ run, perS, bare, beside }) => ({
          clients: run.rotations,
          [`${against.loop}_per_s`]: bare.perS,
          [`${against.loop}_cpu_ms_each`]: bare.cpuMsEach,
          ...beside,
          rekeyd_per_s: perS,
          rekeyd_cpu_ms_each: run.cpuMsEach,
          rekeyd_patches_per_s: run.patches / run.seconds,
        })),
      );
      const perRotation = medians(rounds.map(({ run }) => run.spent));
      const paces = rounds.map(({ perS, bare }) => perS / bare.perS);
      const results: Result[] = [judge({ id, what, unit: 'ratio', goal, baseline, perRotation }, paces)];
      if (cpu === undefined) return results;
      const costs = rounds.map(({ run, bare }) => run.cpuMsEach / bare.cpuMsEach);
      return [...results, judge({ ...cpu, unit: 'ratio', bound: 'most', baseline: {} }, costs)];
    },
  };
}

async function measured(about: Throughput, stage: Stage, { rounds }: Scale): Promise<readonly Round[]> {
  const { setting, against, bareClients = stage.bareClients.length } = about;
  const worker = await stage.startWorker();
  const alg = setting.alg ?? 'ES256';
  const loop: Loop = { clients: stage.bareClients.slice(0, bareClients), alg, strategy: setting.strategy, ...against };
  const effects = against.loop === 'effects' ? await stage.startEffects() : null;
  let rotations = 0;

  async function oneRound(): Promise<Round> {
    const bare =
      effects === null
        ? { pace: await paceOf(stage.bare, against.loop, loop), beside: {} }
        : await besidePatches(stage.bare, effects, loop, setting.concurrency);
    if (about.withoutStock) await checkStock(worker, rotations, setting.concurrency);
    const run = await rotateFleet(stage, [worker]);
    rotations += run.rotations;
    return { run, perS: run.rotations / run.seconds, bare: bare.pace, beside: bare.beside };
  }

  await oneRound(); // adopts the fleet, and warms everybody up
  const all: Round[] = [];
  for (let round = 0; round < rounds; round += 1) all.push(await oneRound());
  return all;
}

/** The loop `effects`, and beside it the one that does nothing but make keys and send the PATCHes. */
async function besidePatches(bare: Child, effects: Child, loop: Loop, lanes: number) {
  const patches = await paceOf(bare, 'patches', { ...loop, lanes });
  const pace = await paceOf<EffectsResult>(effects, 'effects', loop);
  const { looks, fsyncs } = pace.result;
  const beside = {
    effects_looks: looks,
    effects_fsyncs: fsyncs,
    bare_patches_per_s: patches.perS,
    bare_patches_cpu_ms_each: patches.cpuMsEach,
  };
  return { pace, beside };
}

async function paceOf<R extends BareResult>(
  child: Child,
  name: string,
  loop: Loop,
): Promise<Pace & { readonly result: R }> {
  const before = await child.ask<Usage>('usage');
  const result = await child.ask<R>(name, loop);
  const after = await child.ask<Usage>('usage');
  const { length } = loop.clients;
  return { perS: length / result.seconds, cpuMsEach: (after.cpuMs - before.cpuMs) / length, result };
}

/** A step that was repeated has made its key twice. */
const REPEATED = 0.01;

/**
 * A rotation makes one key; a worker one more, to see that the issuer refuses it, for each of the proofs that come first.
 * @throws when more were made than that
 */
async function checkStock(worker: Child, rotations: number, firstProofs: number): Promise<void> {
  const { keysMade } = await worker.ask<WorkerUsage>('usage');
  const stock = keysMade - rotations * (1 + REPEATED) - firstProofs;
  if (stock > 0) throw new Error(`some ${Math.ceil(stock)} keys were made before the round began`);
}

export function scaled(setting: Setting, { quick }: Scale): Setting {
  return quick ? { ...setting, clients: Math.ceil(setting.clients / 10) } : setting;
}
