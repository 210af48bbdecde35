/**
 * Random histories of crashes, answers, clocks and people against a simulated world. What must never happen is checked after every single effect and
 * commit; what must happen in the end, once nothing fails any more.
 */
import fc from 'fast-check';
import { describe, it } from 'vitest';
import { observed } from '../../src/core/adopt.ts';
import { request } from '../../src/core/begin.ts';
import { plan, ripen } from '../../src/core/plan.ts';
import type { ClientPolicy } from '../../src/core/policy.ts';
import { checkHalt, Promises, wrong } from './promises.ts';
import { type Incident, type Story, story } from './story.ts';
import { adoptedRecord, asked, client, managedRecord, material, POLICY, published } from './support.ts';
import { GOOD_LUCK, type Luck, PATCH_TIMEOUT, type Point, turn } from './worker.ts';
import { World } from './world.ts';

/** How long a step takes, in ms. */
const TICK = 20;

/** More turns than any calm future has, and more than ever happen without time going on. */
const MOST_TURNS = 400;
const MOST_TURNS_AT_ONCE = 60;

/** Plays a story out. */
class Play {
  readonly world: World;
  readonly #promises: Promises;
  #policy: ClientPolicy;
  #asked = 0;

  constructor({ mode, start, policy }: Story) {
    this.#policy = { ...POLICY, ...policy };
    const foreign = published('foreign-1', start === 'foreign, no alg registered' ? 'RS256' : 'ES256');
    const record =
      start === 'imported'
        ? managedRecord(this.#policy, client({ keys: [published('a'), foreign] }))
        : adoptedRecord(client({ keys: [foreign], alg: start === 'foreign' ? 'ES256' : null }));
    this.#promises = new Promises(record);
    this.world = new World(mode, record, (world, what) => this.#promises.check(world, what, this.#policy));
    if (start === 'imported') {
      this.world.made.set('a', material('a'));
      this.world.sealed.add('a');
      this.world.proven.add('a');
      this.world.sinks.fill({ current: 'a', next: null, previous: null });
    }
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
        for (let time = 0; time < incident.times; time += 1) this.#ask(null);
        break;
      case 'compromise':
        this.#compromise(incident.what);
        break;
      case 'policy':
        this.#policy = { ...this.#policy, ...incident.change };
        this.#fitPolicy();
        break;
      case 'foreign key':
        this.#addForeignKey();
        break;
      case 'foreign key goes':
        this.#takeForeignKey();
        break;
      default:
        incident satisfies never;
    }
  }

  /** A policy must be true of its server: one that takes the first key knows no `jwks_uri`, and nothing but a proof shows what it takes. */
  #fitPolicy(): void {
    const { format } = this.#policy;
    if (this.world.mode === 'first') {
      this.#policy = { ...this.#policy, prove: 'required', format: format === 'jwks_uri' ? 'jwks' : format };
    }
    const { excuses } = this.#promises;
    excuses.foreignMayGo ||= this.#policy.foreignKeys === 'retire' || this.#policy.format === 'pem';
  }

  #work(luck: Luck, diesAt: Point | null): void {
    const { world } = this;
    this.#planTwice();
    const run = turn(world, this.#policy, luck);
    for (let at = run.next(); at.value !== diesAt; at = run.next()) {
      if (!at.done) world.pass(TICK);
      else if (at.value.do === 'wait') world.pass(Math.max(1, at.value.until - world.now));
      if (at.done) return;
    }
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

  #ask(compromised: { readonly kid: string | null } | null): void {
    this.#asked += 1;
    const held = this.world.claim();
    const started = request(held.record, asked(`r${this.#asked}`, compromised), this.#policy, this.world.now);
    this.world.commit(held, started, `asked ${started.rotation} ${JSON.stringify(compromised)}`);
  }

  #compromise(what: Extract<Incident, { do: 'compromise' }>['what']): void {
    const { keys, rotation, retiring, foreign } = this.world.record;
    const named = {
      'in use': null,
      active: keys.find((key) => key.state === 'active')?.kid,
      incoming: rotation !== null && 'kid' in rotation.phase ? rotation.phase.kid : null,
      retiring: retiring[0]?.kid,
      foreign: foreign[0]?.kid,
    };
    Object.assign(this.#promises.excuses, { compromised: true, foreignMayGo: true });
    const kid = named[what];
    this.#ask({ kid: typeof kid === 'string' ? kid : null });
  }

  /** A key added in the moment before a PATCH is lost to it, and nobody can help that: this person waits until none can be on its way. */
  #addForeignKey(): void {
    const { world } = this;
    const { foreign, taken } = this.#promises.excuses;
    world.pass(PATCH_TIMEOUT);
    const kid = `foreign-${foreign.length + taken.length + 1}`;
    world.server.keys = [...world.server.keys, published(kid)];
    foreign.push(kid);
    world.happened(`somebody adds ${kid}`);
    world.pass(PATCH_TIMEOUT);
  }

  /** The same person, or another one. The first of them stays: somebody may sign in with it. */
  #takeForeignKey(): void {
    const { world } = this;
    const { foreign, taken } = this.#promises.excuses;
    if (foreign.length === 1) return;
    world.pass(PATCH_TIMEOUT);
    const kid = foreign.pop() ?? '';
    world.server.keys = world.server.keys.filter((key) => key.kid !== kid);
    taken.push(kid);
    world.happened(`somebody takes ${kid} away`);
    world.pass(PATCH_TIMEOUT);
  }

  /** What the shell does now and then, also when nothing is under way. */
  #look(): void {
    const held = this.world.claim();
    this.world.commit(held, observed(held.record, this.world.show(), this.#policy, this.world.now), 'looked');
  }

  /** Nothing fails any more, and time runs on until there is nothing left to do. */
  rest(): void {
    const { world } = this;
    this.#workOn();
    this.#look();
    this.#workOn();
    if (world.record.halted !== null) {
      checkHalt(world);
      this.#ask(null);
      this.#workOn();
    }
    world.pass(PATCH_TIMEOUT);
    if (world.record.halted === null) this.#promises.checkRest(world, this.#policy);
    else if (world.record.rotation?.compromised == null) wrong(world, 'a person could not get it going again');
  }

  #workOn(): void {
    const { world } = this;
    for (let turns = 0, atOnce = 0; ; turns += 1) {
      const { now, version } = world;
      this.#work(GOOD_LUCK, null);
      atOnce = world.now - now > 3 * TICK ? 0 : atOnce + 1;
      if (turns > MOST_TURNS || atOnce > MOST_TURNS_AT_ONCE) wrong(world, 'it does not come to rest');
      if (world.version === version && world.now === now) return;
    }
  }
}

describe('any history of crashes, answers, clocks and people', () => {
  it('loses no login and no key, and comes to rest', () => {
    // To play a failed story again, give `seed` and `path` as they were printed.
    fc.assert(
      fc.property(story, (told) => {
        const play = new Play(told);
        for (const incident of told.incidents) play.happen(incident);
        play.rest();
      }),
      { numRuns: 800, interruptAfterTimeLimit: 20_000 },
    );
  });
});
