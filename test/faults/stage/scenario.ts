/** One seed of one kind: a fleet is rotated while something breaks, is left to finish in peace, and is then judged. */
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../../../src/errors.ts';
import { createReleases } from '../../../src/runtime/lifecycle.ts';
import { until } from '../../support/patient.ts';
import { ask, PATIENCE_MS, POLL_MS, quiet, type Wish } from '../actors/asking.ts';
import { startLogins } from '../actors/logins.ts';
import { rekeyd } from '../actors/people.ts';
import { judge, type Violation } from '../checks/checker.ts';
import { gather } from '../evidence/evidence.ts';
import type { Event } from '../evidence/history.ts';
import { type Chance, chance } from '../random.ts';
import type { Confession } from '../trouble/sentence.ts';
import type { NewClient } from './apps.ts';
import { ENVIRONMENT, type FaultClient, registerClient, type Signing } from './fleet.ts';
import { type Crew, type Pool, startPool } from './pool.ts';
import type { Place, Testbed } from './testbed.ts';

/** What a kind of scenario is made of. */
export interface Plot<W extends Testbed> {
  readonly name: string;
  open(place: Place, dice: Chance): Promise<W>;
  crew(dice: Chance, testbed: W): Crew;
  /** Breaks things. When it resolves, all of it is whole again, but for the API's faults. */
  play(scene: Scene<W>): Promise<void>;
  /** How long the fleet may take to come to rest afterwards, and any request to be answered, in ms. */
  readonly patienceMs?: number;
  readonly loginEveryMs?: number;
}

/** A testbed with workers in it, and who asks them for rotations. */
export type Scene<W extends Testbed> = W & {
  readonly seed: number;
  readonly pool: Pool;
  readonly chance: Chance;
  /** For everybody's rotation, unless the wish says whose. Answered at some time; that it is, is a part of the judgement. */
  ask(wish?: Wish): Promise<readonly string[] | null>;
  /** Somebody was told, in another way than by `ask`, that these rotations begin: they have to end. */
  owe(rotations: readonly string[]): void;
  /** What was answered so far is owed no longer: the store that it stood in is lost. */
  forgetAnswers(): void;
  /** Registers one more client with the server, whose application signs in from now on. */
  register(app: string, client: NewClient): FaultClient;
  /** A person is about to say to rekeyd that it may rotate this client, whose application signs like that from now on. */
  entrust(client: FaultClient, how: string, signing: Signing): void;
  /** A person at the first machine runs a command. @throws with what it said, when it ends with another code than 0 */
  command(...args: readonly string[]): Promise<string>;
  /** A promise was broken that the checker knows nothing of. */
  accuse(rule: string, ref: string | null, message: string): void;
  /** To be looked at once the fleet has come to rest. */
  atRest(look: () => Promise<void>): void;
  /** What was done, for those who read the row of this run. */
  remark(text: string): void;
  /** Takes effect for workers that die at a point, or do something there, from now on. */
  onDeath(heard: (point: string) => void): void;
  onConfession(heard: (confession: Confession) => void): void;
};

export interface RunOptions {
  readonly seed: number;
  readonly keep?: boolean;
  /** In place of what the kind says. */
  readonly patienceMs?: number;
}

export interface ScenarioResult {
  readonly kind: string;
  readonly seed: number;
  readonly seconds: number;
  readonly kills: number;
  /** Those of them at a moment that no point stands for. */
  readonly randomKills: number;
  /** Workers that failed, stood still or lost an answer at a point. */
  readonly deeds: number;
  readonly lockLosses: number;
  readonly redisFaults: number;
  readonly apiFaults: number;
  readonly edits: number;
  /** Those that were begun: asked for, or due. */
  readonly rotations: number;
  readonly logins: { readonly ok: number; readonly fallback: number; readonly refused: number };
  readonly violations: readonly Violation[];
  readonly remarks: readonly string[];
  /** Each point that a worker passed, or died at. */
  readonly points: ReadonlySet<string>;
  /** Where the history is, when it was kept. */
  readonly dir: string | null;
}

export interface Kind {
  readonly name: string;
  run(options: RunOptions): Promise<ScenarioResult>;
}

export function kindOf<W extends Testbed>(plot: Plot<W>): Kind {
  return { name: plot.name, run: (options) => runScenario(plot, options) };
}

async function runScenario<W extends Testbed>(plot: Plot<W>, options: RunOptions): Promise<ScenarioResult> {
  const releases = createReleases((name, message) => console.error(`${name}: ${message}`));
  let dir: string | null = null;
  const folder = await mkdtemp(join(tmpdir(), 'rekeyd-faults-'));
  releases.add('folder', () => (dir === null ? rm(folder, { recursive: true, force: true }) : undefined));
  try {
    const result = await act(plot, { seed: options.seed, dir: folder, later: releases.add }, options);
    if (options.keep || result.violations.length > 0) dir = folder;
    return { ...result, dir };
  } catch (error) {
    if (!options.keep) throw error;
    dir = folder;
    throw new Error(`${messageOf(error)}; the history is in ${folder}`, { cause: error });
  } finally {
    await releases.release();
  }
}

async function act<W extends Testbed>(plot: Plot<W>, place: Place, { seed, patienceMs }: RunOptions) {
  const startedAt = performance.now();
  const patience = patienceMs ?? plot.patienceMs ?? PATIENCE_MS;
  const dice = chance(seed);
  const testbed = await plot.open(place, dice);
  const { history, clients, raw, emulator } = testbed;
  const logins = startLogins(clients, emulator, history, plot.loginEveryMs);
  place.later('logins', () => logins.stop());
  let onDeath = (_point: string) => {};
  let onConfession = (_confession: Confession) => {};
  const pool = startPool({
    ...plot.crew(dice, testbed),
    dir: testbed.dir,
    configs: testbed.configs,
    env: ENVIRONMENT,
    history,
    chance: dice.branch('workers'),
    onDeath: (point) => onDeath(point),
    onConfession: (confession) => onConfession(confession),
  });
  place.later('workers', () => pool.stop());
  await pool.ready();

  const found: Violation[] = [];
  const remarks: string[] = [];
  const looks: (() => Promise<void>)[] = [];
  const asked: Promise<readonly string[] | null>[] = [];
  const owed = new Set<string>();
  const scene: Scene<W> = {
    ...testbed,
    seed,
    pool,
    chance: dice.branch('chaos'),
    ask(wish = {}) {
      const answer = ask(testbed, `ask-${seed}-${asked.length}`, wish, patience);
      asked.push(answer);
      void answer.then((ids) => {
        for (const id of ids ?? []) owed.add(id);
      });
      return answer;
    },
    owe(rotations) {
      for (const id of rotations) owed.add(id);
    },
    forgetAnswers: () => owed.clear(),
    register(slug, setting) {
      const other = clients.find((client) => client.app.slug === slug);
      if (other === undefined) throw new Error(`there is no app ${slug}`);
      const client = registerClient(testbed.dir, emulator, other, setting);
      clients.push(client);
      logins.add(client);
      return client;
    },
    entrust(client, how, signing) {
      client.signing = signing;
      history.note({ kind: 'entrusted', ref: client.ref, how });
    },
    command: (...args) => rekeyd(testbed, args),
    accuse: (rule, ref, message) => void found.push({ rule, ref, message }),
    atRest: (look) => void looks.push(look),
    remark: (text) => void remarks.push(text),
    onDeath(heard) {
      onDeath = heard;
    },
    onConfession(heard) {
      onConfession = heard;
    },
  };
  await plot.play(scene);
  emulator.faults.clear();
  pool.calm();

  const answers = await Promise.all(asked);
  if (answers.includes(null)) scene.accuse('unanswered', null, 'a request was never answered');
  // A store that was rolled back may hold requests that were answered before.
  const { inboxes } = testbed.queues;
  const isEmpty = async () => {
    const counts = await Promise.all(inboxes.flatMap((inbox) => [inbox.count(), inbox.getActiveCount()]));
    return counts.every((count) => count === 0);
  };
  await until('no request waits', isEmpty, patience).catch(() => {
    scene.accuse('unanswered', null, 'a request still waits at the end');
  });
  const stuck = await quiet(raw, clients, owed, patience);
  await delay(POLL_MS * 5); // a few more logins with what is left
  await logins.stop();
  await pool.stop();
  testbed.watch.close();
  const points = readPoints(testbed.dir);
  const evidence = await gather(clients, history.events, raw, emulator, testbed.publicFolder);
  for (const look of looks) await look();
  const violations = [...found, ...stuck, ...(await judge(evidence, emulator, stuck.length === 0))];
  return {
    kind: plot.name,
    seed,
    seconds: (performance.now() - startedAt) / 1000,
    kills: pool.kills,
    randomKills: pool.randomKills,
    ...count(history.events),
    rotations: evidence.audit.filter(({ type }) => type === 'rotation.started').length,
    violations,
    remarks,
    points,
  };
}

type Counts = Pick<ScenarioResult, 'deeds' | 'lockLosses' | 'redisFaults' | 'apiFaults' | 'edits' | 'logins'>;

function count(events: readonly Event[]): Counts {
  const logins = { ok: 0, fallback: 0, refused: 0 };
  for (const event of events) if (event.kind === 'login') logins[event.result] += 1;
  const countOf = (kind: Event['kind']) => events.filter((event) => event.kind === kind).length;
  return {
    deeds: countOf('deed'),
    lockLosses: countOf('lock_loss'),
    redisFaults: events.filter((event) => event.kind === 'redis' && event.fault.endsWith('ms)')).length,
    apiFaults: countOf('api'),
    edits: countOf('edit'),
    logins,
  };
}

function readPoints(dir: string): ReadonlySet<string> {
  const files = readdirSync(dir).filter((name) => name.startsWith('points-'));
  const lines = files.flatMap((name) => readFileSync(join(dir, name), 'utf8').split('\n').filter(Boolean));
  return new Set(lines.map((line) => JSON.parse(line).point));
}
