/** What sealing the audit log costs a worker, beside the rotations that the log is about. */
import { openSealer } from '../../src/audit/seal.ts';
import { keksOf } from '../../src/rotation/policy.ts';
import { type Figure, judge, medians } from './figure.ts';
import { rotateFleet } from './fleet.ts';
import { onStage } from './stage.ts';

const CLIENTS = 200;
/** Entries that are sealed at once. */
const SEALED = 20_000;
const PAGE = 100;

interface Round {
  readonly cpu_us_of_sealing_an_entry: number;
  readonly entries_of_a_rotation: number;
  readonly cpu_ms_of_a_rotation: number;
}

export const p16Seal: Figure = {
  ids: ['P16-seal'],
  async measure({ rounds, quick }) {
    const all: Round[] = [];
    for (let round = 0; round < rounds; round += 1) all.push(await measured(quick));
    const what = 'CPU of sealing the entries of a rotation, as a share of the CPU of the rotation';
    return [
      judge(
        { id: 'P16-seal', what, unit: '%', goal: 5, baseline: medians(all) },
        all.map(
          (one) =>
            (one.cpu_us_of_sealing_an_entry * one.entries_of_a_rotation) / (one.cpu_ms_of_a_rotation * 1000) / 0.01,
        ),
      ),
    ];
  },
};

function measured(quick: boolean): Promise<Round> {
  const clients = quick ? CLIENTS / 10 : CLIENTS;
  return onStage({ appendfsync: 'everysec', strategy: 'overlap', clients, concurrency: 10 }, async (stage) => {
    const { store, config } = stage.resources;
    const worker = await stage.startWorker();
    await rotateFleet(stage, [worker]);
    const before = await store.auditSize();
    const { rotations, cpuMsEach } = await rotateFleet(stage, [worker]);
    const after = await store.auditSize();
    await worker.stop();
    const like = (await store.auditTail(PAGE)).flatMap(({ seq: _, time: __, ...draft }) =>
      draft.type.startsWith('audit.') ? [] : [draft],
    );
    const seal = openSealer(store, { holder: 'bench', leaseMs: 60_000, keks: keksOf(config) }).run;
    await seal();
    let entries = 0;
    for (; entries < (quick ? SEALED / 10 : SEALED); entries += like.length) await store.append(like);
    const began = process.cpuUsage();
    const run = await seal();
    const { user, system } = process.cpuUsage(began);
    if (run.kind !== 'sealed') throw new Error(`nothing was sealed: ${run.kind}`);
    return {
      cpu_us_of_sealing_an_entry: (user + system) / entries,
      entries_of_a_rotation: (after - before) / rotations,
      cpu_ms_of_a_rotation: cpuMsEach,
    };
  });
}
