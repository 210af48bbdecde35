import type { Job } from 'bullmq';
import { type Queues, slotJobId } from '../../jobs/queues.ts';
import { type ClientRef, makeReference } from '../../src/core/client.ts';
import type { ObservedClient } from '../../src/core/document.ts';
import { enrolled, found, imported } from '../../src/core/enrolment.ts';
import { desiredDelivery } from '../../src/core/signers.ts';
import { andThen } from '../../src/core/transition.ts';
import { RekeydError } from '../../src/errors.ts';
import { inParallel } from '../../src/parallel.ts';
import { commitOf } from '../../src/rotation/commit.ts';
import { clientPolicy } from '../../src/rotation/policy.ts';
import { until } from '../support/patient.ts';
import { type Figure, judge, medians } from './figure.ts';
import type { BareResult } from './lanes.ts';
import { onStage, type Stage } from './stage.ts';
import type { WorkerUsage } from './worker-child.ts';

const CLIENTS = 100_000;
const APPS = 20;
const DUE = 100;
const LANES = 500;
const LONG_AGO_MS = 365 * 24 * 3_600_000;
const PATIENCE_MS = 120_000;
/** How much more the last sweep may hold than the first: "flat". */
const GROWTH = 1.1;

/** The sweep alone, and the memory of what follows it too: what it starts stays in a paused queue. */
export const p5: Figure = {
  ids: ['P5', 'P5-rss'],
  async measure({ rounds, quick }) {
    const setting = {
      appendfsync: 'everysec',
      strategy: 'overlap',
      clients: quick ? CLIENTS / 10 : CLIENTS,
      apps: APPS,
      concurrency: 10,
    } as const;
    const measured = await onStage(setting, async (stage) => {
      const seeds = await seed(stage);
      // Spread over all apps, as a splay does.
      const due = seeds.filter((_, index) => index % (seeds.length / DUE) === 0);
      await stage.queues.rotateQueue(deploymentOf(stage)).pause();
      const worker = await stage.startWorker();
      await sweep(stage, 'warm-up');
      await discovery(stage, 'warm-up');
      const all: { sweep_s: number; peak_mib: number; bare_lists_s: number; discover_s: number }[] = [];
      for (let round = 0; round < rounds; round += 1) {
        const bare = await stage.bare.ask<BareResult>('lists', stage.apps);
        await inParallel(due, LANES, (one) => store(stage, one, LONG_AGO_MS));
        await worker.ask('resetPeak');
        const { seconds, started } = await sweep(stage, `round-${round}`);
        if (started !== DUE) throw new Error(`the sweep started ${started} rotations, not ${DUE}`);
        const discover_s = await discovery(stage, `round-${round}`);
        const { peakRssMiB } = await worker.ask<WorkerUsage>('usage');
        all.push({ sweep_s: seconds, peak_mib: peakRssMiB, bare_lists_s: bare.seconds, discover_s });
      }
      return all;
    });
    const { bare_lists_s, discover_s } = medians(measured);
    const what = `sweep over ${setting.clients} clients with ${DUE} due`;
    const peaks = measured.map(({ peak_mib }) => peak_mib);
    const times = measured.map(({ sweep_s }) => sweep_s);
    const growth = (peaks.at(-1) ?? 0) / (peaks[0] ?? 1);
    const memory = judge(
      { id: 'P5-rss', what: `${what}: peak memory, flat`, unit: 'MiB', goal: 256, baseline: { growth } },
      peaks,
    );
    return [
      judge({ id: 'P5', what, unit: 's', goal: 1, baseline: { discover_s, bare_lists_s } }, times),
      { ...memory, met: memory.met && growth <= GROWTH },
    ];
  },
};

interface Seed {
  readonly ref: ClientRef;
  readonly client: ObservedClient;
}

function deploymentOf({ resources }: Stage): string {
  return resources.config.deployments[0]?.id ?? '';
}

/** Every client of the server, in the store with a key that was made just now. */
async function seed(stage: Stage): Promise<Seed[]> {
  const deployment = deploymentOf(stage);
  const seeds: Seed[] = [];
  for (const app of Object.keys(stage.server.ready.clients)) {
    const list = await stage.resources.deployments.get(deployment)?.wacht.listClients(app);
    for (const client of list?.clients ?? []) seeds.push({ ref: makeReference(deployment, app, client.id), client });
  }
  await inParallel(seeds, LANES, (one) => store(stage, one, 0));
  await stage.resources.guard.remember();
  return seeds;
}

/** Writes the record of a client that was imported and enrolled `ageMs` ago, in place of the one before. */
async function store({ resources }: Stage, { ref, client }: Seed, ageMs: number): Promise<void> {
  const policy = clientPolicy(resources, ref);
  const [published] = client.keys;
  if (policy === null || published === undefined) throw new RekeydError('not_found', ref);
  const { kty, crv, x, y, public_key_pem: pem } = published.jwk;
  const id = published.pemId;
  if (id === null || typeof pem !== 'string') throw new RekeydError('not_found', ref);
  const loaded = ageMs === 0 ? null : await resources.store.load(ref);
  const at = Date.now() - ageMs;
  const cause = { actor: 'bench', reason: 'seed', request: null };
  const key = { id, alg: 'ES256', thumbprint: 'seed', jwk: { kty, crv, x, y }, pem } as const;
  const held = andThen(found(ref, client, cause, at), (record) => imported(record, key, cause, at));
  const taken = andThen(held, (record) => enrolled(record, cause));
  const signers = { ...taken.record.signers, delivered: desiredDelivery(taken.record) };
  const change = { ...taken, record: { ...taken.record, signers } };
  await resources.store.commit(commitOf(change, policy, { from: loaded, durable: false }));
}

async function sweep({ queues }: Stage, slot: string): Promise<{ seconds: number; started: number }> {
  const id = slotJobId('sweep', 'default', slot);
  await queues.addUpkeep('sweep', { v: 1, policy: 'default', slot, reindex: false }, id);
  const job = await ended(queues, id);
  return { seconds: ((job.finishedOn ?? 0) - job.timestamp) / 1000, started: job.returnvalue.started };
}

/** The seconds that the reading of all lists took which follows a sweep: part of the memory, and not of the time to what is due. */
async function discovery({ queues }: Stage, slot: string): Promise<number> {
  const job = await ended(queues, slotJobId('discover', 'default', slot));
  return ((job.finishedOn ?? 0) - job.timestamp) / 1000;
}

async function ended({ upkeep }: Queues, id: string): Promise<Job> {
  const job = await until(
    `job ${id} ends`,
    async () => {
      const found = await upkeep.getJob(id);
      return found?.finishedOn !== undefined && found;
    },
    PATIENCE_MS,
  );
  if (job.failedReason) throw new Error(job.failedReason);
  return job;
}
