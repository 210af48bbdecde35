/**
 * Two people change clients by hand while the fleet is rotated: they add keys of their own, take ours away, and put old documents back. The server has
 * no way to say "only if nobody else changed it", so what somebody adds in the seconds between reading and writing can be overwritten; they look,
 * and add it again. What has stood there for longer than that has to stay.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { isChange } from '../../emulator/log.ts';
import { makeKey, withPem } from '../../emulator/testing.ts';
import { thumbprintOf, thumbprintsIn } from '../checks/keys.ts';
import type { JwkMembers } from '../evidence/history.ts';
import type { Chance } from '../random.ts';
import { APPS, type AppSetting } from '../stage/apps.ts';
import { DEPLOYMENT, type FaultClient } from '../stage/fleet.ts';
import { kindOf, type Scene } from '../stage/scenario.ts';
import { openStage, type Stage } from '../stage/stage.ts';
import { lateWrites } from './random.ts';

const EDITS = 14;

/** What was read may be that old when something is written (5 s), and the PATCH that long under way (3 s). */
const UNSEEN_MS = 8_500;

/** Where keys stand in a JWK Set on the server, and rekeyd puts ours back. Nobody signs in where our keys are taken away. */
const apps: readonly AppSetting[] = APPS.filter(({ slug }) => ['overlap', 'cutover', 'unproven'].includes(slug)).map(
  (app) => ({
    ...app,
    clients: app.clients.filter(({ enrolment }) => enrolment === undefined),
    logins: 'none' as const,
  }),
);

interface Addition {
  readonly client: FaultClient;
  readonly key: JwkMembers;
  /** Since when it stands there undisturbed. */
  since: number;
}

class Person {
  readonly #scene: Scene<Stage>;
  readonly #chance: Chance;
  readonly #copies = new Map<string, readonly JwkMembers[]>();
  readonly #added: Addition[] = [];

  constructor(scene: Scene<Stage>, name: string) {
    this.#scene = scene;
    this.#chance = scene.chance.branch(name);
  }

  get added(): readonly Addition[] {
    return this.#added;
  }

  async work(): Promise<void> {
    for (let count = 0; count < EDITS; count += 1) {
      await delay(this.#chance.between(200, 900));
      const client = this.#chance.pick(this.#scene.clients);
      const act = this.#chance.pick(['add', 'add', 'remove ours', 'put back'] as const);
      if (act === 'add') this.#add(client);
      else if (act === 'remove ours') this.#removeOurs(client);
      else this.#putBack(client);
      this.look();
    }
  }

  /** Adds again what somebody has overwritten. */
  look(): void {
    for (const addition of this.#added) {
      const { client, key } = addition;
      if (this.#keysOf(client).some((held) => thumbprintOf(held) === thumbprintOf(key))) continue;
      this.#set(client, [...this.#keysOf(client), key], 'adds it again');
      addition.since = Date.now();
    }
  }

  #add(client: FaultClient): void {
    const key: JwkMembers = { ...withPem(makeKey('ES256')) };
    client.visitors.push(key);
    this.#added.push({ client, key, since: Date.now() });
    this.#set(client, [...this.#keysOf(client), key], 'adds a key');
  }

  /** All keys but those of people: one of them has to be there, since a client without keys is refused. */
  #removeOurs(client: FaultClient): void {
    const theirs = this.#keysOf(client).filter((key) => this.#isTheirs(client, key));
    if (theirs.length > 0) this.#set(client, theirs, 'takes ours away');
  }

  /** As it was when they first looked: with our old keys, but not without the keys that people have added since. */
  #putBack(client: FaultClient): void {
    const copy = this.#copies.get(client.ref);
    const keys = this.#keysOf(client);
    if (copy === undefined) {
      this.#copies.set(client.ref, keys);
      return;
    }
    const kids = copy.map(thumbprintOf);
    const since = keys.filter((key) => this.#isTheirs(client, key) && !kids.includes(thumbprintOf(key)));
    this.#set(client, [...copy, ...since], 'puts an old document back');
  }

  #isTheirs({ foreign, visitors }: FaultClient, key: JwkMembers): boolean {
    return [...foreign, ...visitors].some((known) => thumbprintOf(known) === thumbprintOf(key));
  }

  #keysOf({ app, id }: FaultClient): readonly JwkMembers[] {
    return (this.#scene.emulator.client(DEPLOYMENT, app.slug, id).jwks?.keys ?? []).map((key) => ({ ...key }));
  }

  #set({ app, id, ref }: FaultClient, keys: readonly JwkMembers[], what: string): void {
    this.#scene.emulator.edit(DEPLOYMENT, app.slug, id, { jwks: { keys } });
    this.#scene.history.note({ kind: 'edit', ref, what });
  }
}

/** PATCHes that left out what had stood there for long enough to be seen. */
function judge({ emulator, accuse }: Scene<Stage>, added: readonly Addition[]): void {
  for (const { client, key, since } of added) {
    const kid = thumbprintOf(key);
    for (const call of emulator.log.filter(isChange)) {
      const { client: id, at, body } = call;
      if (id !== client.id || at < since + UNSEEN_MS) continue;
      if (!thumbprintsIn(body).includes(kid))
        accuse('foreign_key', client.ref, `a PATCH without ${kid}, added long before`);
    }
  }
}

export const humans = kindOf<Stage>({
  name: 'humans',
  open: (place, dice) => openStage(place, { everysec: lateWrites(dice), fleet: { apps } }),
  crew: (dice) => ({ size: dice.between(1, 3) }),
  async play(scene) {
    const people = ['Ada', 'Ben'].map((name) => new Person(scene, name));
    scene.ask();
    const working = people.map((person) => person.work());
    for (let asks = 0; asks < 3; asks += 1) {
      await delay(scene.chance.between(2_000, 4_000));
      scene.ask();
    }
    await Promise.all(working);
    // They come back until nothing of theirs is missing any more, which may need one more look at each rotation under way.
    for (let quiet = 0; quiet < UNSEEN_MS; quiet += 500) {
      for (const person of people) person.look();
      await delay(500);
    }
    // A client that two edits in a row have halted is taken up again.
    await scene.ask();
    scene.atRest(async () => {
      judge(
        scene,
        people.flatMap(({ added }) => added),
      );
    });
  },
});
