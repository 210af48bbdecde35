/**
 * A worker that takes the shell's steps one point at a time, so that it can die, or be overtaken, between any two. Bad luck may befall every effect.
 */

import type { Action, Owner } from '../../src/core/action.ts';
import { chosen } from '../../src/core/choosing.ts';
import { delivered, generated, notDelivered } from '../../src/core/delivering.ts';
import { fail, turnBack } from '../../src/core/ending.ts';
import { observed } from '../../src/core/enrolment.ts';
import { heard } from '../../src/core/heard.ts';
import { activeKey, keyOf, type ManagedKey } from '../../src/core/keys.ts';
import { plan } from '../../src/core/plan.ts';
import type { ClientPolicy, Context } from '../../src/core/policy.ts';
import { destroyed, provedNew, provedOld, takenRefused, takenUnproven, unprovable } from '../../src/core/proving.ts';
import { announced, patched, type Sending, served, servingAnnounced, settled } from '../../src/core/publishing.ts';
import { delayed } from '../../src/core/readiness.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { ripen } from '../../src/core/retirement.ts';
import { incomingKid, type Rotation } from '../../src/core/rotation.ts';
import { failedStep, throttledStep } from '../../src/core/setback.ts';
import { standbyDropped, standbyFailed, standbyLeft, standbyMade, standbyTaken } from '../../src/core/standby.ts';
import type { Transition } from '../../src/core/transition.ts';
import { afterFailure } from '../../src/core/tries.ts';
import { answer, GOOD_LUCK, judge, type Luck, PATCH_TIMEOUT } from './luck.ts';
import type { Held, World } from './world.ts';

/** Where a worker can die, or be overtaken. */
export type Point = 'planned' | 'announced' | 'acted';

/** One turn of the shell's loop. A refused commit ends it. */
export function* turn(world: World, policy: ClientPolicy, luck: Luck): Generator<Point, Action> {
  const held = world.claim();
  const record = ripen(held.record, world.now);
  const action = plan(record, policy, world.now);
  if (action.do === 'wait' || action.do === 'done') return action;
  const worker: Worker = { world, policy, luck, held, record };
  yield 'planned';
  switch (action.do) {
    case 'patch':
      yield* sendPatch(worker, action);
      return action;
    case 'serve':
      yield* serveSet(worker, action);
      return action;
    default: {
      const { change, also } = act(worker, action);
      yield 'acted';
      world.commit(held, change, action.do, also);
      return action;
    }
  }
}

/** The next thing that the plan asks for. */
export function take(world: World, policy: ClientPolicy, luck = GOOD_LUCK): Action {
  const run = turn(world, policy, luck);
  let action = run.next();
  while (!action.done) action = run.next();
  return action.value;
}

/** Everything that the plan asks for, until it has nothing left to ask for. */
export function play(world: World, policy: ClientPolicy, luck = GOOD_LUCK): void {
  for (let turns = 0; turns < 100; turns += 1) {
    const action = take(world, policy, luck);
    if (action.do === 'done') return;
    if (action.do === 'wait') world.pass(action.until - world.now);
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

/** What is committed, and what changes with it in the same transaction. */
interface Outcome {
  readonly change: Transition;
  readonly also?: () => void;
}

type Plain = Exclude<Action, { do: 'patch' | 'serve' | 'wait' | 'done' }>;

function act(worker: Worker, action: Plain): Outcome {
  const { world, policy, luck, record } = worker;
  const context = contextOf(worker);
  switch (action.do) {
    case 'fail':
      return { change: fail(record, rotationOf(record), action.why, context) };
    case 'turn_back': {
      const rotation = rotationOf(record);
      return { change: turnBack(record, rotation, incomingKid(rotation) ?? '', action.why) };
    }
    case 'choose':
      return choose(worker, action.rotation);
    case 'generate': {
      if (luck.make === 'fails') return { change: failedStep(record, 'rotation', 'no KEK can be had', context) };
      const key = world.make(action.rotation.alg);
      return {
        change: generated(record, action.rotation, key, context),
        also: () => world.sealed.add(key.thumbprint),
      };
    }
    case 'make_standby': {
      if (luck.make === 'fails') {
        const why = 'no KEK can be had';
        return { change: { record: standbyFailed(record, (tries) => afterFailure(tries, why, context)), entries: [] } };
      }
      const key = world.make(action.alg);
      return { change: standbyMade(record, key, context), also: () => world.sealed.add(key.thumbprint) };
    }
    case 'take_standby':
      return { change: { record: standbyTaken(record, action.rotation, action.kid, world.now), entries: [] } };
    case 'leave_standby':
      return { change: { record: standbyLeft(record, action.why), entries: [] } };
    case 'drop_standby':
      return {
        change: standbyDropped(record, action.kid, context),
        also: () => world.sealed.delete(keyOf(record, action.kid).thumbprint),
      };
    case 'deliver':
      return { change: deliver(worker, action) };
    case 'look':
      if (luck.look === 'fails') return { change: failedStep(record, action.owner, 'no answer', context) };
      return { change: observed(record, world.show(), policy, world.now) };
    case 'settle':
      return { change: settled(record, action, context) };
    case 'prove_new':
      return proveNew(worker, action.kid);
    case 'prove_old':
      return proveOld(worker, action);
    case 'take_unproven':
      return { change: takenUnproven(record, action.kid), also: () => world.proven.add(action.kid) };
    case 'take_refused': {
      const { kid } = action.old;
      if (kid !== null && policy.prove === 'required') throw new Error(`${kid} is taken as refused without a proof`);
      return { change: takenRefused(record, action.old), also: () => noteRefused(worker, kid) };
    }
    case 'hear':
      return { change: heard(record, world.hear(), context) };
    case 'tell_delay':
      return { change: delayed(record, action.old, action.why, world.now) };
    case 'destroy': {
      const { kid } = action.old;
      return {
        change: destroyed(record, action.old, context),
        also: () => kid !== null && world.sealed.delete(keyOf(record, kid).thumbprint),
      };
    }
    default:
      return action satisfies never;
  }
}

function rotationOf({ rotation }: ClientRecord): Rotation {
  if (rotation === null) throw new Error('the plan speaks of a rotation, and there is none');
  return rotation;
}

function deliver(worker: Worker, { delivery, owner }: Extract<Action, { do: 'deliver' }>): Transition {
  const { world, luck, record } = worker;
  const reached = luck.sinks === 'ok' ? world.sinks.length : luck.sinks;
  for (let index = 0; index < reached; index += 1) {
    world.sinks[index] = delivery;
    world.happened(`sink ${index} holds ${JSON.stringify(delivery)}`);
  }
  const context = contextOf(worker);
  if (luck.sinks === 'ok') return delivered(record, delivery, owner, context);
  return notDelivered(record, owner, 'a sink failed', context);
}

function proveNew(worker: Worker, kid: string): Outcome {
  const { world, record, luck } = worker;
  const context = contextOf(worker);
  if (luck.proof === 'cannot be opened') {
    return { change: failedStep(record, 'rotation', 'its KEK is missing', context) };
  }
  const verdict = judge(world, luck, keyOf(record, kid), kid);
  if (verdict.verdict === 'accepted') world.proven.add(kid);
  return { change: provedNew(record, kid, verdict, context) };
}

function proveOld(worker: Worker, action: Extract<Action, { do: 'prove_old' }>): Outcome {
  const { record, luck } = worker;
  const { kid, name, old } = action;
  const context = contextOf(worker);
  const change =
    luck.proof === 'cannot be opened'
      ? unprovable(record, old, 'its KEK is missing', context)
      : provedOld(record, action, judge(worker.world, luck, keyOf(record, kid), name), context);
  const isRefused = change.record.retirements.some((other) => other.kid === kid && other.phase === 'refused');
  return { change, also: () => isRefused && noteRefused(worker, kid) } satisfies Outcome & { also: unknown };
}

function noteRefused({ world, record }: Worker, kid: string | null): void {
  if (kid !== null) world.refused.add(keyOf(record, kid).id);
}

/** The old key counts where it signs in, else the new one. Where the server refuses both, or the old one is foreign, neither does. */
function choose(worker: Worker, rotation: Rotation): Outcome {
  const { world, record, luck } = worker;
  const context = contextOf(worker);
  const old = activeKey(record);
  const kid = incomingKid(rotation);
  const tried = (key: ManagedKey) => judge(world, luck, key, key.kid);
  if (old !== undefined && tried(old).verdict === 'accepted')
    return { change: chosen(record, rotation, 'old', context) };
  if (kid === null) return { change: chosen(record, rotation, 'neither', context) };
  const verdict = tried(keyOf(record, kid));
  switch (verdict.verdict) {
    case 'accepted':
      return { change: chosen(record, rotation, 'new', context), also: () => world.proven.add(kid) };
    case 'refused':
      return { change: chosen(record, rotation, 'neither', context) };
    case 'throttled': {
      const wait = { ms: verdict.retryAfterMs, why: verdict.message };
      return { change: throttledStep(record, 'rotation', wait, context) };
    }
    case 'unknown':
      return { change: failedStep(record, 'rotation', verdict.message, context) };
    default:
      return verdict satisfies never;
  }
}

function* sendPatch(worker: Worker, sending: Sending): Generator<Point, void> {
  const { world, luck, record } = worker;
  const { document, purpose } = sending;
  const deadline = world.now + PATCH_TIMEOUT;
  const kids = document.format === 'jwks' ? document.keys.map(({ jwk }) => jwk.kid) : document.format;
  const change = announced(record, sending, { now: world.now, deadline, policy: worker.policy });
  const intended = world.commit(worker.held, change, `announced ${purpose} ${JSON.stringify(kids)}`);
  if (intended === null) return;
  yield 'announced';
  const outcome = answer(world, luck, document, deadline);
  yield 'acted';
  world.commit(intended, patched(intended.record, sending, outcome, 25, contextOf(worker)), `patched ${luck.patch}`);
}

function* serveSet(worker: Worker, action: Extract<Action, { do: 'serve' }>): Generator<Point, void> {
  const { world, luck, record } = worker;
  const { keys, purpose, owner } = action;
  const kids = keys.map((key) => key.kid ?? key.kty);
  const intended = world.commit(
    worker.held,
    servingAnnounced(record, action, { now: world.now, policy: worker.policy }),
    `serving ${purpose} ${kids}`,
  );
  if (intended === null) return;
  yield 'announced';
  if (luck.serving !== 'fails') {
    world.servedSet = keys;
    world.noteSent(keys);
    world.happened(`served ${kids}`);
  }
  yield 'acted';
  const change =
    luck.serving === 'ok' ? served(intended.record, keys, owner) : notServed(intended.record, owner, worker);
  world.commit(intended, change, `served ${luck.serving}`);
}

function notServed(record: ClientRecord, owner: Owner, worker: Worker): Transition {
  return failedStep(record, owner, 'the folder cannot be written', contextOf(worker));
}
