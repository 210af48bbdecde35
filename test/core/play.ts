/** Plays a story out in a simulated world, and checks on the way what rekeyd promises. */

import { enroll, signsWith } from '../../src/core/adoption.ts';
import { whyDue } from '../../src/core/due.ts';
import { observed } from '../../src/core/enrolment.ts';
import { heard } from '../../src/core/heard.ts';
import { activeKey } from '../../src/core/keys.ts';
import { plan } from '../../src/core/plan.ts';
import type { ClientPolicy } from '../../src/core/policy.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { abandon, request } from '../../src/core/request.ts';
import { ripen } from '../../src/core/retirement.ts';
import { rollback } from '../../src/core/rollback.ts';
import { incomingKid } from '../../src/core/rotation.ts';
import { hasCode } from '../../src/errors.ts';
import { GOOD_LUCK, type Luck, PATCH_TIMEOUT } from './luck.ts';
import { addForeignKey, putBack, takeForeignKey } from './people.ts';
import { checkHalt, Promises, wrong } from './promises.ts';
import type { Incident, Story } from './story.ts';
import {
  asked,
  client,
  enrolledRecord,
  foundRecord,
  HOUR,
  heldRecord,
  idOf,
  OPERATOR,
  POLICY,
  published,
  THEIR_URI,
} from './support.ts';
import { type Point, turn } from './worker.ts';
import { type Signer, World } from './world.ts';

/** How long a step takes, in ms. */
const TICK = 20;

/** More turns than any calm future has, and more than ever happen without time going on. */
const MOST_TURNS = 400;
const MOST_TURNS_AT_ONCE = 60;

/** Longer than any rotation takes with all of its waits, and the retirement after it. */
const CALM = 2 * HOUR;

/** Turns that a worker may need, beyond the time for the proof, to put the old key back. */
const MOST_TURNS_UNPROVEN = 12;

/** What keeps a previous key from being put back. */
const REFUSALS = ['under_way', 'not_found', 'key_invalid', 'not_eligible'] as const;

function begin({ mode, start }: Pick<Story, 'mode' | 'start'>): ClientRecord {
  const foreign = published('foreign-1', start === 'found, no alg registered' ? 'RS256' : 'ES256');
  const own = client({ keys: [published('a'), published('a', 'ES256', 'alias'), foreign] });
  switch (start) {
    case 'enrolled':
      return enrolledRecord(own);
    case 'enrolled, at its own address':
      return enrolledRecord(mode === 'first' ? own : client({ keys: [], jwksUri: THEIR_URI }));
    case 'held':
      return heldRecord(own);
    case 'found':
      return foundRecord(client({ keys: [foreign] }));
    case 'found, no alg registered':
      return foundRecord(client({ keys: [foreign], alg: null }));
    default:
      return start satisfies never;
  }
}

export class Play {
  readonly world: World;
  readonly #promises: Promises;
  #policy: ClientPolicy;
  /** It began with a foreign key alone. */
  readonly #isFound: boolean;
  #asked = 0;
  /** Of a cutover without a proof: which, how long workers have worked on it, and their turns since it should have been proven. */
  #unproven = { at: 0, workedMs: 0, turns: 0 };
  /** Turns in a row in which the API did what it was asked for, and an old key was still not back. */
  #notBack = 0;

  constructor({ mode, start, policy }: Story) {
    this.#policy = { ...POLICY, ...policy };
    const record = begin({ mode, start });
    this.#promises = new Promises(record);
    this.#isFound = record.enrolment === 'found';
    this.#promises.excuses.untouchable = record.enrolment !== 'enrolled';
    this.#promises.excuses.mayReplace = record.enrolment !== 'found';
    // Its set is its own affair: there are no foreign keys on the server.
    this.#promises.excuses.foreignMayGo = record.server.observed.client.jwksUri !== null;
    this.world = new World(mode, record, (world, what) => this.#promises.check(world, what, this.#policy));
    this.#fitPolicy();
  }

  happen(incident: Incident): void {
    const { world } = this;
    world.trace.push(`-- ${JSON.stringify(incident)}`);
    switch (incident.do) {
      case 'work':
        for (let time = 0; time < incident.turns; time += 1) this.#work(incident.luck, incident.diesAt);
        break;
      case 'race':
        this.#race(incident);
        break;
      case 'look':
        this.#look();
        break;
      case 'pass':
        world.pass(incident.ms);
        break;
      case 'ask':
        for (let time = 0; time < incident.times; time += 1) this.#ask(null, incident.takeOver);
        break;
      case 'sweep':
        if (whyDue(world.record, this.#policy, world.now) !== null) {
          this.#ask(null, this.#policy.adopt === 'take_over');
        }
        break;
      case 'signer':
        this.#hear(incident.is);
        break;
      case 'enroll':
        this.#enroll();
        break;
      case 'report':
        this.#report(incident.which);
        break;
      case 'abandon':
        this.#abandon();
        break;
      case 'roll back':
        this.#rollBack();
        break;
      case 'compromise':
        this.#compromise(incident.what, incident.keepStandby);
        break;
      case 'policy':
        this.#policy = { ...this.#policy, ...incident.change };
        this.#fitPolicy();
        break;
      case 'foreign key':
        addForeignKey(world, this.#promises.excuses);
        break;
      case 'foreign key goes':
        takeForeignKey(world, this.#promises.excuses);
        break;
      case 'put back':
        putBack(world, this.#promises.excuses, incident.underItsName);
        break;
      case 'client is switched':
        world.server.active = incident.active;
        break;
      default:
        incident satisfies never;
    }
  }

  /**
   * A policy must be true of its server. One that takes the first key knows no `jwks_uri`. Nothing but a proof shows what that one takes, or one that
   * goes on with an address of the client's own.
   */
  #fitPolicy(): void {
    const { format } = this.#policy;
    if (this.world.mode === 'first') {
      this.#policy = { ...this.#policy, prove: 'required', format: format === 'jwks_uri' ? 'jwks' : format };
    }
    const { excuses } = this.#promises;
    if (this.world.mode === 'kid, uri wins' && this.world.theirSet.length > 0) {
      this.#policy = { ...this.#policy, prove: 'required' };
    }
    const isReplaced = this.#policy.format === 'pem' && this.#isFound;
    excuses.foreignMayGo ||= this.#policy.foreignKeys === 'retire' || isReplaced;
  }

  #work(luck: Luck, diesAt: Point | null): void {
    const { world } = this;
    this.#planTwice();
    const began = world.now;
    const run = turn(world, this.#policy, luck);
    for (let at = run.next(); at.value !== diesAt; at = run.next()) {
      if (!at.done) world.pass(TICK);
      else if (at.value.do === 'wait') world.pass(Math.max(1, at.value.until - world.now));
      if (at.done) break;
    }
    if (diesAt !== null) return;
    this.#checkUnproven(world.now - began);
    this.#checkBack(luck);
  }

  /** After a cutover nobody signs in with the old key: what is not proven in time is taken back, whatever kept us from proving it. */
  #checkUnproven(workedMs: number): void {
    const { world } = this;
    const { rotation, halted } = world.record;
    if (rotation?.phase.name !== 'cut_over' || rotation.compromised !== null || halted !== null) return;
    const { at } = rotation.phase;
    const { proveWithinMs } = this.#policy;
    if (at !== this.#unproven.at) this.#unproven = { at, workedMs: 0, turns: 0 };
    this.#unproven.workedMs += workedMs;
    if (world.now > at + proveWithinMs) this.#unproven.turns += 1;
    // One effect may be under way when the time is over.
    const isLate = this.#unproven.workedMs > proveWithinMs + PATCH_TIMEOUT + 10 * TICK;
    if (isLate || this.#unproven.turns > MOST_TURNS_UNPROVEN) wrong(world, 'the old key was not put back in time');
  }

  /** A new key that failed leaves the server, and a cutover whose answer was lost is asked for again: only the API may keep them waiting. */
  #checkBack({ look, patch, serving }: Luck): void {
    const { world } = this;
    const { rotation, halted, server } = world.record;
    const { name } = rotation?.phase ?? {};
    const isSent = rotation?.strategy === 'cutover' && rotation.compromised === null && rotation.before !== null;
    const isMeant = name === 'reverting' || (name === 'delivered' && isSent && rotation.abandoned === null);
    const mayBeSent = world.now >= Math.max(rotation?.tries.notBefore ?? 0, server.inFlight?.deadline ?? 0);
    const isApiWell = look === 'ok' && patch === 'ok' && serving === 'ok';
    this.#notBack = isMeant && mayBeSent && isApiWell && halted === null ? this.#notBack + 1 : 0;
    if (this.#notBack > MOST_TURNS_UNPROVEN) wrong(world, 'nothing is done about what the server refuses');
  }

  /** The same record gives the same step and the same bytes. */
  #planTwice(): void {
    const { world } = this;
    const [one, two] = [world.claim(), world.claim()].map(({ record }) =>
      JSON.stringify(plan(ripen(record, world.now), this.#policy, world.now)),
    );
    if (one !== two) wrong(world, 'the plan depends on more than the record');
  }

  #race({ luck, rival, at }: Extract<Incident, { do: 'race' }>): void {
    const overtaken = turn(this.world, this.#policy, luck);
    for (let point = overtaken.next(); point.value !== at; point = overtaken.next()) if (point.done) return;
    const other = turn(this.world, this.#policy, rival);
    while (!other.next().done);
    while (!overtaken.next().done);
  }

  /** @returns the rotation that answers; null when the client is to be left alone */
  #ask(compromised: { readonly kid: string | null } | null, takeOver: boolean, keepStandby = false): string | null {
    this.#asked += 1;
    const { world } = this;
    const held = world.claim();
    const { enrolment } = held.record;
    try {
      const asking = { ...asked(`r${this.#asked}`, compromised, takeOver), keepStandby };
      const started = request(held.record, asking, this.#policy, world.now);
      const { excuses } = this.#promises;
      if (takeOver || compromised !== null) excuses.mayReplace = true;
      if (excuses.mayReplace || started.record.rotation?.adopting) excuses.untouchable = false;
      world.commit(held, started, `asked ${started.rotation} ${JSON.stringify(compromised)}`);
      return started.rotation;
    } catch (error) {
      const running = held.record.rotation;
      const isOther = running?.abandoned != null || running?.rollsBack !== undefined;
      const isEnding = hasCode(error, 'under_way') && isOther;
      const isLeftAlone = hasCode(error, 'not_enrolled') && enrolment !== 'enrolled' && !takeOver;
      if (isEnding || isLeftAlone) return null;
      throw error;
    }
  }

  #hear(signer: Signer): void {
    const { world } = this;
    world.become(signer);
    const held = world.claim();
    const change = heard(held.record, world.hear(), { policy: this.#policy, now: world.now });
    if (change.record.enrolment !== held.record.enrolment) this.#mayEnroll(held.record);
    world.commit(held, change, 'heard');
  }

  /** A report has enrolled the client of this record. */
  #mayEnroll({ enrolment, rotation }: ClientRecord): void {
    if (enrolment === 'found' && rotation?.phase.name !== 'offered')
      wrong(this.world, 'enrolled by a key that is not offered');
    Object.assign(this.#promises.excuses, { untouchable: false, mayReplace: true });
  }

  #enroll(): void {
    const { world } = this;
    const { rotation } = world.record;
    const isOffered = rotation?.phase.name === 'offered';
    if (activeKey(world.record) === undefined && !isOffered) return;
    Object.assign(this.#promises.excuses, { untouchable: false, mayReplace: true });
    world.tell('enrolled', (record) => enroll(record, OPERATOR, { policy: this.#policy, now: world.now }));
  }

  #report(which: Extract<Incident, { do: 'report' }>['which']): void {
    const { world } = this;
    const { rotation } = world.record;
    const ours = incomingKid(rotation) ?? activeKey(world.record)?.kid ?? 'none';
    const cause = { ...OPERATOR, actor: 'signer' };
    const context = { policy: this.#policy, now: world.now };
    const held = world.claim();
    const change = signsWith(held.record, which === 'ours' ? ours : 'unknown', cause, context);
    if (change.record === held.record) return;
    if (which === 'unknown') wrong(world, 'a key that nobody knows has enrolled a client');
    this.#mayEnroll(held.record);
    world.commit(held, change, 'reported');
  }

  #abandon(): void {
    const { world } = this;
    const { rotation } = world.record;
    // Where a foreign key leaked there is nothing to go back to: a document cannot be empty.
    if (rotation === null || (rotation.compromised !== null && activeKey(world.record) === undefined)) return;
    try {
      world.tell('abandoned', (record) => abandon(record, OPERATOR));
      this.#promises.excuses.abandoned = true;
    } catch (error) {
      if (!hasCode(error, 'under_way') || rotation.compromised === null || world.record.halted !== null) throw error;
    }
  }

  #rollBack(): void {
    const { world } = this;
    this.#asked += 1;
    const id = `r${this.#asked}`;
    try {
      world.tell('asked to roll back', (record) => rollback(record, { ...OPERATOR, id }, this.#policy, world.now));
    } catch (error) {
      if (!REFUSALS.some((code) => hasCode(error, code))) throw error;
    }
  }

  #compromise(what: Extract<Incident, { do: 'compromise' }>['what'], keepStandby: boolean): void {
    const { world } = this;
    const { record } = world;
    const { rotation, retirements, server } = record;
    const foreign = server.observed.client.keys.filter(({ jwk }) => `${jwk.kid}`.startsWith('foreign'));
    const active = activeKey(record);
    const named = {
      'in use': null,
      active: active?.kid,
      incoming: incomingKid(rotation),
      retiring: retirements[0]?.kid,
      foreign: foreign[0]?.jwk.kid,
      standby: record.standby?.kid,
    };
    const { excuses } = this.#promises;
    Object.assign(excuses, { compromised: true, foreignMayGo: true });
    const kid = typeof named[what] === 'string' ? `${named[what]}` : null;
    const inUse = active === undefined ? foreign.map(({ jwk }) => `${jwk.kid}`) : [active.kid];
    const isLeaving = kid !== null && retirements.some((old) => old.kid === kid);
    const replacedBy = this.#ask({ kid }, false, keepStandby);
    excuses.reported.push({
      ids: kid === null ? inUse.map(idOf) : [idOf(kid)],
      rotation: isLeaving ? null : replacedBy,
    });
  }

  /** What the shell does now and then, also when nothing is under way. */
  #look(): void {
    const { world } = this;
    world.tell('looked', (record) => observed(record, world.show(), this.#policy, world.now));
  }

  /** Nothing fails any more, and time runs on until there is nothing left to do. */
  rest(): void {
    const { world } = this;
    world.trace.push('-- nothing fails any more');
    world.server.active = true;
    world.become('following');
    this.#workOn();
    this.#look();
    this.#workOn();
    if (world.record.halted !== null) {
      checkHalt(world);
      this.#ask(null, true);
      this.#workOn();
    }
    world.pass(PATCH_TIMEOUT);
    if (world.record.halted === null) this.#promises.checkRest(world, this.#policy);
    else if (world.record.rotation?.compromised == null) wrong(world, 'a person could not get it going again');
  }

  #workOn(): void {
    const { world } = this;
    const began = world.now;
    for (let turns = 0, atOnce = 0; ; turns += 1) {
      const { now, version } = world;
      this.#work(GOOD_LUCK, null);
      atOnce = world.now - now > 3 * TICK ? 0 : atOnce + 1;
      const isEndless = turns > MOST_TURNS || atOnce > MOST_TURNS_AT_ONCE || world.now - began > CALM;
      if (isEndless) wrong(world, 'it does not come to rest');
      if (world.version === version && world.now === now) return;
    }
  }
}
