/** Probes that come by themselves (`probe: auto`): before the first rotation of an app, and every day after that. */
import { policiesOf } from '../src/config/lookup.ts';
import { shortMessage } from '../src/core/reply.ts';
import { messageOf, RekeydError } from '../src/errors.ts';
import type { RotationPolicy } from '../src/rotation/policy.ts';
import { probeApp } from '../src/rotation/probe.ts';
import type { JobContext } from './context.ts';
import { noteOffers } from './due-times.ts';
import { slotJobId } from './queues.ts';
import type { Probe } from './schemas.ts';

/** Servers change: findings count for this long, in ms. A probe that came to nothing is made again sooner. */
const PROBED_FOR_MS = 24 * 3_600_000;
const FAILED_FOR_MS = 3_600_000;

/** At most one job in this time, in ms, for each app. */
const SLOT_MS = 600_000;

/** Nobody has looked yet, and somebody wants it looked at first. A probe that fails is enough: rotations do not wait for ever. */
export function awaitsProbe({ probe, facts }: Pick<RotationPolicy, 'probe' | 'facts'>): boolean {
  return probe === 'auto' && facts.findings === null && facts.failed === null;
}

/** @param app `deployment/slug`. @returns what to say of those who wait for it */
export async function askForProbe(app: string, { resources: { store }, queues }: JobContext): Promise<RekeydError> {
  const slot = Math.floor((await store.now()) / SLOT_MS);
  await queues.addUpkeep('probe', { v: 1, app }, slotJobId('probe', app, String(slot)));
  return new RekeydError('under_way', `${app} is probed before its first rotation (probe: auto).`);
}

/** Asks for the probes of apps if the last one is too old. The first comes with the first rotation. */
export async function probeAgain(context: JobContext): Promise<void> {
  const { config, store } = context.resources;
  for (const { id, apps } of config.deployments) {
    for (const { slug } of apps) {
      if (![...policiesOf(config, id, slug).values()].some(({ probe }) => probe === 'auto')) continue;
      const app = `${id}/${slug}`;
      const until = await countsUntil(app, context);
      if (until !== null && (await store.now()) >= until) await askForProbe(app, context);
    }
  }
}

/** Until when the last probe of an app counts, in ms since the epoch; null when there was none. */
async function countsUntil(app: string, { resources: { store } }: JobContext): Promise<number | null> {
  const { findings, failed } = await store.appFacts(app);
  // Findings end a failure: one that is noted is the newer of the two.
  if (failed !== null) return failed.at + FAILED_FOR_MS;
  return findings === null ? null : findings.at + PROBED_FOR_MS;
}

/** What waits for the first probe of an app goes on, whatever came of it. */
export async function probeJob({ app }: Probe, signal: AbortSignal, context: JobContext): Promise<{ probed: boolean }> {
  const { resources, queues, log } = context;
  const { store, config } = resources;
  const until = await countsUntil(app, context);
  if (until !== null && (await store.now()) < until) return { probed: false };
  const [deployment = '', slug = ''] = app.split('/');
  try {
    const { strategy } = await probeApp(resources, deployment, slug, {
      actor: 'rekeyd',
      reason: 'probe: auto',
      signal,
    });
    if (strategy !== null) await noteOffers(app, resources);
  } catch (error) {
    // Told to stop: it is run again.
    if (signal.aborted) throw error;
    const why = messageOf(error);
    await store.noteFailedProbe(app, shortMessage(why));
    log.warn({ app, error: why }, 'the probe failed: rotations go on as if nobody had probed, and it is tried again');
  }
  if (until === null) {
    const slot = `probed-${await store.now()}`;
    for (const policy of policiesOf(config, deployment, slug).keys())
      await queues.addUpkeep('sweep', { v: 1, policy, slot }, slotJobId('sweep', policy, slot));
  }
  return { probed: true };
}
