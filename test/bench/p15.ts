/** The HTTP API in a process of its own, while a worker beside it rotates a fleet: how long callers wait, and what listeners cost. */
import { setTimeout as delay } from 'node:timers/promises';
import { Pool } from 'undici';
import { MOST_OF_A_CALLER } from '../../src/http/events.ts';
import { makeToken } from '../support/api.ts';
import type { Usage } from './child.ts';
import { type Figure, judge, medians, p99 } from './figure.ts';
import { rotateFleet } from './fleet.ts';
import { onStage, type Setting, type Stage } from './stage.ts';
import { scaled } from './throughput.ts';

const SETTING: Setting = { appendfsync: 'everysec', strategy: 'overlap', clients: 2_000, concurrency: 50 };

const PER_S = 50;
const SECONDS = 20;

const LISTENERS = 500;
const LISTENED_S = 10;

/** Calls of one kind, in ms each. */
interface Calls {
  readonly livez: number[];
  readonly asked: number[];
  /** One in ten again, without `Prefer: respond-async`: answered when its worker has begun the rotation, or by the time the API waits at most. */
  readonly waited: number[];
}

export const p15: Figure = {
  ids: ['P15'],
  async measure(scale) {
    const rounds = await onStage(scaled(SETTING, scale), async (stage) => {
      await stage.startWorker();
      const api = await stage.startApi();
      await rotateFleet(stage, []);
      const all: Calls[] = [];
      for (let round = 0; round < scale.rounds; round += 1) all.push(await whileRotating(stage, api.ready.url ?? ''));
      return all;
    });
    const p99s = rounds.map(({ livez, asked, waited }) => ({
      livez_p99_ms: p99(livez),
      asked_p99_ms: p99(asked),
      waited_p99_ms: p99(waited),
    }));
    const what = `POST /v1/rotations, ${PER_S} a second while a fleet rotates: p99 ÷ p99 of /livez`;
    const baseline = { ...medians(p99s), calls: Math.min(...rounds.map(({ asked }) => asked.length)) };
    const ratios = p99s.map(({ livez_p99_ms: livez, asked_p99_ms: asked }) => asked / livez);
    return [judge({ id: 'P15', what, unit: 'ratio', goal: 3, bound: 'most', baseline }, ratios)];
  },
};

/** Each call at its time, whether or not the ones before are answered. */
async function whileRotating(stage: Stage, url: string): Promise<Calls> {
  const [pool, patient] = [new Pool(url, { connections: 64 }), new Pool(url, { connections: 256 })];
  const headers = await headersFor(stage, 'caller');
  const { prefer: _, ...unhurried } = headers;
  const refs = await stage.resources.store.clientRefs();
  const calls: Calls = { livez: [], asked: [], waited: [] };
  const isOver = new AbortController();
  const fleet = keepRotating(stage, isOver.signal);
  const waiting: Promise<void>[] = [];
  const startedAt = performance.now();
  for (let call = 0; call < PER_S * SECONDS; call += 1) {
    await delay(Math.max(0, startedAt + (call * 1000) / PER_S - performance.now()));
    const body = JSON.stringify({
      v: 1,
      select: { clients: [refs[call % refs.length]] },
      reason: 'benchmark',
      compromised: false,
    });
    waiting.push(
      timed(calls.livez, async () => (await pool.request({ method: 'GET', path: '/livez' })).body.dump()),
      timed(calls.asked, () => post(pool, headers, body)),
    );
    if (call % 10 === 0) waiting.push(timed(calls.waited, () => post(patient, unhurried, body)));
  }
  await Promise.all(waiting);
  isOver.abort();
  await fleet;
  await Promise.all([pool, patient].map((one) => one.close()));
  return calls;
}

async function post(pool: Pool, headers: Record<string, string>, body: string): Promise<void> {
  const answer = await pool.request({ method: 'POST', path: '/v1/rotations', headers, body });
  const text = await answer.body.text();
  if (answer.statusCode !== 202) throw new Error(`POST answered ${answer.statusCode}: ${text}`);
}

async function keepRotating(stage: Stage, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) await rotateFleet(stage, []);
}

async function headersFor(stage: Stage, name: string) {
  const { resources } = stage;
  const token = await makeToken({ resources, config: resources.config }, { name: `${name}-${Date.now()}` });
  // The answer comes when the request is taken: what it came to is asked for later.
  return { authorization: `Bearer ${token}`, 'content-type': 'application/json', prefer: 'respond-async' };
}

async function timed(times: number[], call: () => Promise<unknown>): Promise<void> {
  const startedAt = performance.now();
  await call();
  times.push(performance.now() - startedAt);
}

export const p15Listeners: Figure = {
  ids: ['P15-listeners'],
  async measure({ rounds }) {
    const setting: Setting = { ...SETTING, clients: 100, overlap: '1h' };
    const shares = await onStage(setting, async (stage) => {
      await stage.startWorker();
      const api = await stage.startApi();
      const all: number[] = [];
      for (let round = 0; round < rounds; round += 1)
        all.push(await listening(stage, api.ready.url ?? '', () => api.ask<Usage>('usage')));
      return all;
    });
    const what = `${LISTENERS} listeners (SSE) of rotations under way, on one core`;
    const baseline = { listeners: LISTENERS, seconds: LISTENED_S };
    return [judge({ id: 'P15-listeners', what, unit: '%', goal: 10, baseline }, shares)];
  },
};

/** @returns the part of a core that the API uses while rotations begin that nobody listens to, in percent */
async function listening(stage: Stage, url: string, usage: () => Promise<Usage>): Promise<number> {
  const { store } = stage.resources;
  // One token has so many streams at most.
  const tokens = Math.ceil(LISTENERS / MOST_OF_A_CALLER);
  const all = await Promise.all(Array.from({ length: tokens }, (_, index) => headersFor(stage, `listener-${index}`)));
  const request = { v: 1, select: { all: true }, reason: 'benchmark', actor: 'bench', take_over: true };
  const id = await stage.queues.request(request);
  let rotations: readonly { readonly id: string }[] = [];
  for (; rotations.length === 0; await delay(50)) {
    const job = await stage.queues.requests.getJob(id);
    if (job?.failedReason) throw new Error(job.failedReason);
    rotations = job?.returnvalue?.rotations ?? [];
  }
  const pool = new Pool(url, { connections: LISTENERS, bodyTimeout: 0, headersTimeout: 0 });
  const stop = new AbortController();
  let heard = 0;
  const streams = Array.from({ length: LISTENERS }, async (_, index) => {
    const path = `/v1/rotations/${rotations[index % rotations.length]?.id}/events`;
    const headers = all[index % all.length] ?? {};
    const { statusCode, body } = await pool.request({ method: 'GET', path, headers, signal: stop.signal });
    if (statusCode !== 200) throw new Error(`a listener was answered ${statusCode}: ${await body.text()}`);
    body.on('data', () => {
      heard += 1;
    });
    body.on('error', () => {}); // it is cut below
  });
  await Promise.all(streams);
  await delay(2_000); // all have heard what was before
  const before = await usage();
  for (const ref of (await store.clientRefs()).slice(0, LISTENED_S)) {
    await stage.queues.request({ ...request, select: { clients: [ref] } });
    await delay(1_000);
  }
  const after = await usage();
  stop.abort();
  await pool.destroy();
  if (heard < LISTENERS) throw new Error(`${LISTENERS} listeners heard ${heard} pieces`);
  return ((after.cpuMs - before.cpuMs) / (LISTENED_S * 1000)) * 100;
}
