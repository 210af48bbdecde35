/**
 * A worker that takes the shell's steps one point at a time, so that it can die, or be overtaken, between any two. Bad luck may befall every effect.
 */
import { observed } from '../../src/core/adopt.ts';
import type { Change } from '../../src/core/change.ts';
import type { KeyDocument } from '../../src/core/document.ts';
import { destroyed, fail, tryAgain } from '../../src/core/ending.ts';
import { keyOf } from '../../src/core/keys.ts';
import { plan, ripen, type Step } from '../../src/core/plan.ts';
import type { ClientPolicy, Context } from '../../src/core/policy.ts';
import {
  announced,
  delivered,
  generated,
  notDelivered,
  type PatchOutcome,
  patched,
  served,
  servingAnnounced,
  settled,
} from '../../src/core/progress.ts';
import type { Verdict } from '../../src/core/proof.ts';
import { proved, takenUnproven } from '../../src/core/proving.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import type { Held, World } from './world.ts';

/** A PATCH cannot reach the server later than this, in ms after it was announced. */
export const PATCH_TIMEOUT = 10_000;

/** What befalls the next effect of each kind. */
export interface Luck {
  readonly list: 'ok' | 'fails';
  /** How many of the two sinks are written before one fails. */
  readonly sinks: 'ok' | 0 | 1;
  readonly serving: 'ok' | 'fails' | 'fails after writing';
  readonly patch:
    | 'ok'
    | 'lost'
    | 'applied, answer lost'
    | 'late'
    | 'timed out'
    | 'refused'
    | 'credential'
    | 'throttled'
    | 'tampered'
    | 'not found';
  readonly proof: 'ok' | 'unknown' | 'throttled' | 'refused' | 'claims';
  /** In [0, 1): jitter, and how late a late PATCH is. */
  readonly random: number;
}

export const GOOD_LUCK: Luck = { list: 'ok', sinks: 'ok', serving: 'ok', patch: 'ok', proof: 'ok', random: 0.5 };

/** Where a worker can die, or be overtaken. */
export type Point = 'planned' | 'announced' | 'acted';

/** One turn of the shell's loop. A refused commit ends it. */
export function* turn(world: World, policy: ClientPolicy, luck: Luck): Generator<Point, Step> {
  const held = world.claim();
  const record = ripen(held.record, world.now);
  const step = plan(record, policy, world.now);
  if (step.do === 'wait' || step.do === 'done') return step;
  const worker: Worker = { world, policy, luck, held, record };
  yield 'planned';
  switch (step.do) {
    case 'patch':
      yield* sendPatch(worker, step);
      return step;
    case 'serve':
      yield* serveSet(worker, step);
      return step;
    default: {
      const { change, also } = act(worker, step);
      yield 'acted';
      world.commit(held, change, step.do, also);
      return step;
    }
  }
}

/** The next thing that the plan asks for. */
export function take(world: World, policy: ClientPolicy, luck = GOOD_LUCK): Step {
  const run = turn(world, policy, luck);
  let step = run.next();
  while (!step.done) step = run.next();
  return step.value;
}

/** Everything that the plan asks for, until it has nothing left to ask for. */
export function play(world: World, policy: ClientPolicy, luck = GOOD_LUCK): void {
  for (let turns = 0; turns < 100; turns += 1) {
    const step = take(world, policy, luck);
    if (step.do === 'done') return;
    if (step.do === 'wait') world.pass(step.until - world.now);
  }
  throw new Error('does not come to rest');
}

interface Worker {
  readonly world: World;
  readonly policy: ClientPolicy;
  readonly luck: Luck;
  readonly held: Held;
  readonly record: ClientRecord;
}

function contextOf({ world, policy, luck }: Worker): Context {
  return { policy, now: world.now, random: luck.random };
}

type Plain = Exclude<Step, { do: 'patch' | 'serve' | 'wait' | 'done' }>;

function act(worker: Worker, step: Plain): { change: Change; also?: () => void } {
  const { world, policy, luck, record } = worker;
  const context = contextOf(worker);
  switch (step.do) {
    case 'fail':
      if (record.rotation === null) throw new Error('the plan says fail without a rotation');
      return { change: fail(record, record.rotation, step.why, context) };
    case 'generate': {
      const key = world.make(step.rotation.alg);
      return {
        change: generated(record, step.rotation, key, context),
        also: () => world.sealed.add(key.thumbprint),
      };
    }
    case 'deliver': {
      const reached = luck.sinks === 'ok' ? world.sinks.length : luck.sinks;
      for (let index = 0; index < reached; index += 1) {
        world.sinks[index] = step.delivery;
        world.happened(`sink ${index} holds ${JSON.stringify(step.delivery)}`);
      }
      if (luck.sinks === 'ok') return { change: delivered(record, step.delivery, context) };
      return { change: notDelivered(record, 'a sink failed', context) };
    }
    case 'observe':
      if (luck.list === 'fails') return { change: tryAgain(record, context, 'the list cannot be read') };
      return { change: observed(record, world.show(), policy, world.now) };
    case 'settle':
      return { change: settled(record, context) };
    case 'prove': {
      const verdict = judge(worker, step.kid);
      if (verdict.verdict === 'accepted') world.proven.add(step.kid);
      return { change: proved(record, step.kid, step.expect, verdict, context) };
    }
    case 'take_unproven':
      return {
        change: takenUnproven(record, step.kid, step.expect),
        also: () => step.kid !== null && step.expect === 'accepted' && world.proven.add(step.kid),
      };
    case 'destroy': {
      const { kid } = step.retirement;
      return {
        change: destroyed(record, step.retirement, context),
        also: () => kid !== null && world.sealed.delete(keyOf(record, kid).thumbprint),
      };
    }
    default:
      return step satisfies never;
  }
}

function judge({ world, luck, record }: Worker, kid: string): Verdict {
  const { jwk, pem, alg, thumbprint } = keyOf(record, kid);
  if (!world.sealed.has(thumbprint)) throw new Error(`${kid} is to be proven, and its private half is gone`);
  switch (luck.proof) {
    case 'unknown':
      return { verdict: 'unknown', status: 503, message: 'try later' };
    case 'throttled':
      return { verdict: 'throttled', retryAfterMs: 30_000, message: 'slow down' };
    case 'refused':
      return { verdict: 'refused', status: 400, message: 'InvalidSignature', claims: false };
    case 'claims':
      return { verdict: 'refused', status: 401, message: 'invalid_client', claims: true };
    case 'ok': {
      // A server that follows RFC 6749 has one word for every reason; the other one names the signature.
      const claims = world.mode !== 'first';
      if (world.accepts(jwk, pem, alg)) return { verdict: 'accepted' };
      return { verdict: 'refused', status: 401, message: 'no', claims };
    }
    default:
      return luck.proof satisfies never;
  }
}

function* sendPatch(worker: Worker, { document, purpose }: Extract<Step, { do: 'patch' }>): Generator<Point, void> {
  const { world, luck, record } = worker;
  const deadline = world.now + PATCH_TIMEOUT;
  const intended = world.commit(
    worker.held,
    announced(record, document, purpose, deadline),
    `announced ${purpose} ${JSON.stringify(document.jwks?.keys.map((key) => key.kid) ?? Object.keys(document))}`,
  );
  if (intended === null) return;
  yield 'announced';
  const outcome = answer(world, luck, document, deadline);
  yield 'acted';
  const change = patched(intended.record, document, outcome, 25, contextOf(worker));
  world.commit(intended, change, `patched ${luck.patch}`);
}

function answer(world: World, luck: Luck, document: KeyDocument, deadline: number): PatchOutcome {
  // Whoever slept through its own deadline does not send any more.
  if (world.now >= deadline) return { class: 'unknown', status: null, message: 'aborted' };
  const unknown: PatchOutcome = { class: 'unknown', status: 502, message: 'upstream' };
  switch (luck.patch) {
    case 'ok':
      world.apply(document, 'PATCH');
      return { class: 'done', status: 200, client: world.show() };
    case 'tampered':
      world.apply(document, 'PATCH');
      return { class: 'done', status: 200, client: { ...world.show(), keys: [], jwksUri: null } };
    case 'applied, answer lost':
      world.apply(document, 'PATCH');
      return unknown;
    case 'lost':
      return unknown;
    case 'late':
      world.late.push({ document, arrivesAt: world.now + Math.floor(luck.random * (deadline - world.now)) });
      return unknown;
    case 'timed out':
      world.late.push({ document, arrivesAt: world.now + Math.floor(luck.random * (deadline - world.now)) });
      world.pass(deadline - world.now);
      return { class: 'unknown', status: null, message: 'timed out' };
    case 'refused':
      return { class: 'refused', status: 400, message: 'no' };
    case 'not found':
      return { class: 'refused', status: 404, message: 'no such client' };
    case 'credential':
      return { class: 'credential', status: 401, message: 'who are you?' };
    case 'throttled':
      return { class: 'throttled', status: 429, message: 'slow down', retryAfterMs: 60_000 };
    default:
      return luck.patch satisfies never;
  }
}

function* serveSet(worker: Worker, { keys, purpose }: Extract<Step, { do: 'serve' }>): Generator<Point, void> {
  const { world, luck, record } = worker;
  const kids = keys.map((key) => key.kid ?? key.kty);
  const intended = world.commit(worker.held, servingAnnounced(record, purpose), `serving ${purpose} ${kids}`);
  if (intended === null) return;
  yield 'announced';
  if (luck.serving !== 'fails') {
    world.servedSet = keys;
    world.happened(`served ${kids}`);
  }
  yield 'acted';
  const change =
    luck.serving === 'ok'
      ? served(intended.record, keys, worker.policy)
      : tryAgain(intended.record, contextOf(worker), 'the folder cannot be written');
  world.commit(intended, change, `served ${luck.serving}`);
}
