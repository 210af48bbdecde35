import { join } from 'node:path';
import { startChild } from './child.ts';
import type { DeliveryCost, DeliveryOrder } from './delivery-child.ts';
import { type Figure, judge, medians } from './figure.ts';
import { inTemporaryFolder } from './temporary.ts';

const CLIENTS = 300;
const LANES = 10;

/** What the sink costs beyond writing its files: it compares them, bears other workers in the same folder, and removes what a crash left. */
export const p1File: Figure = {
  ids: ['P1-file'],
  async measure({ rounds, quick }) {
    const measured = await inTemporaryFolder(async (folder, later) => {
      const started = async (by: DeliveryOrder['by']) => {
        const clients = quick ? CLIENTS / 10 : CLIENTS;
        const order: DeliveryOrder = { by, folder: join(folder, by), clients, lanes: LANES };
        const child = await startChild('delivery', order);
        later(by, () => child.stop());
        return child;
      };
      const [sink, bare] = [await started('sink'), await started('bare')];
      const both = async () => ({
        bare: await bare.ask<DeliveryCost>('rotate'),
        sink: await sink.ask<DeliveryCost>('rotate'),
      });
      await both(); // warms them up
      const all: Awaited<ReturnType<typeof both>>[] = [];
      for (let round = 0; round < rounds; round += 1) all.push(await both());
      return all;
    });
    const baseline = medians(
      measured.map(({ bare, sink }) => ({
        sink_cpu_ms: sink.cpuMs,
        bare_cpu_ms: bare.cpuMs,
        sink_ms: sink.ms,
        bare_ms: bare.ms,
        sink_fsyncs: sink.fsyncs,
        bare_fsyncs: bare.fsyncs,
      })),
    );
    const ratios = measured.map(({ bare, sink }) => sink.cpuMs / bare.cpuMs);
    return [
      judge(
        {
          id: 'P1-file',
          what: 'CPU of one folder delivery ÷ bare loop of the same files and fsyncs',
          unit: 'ratio',
          bound: 'most',
          goal: 1.3,
          baseline,
        },
        ratios,
      ),
    ];
  },
};
