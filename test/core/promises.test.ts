/** What the random histories check is looked for in worlds where it was broken on purpose: a check that finds nothing there would find nothing ever. */
import { describe, expect, test } from 'vitest';
import type { AuditDraft } from '../../src/core/audit.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { GOOD_LUCK } from './luck.ts';
import { Play } from './play.ts';
import { checkHalt, type Excuses, Promises } from './promises.ts';
import {
  client,
  enrolledRecord,
  foundRecord,
  HOUR,
  idOf,
  inFlight,
  jwks,
  key,
  OPERATOR,
  type PhaseName,
  POLICY,
  published,
  REF,
  retirement,
  rotation,
  SERVED_URI,
  START,
  servedKey,
  summary,
  withServer,
} from './support.ts';
import { World } from './world.ts';

type Breach = (world: World, excuses: Excuses) => void;

/** What is said of it, and what happens: each but the last changes nothing that matters. */
type Case = readonly [says: string, ...Breach[]];

const ours = enrolledRecord(client({ keys: [published('a'), published('foreign-1')] }));
const confirmed = withServer(ours, { confirmedAt: START });

const record =
  (change: Partial<ClientRecord>): Breach =>
  (world) => {
    world.record = { ...world.record, ...change };
  };
const shows =
  (...kids: readonly string[]): Breach =>
  (world) => {
    world.server.keys = kids.map((kid) => published(kid).jwk);
  };
const tells =
  (type: AuditDraft['type']): Breach =>
  (world) =>
    void world.audit.push({ ...OPERATOR, type, client: REF, rotation: 'r9', data: {} });
const excused =
  (change: Partial<Excuses>): Breach =>
  (_, excuses) =>
    void Object.assign(excuses, change);
/** There is a second key of ours, whose private half is kept. */
const made: Breach = (world) => {
  world.sealed.add(world.make('ES256').thumbprint);
};
const otherAlg: Breach = (world) => {
  world.server.alg = 'RS256';
};

function each(cases: readonly Case[], check: (told: Case) => void): void {
  for (const told of cases) test(told[0], () => check(told));
}

function broken(start: ClientRecord, check: (world: World, promises: Promises) => void, [says, ...steps]: Case): void {
  const world = new World('kid', start);
  const promises = new Promises(start);
  check(world, promises);
  for (const [index, step] of steps.entries()) {
    step(world, promises.excuses);
    const checking = () => check(world, promises);
    if (index === steps.length - 1) expect(checking).toThrow(says);
    else checking();
  }
}

describe('at any moment it is found that', () => {
  const says = (what: string) => (world: World, promises: Promises) => promises.check(world, what, POLICY);

  each(
    [
      ['there are two active keys', record({ keys: [...ours.keys, key('k1', 'active')] })],
      ['there is no active key any more', record({ keys: [] })],
      [
        'k1 is published, and its private half is gone',
        made,
        shows('a', 'k1', 'foreign-1'),
        (w) => w.sealed.delete('k1'),
      ],
      [
        'k1 was sent, and is destroyed without a proof',
        record({ keys: [...ours.keys, key('k1', 'deactivated')] }),
        (world) => void world.sent.add(idOf('k1')),
        record({ keys: ours.keys }),
      ],
      [
        'k1 signs without a proof',
        made,
        (world) => void world.sinks.fill({ current: 'k1', next: null, previous: 'a' }),
      ],
      [
        'a client was changed that is to be left alone',
        excused({ untouchable: true }),
        (world) => void world.sent.add(idOf('a')),
      ],
      ['nothing that signers hold is accepted', otherAlg],
      [
        'a is not accepted',
        made,
        (world) => void world.sinks.fill({ current: 'a', next: 'k1', previous: null }),
        shows('k1', 'foreign-1'),
      ],
      ['foreign-1 was dropped', shows('a')],
      [
        'foreign-2 was taken away, and is back',
        excused({ taken: ['foreign-2'] }),
        shows('a', 'foreign-1', 'foreign-2'),
      ],
      ['foreign-1 was taken away, and is back', excused({ foreignMayGo: true }), shows('a'), shows('a', 'foreign-1')],
      [
        'foreign-1 is not served',
        (world) => {
          Object.assign(world.server, { jwksUri: SERVED_URI });
          Object.assign(world, { source: 'uri', servedSet: [servedKey('a')] });
        },
      ],
    ],
    (told) => broken(ours, says('something'), told),
  );

  test('something is published without an intent', () => {
    const world = new World('kid', ours);
    const promises = new Promises(ours);
    expect(() => promises.check(world, 'commit announced', POLICY)).toThrow('something is published without an intent');
  });

  each(
    [
      [
        'the audit trail tells [], and what changed is [k1: null -> pre-active]',
        record({ keys: [...ours.keys, key('k1', 'pre-active')] }),
      ],
      ['key.published has no purpose', tells('key.published')],
    ],
    (told) => broken(ours, says('commit'), told),
  );

  each(
    [
      ['foreign-1 is missing while ours is only offered', made, shows('k1')],
      ['k1 comes before the foreign keys', made, shows('k1', 'foreign-1')],
      ['the key that customers sign with is not accepted any more', otherAlg],
    ],
    ([says, ...steps]) => {
      const offered = excused({ mayReplace: false, foreignMayGo: true });
      broken(foundRecord(), (world, promises) => promises.check(world, 'something', POLICY), [says, offered, ...steps]);
    },
  );
});

describe('at rest it is found that', () => {
  const rest = (world: World, promises: Promises) => promises.checkRest(world, POLICY);
  const document = jwks(published('a'));

  each(
    [
      ['a rotation is still under way', record({ rotation: rotation('overlap', 'published') })],
      ['an old key is still on its way out', record({ retirements: [retirement('overlap', { kid: 'k1' })] })],
      ['a PATCH is still in flight', record({ server: { ...ours.server, inFlight: inFlight(document, START) } })],
      ['signers hold', (world) => void world.sinks.pop(), (world) => void world.sinks.push(null)],
      ['k1 should be destroyed', record({ keys: [...ours.keys, key('k1', 'deactivated')] })],
      ["the server's document is not the desired one", shows('foreign-1', 'a')],
      ['the active key is not accepted', record({ server: ours.server }), otherAlg],
      [
        'id-a was reported as compromised, and is on the server',
        excused({ reported: [{ ids: [idOf('a')], rotation: null }] }),
      ],
      ['id-a was put back, and is still on the server', excused({ putBack: new Set([idOf('a')]) })],
      ['rotation r9 has no end', tells('rotation.started')],
      [
        'a reported key is in use, and the record does not say so',
        (world) => void world.history.push(summary('r1', { state: 'failed' })),
        excused({ reported: [{ ids: [idOf('a')], rotation: 'r1' }] }),
      ],
    ],
    (told) => broken(confirmed, rest, told),
  );

  test('no key of ours took over, and the one that customers sign with is not accepted any more', () => {
    broken(foundRecord(), rest, ['the key that customers sign with is not accepted any more', otherAlg]);
  });

  test('a person is asked without need', () => {
    const world = new World('kid', { ...ours, halted: 'the server refuses the new key' });
    checkHalt(world);
    world.record = { ...ours, halted: 'the weather' };
    expect(() => checkHalt(world)).toThrow('halted without need: the weather');
  });
});

describe('of work that never gets anywhere it is found that', () => {
  const work = { do: 'work', luck: GOOD_LUCK, diesAt: null, turns: 1 } as const;
  const begun = () => {
    const play = new Play({ mode: 'first', start: 'enrolled', policy: { strategy: 'cutover' }, incidents: [] });
    play.happen({ do: 'ask', times: 1, takeOver: false });
    return play;
  };
  /** From now on no commit is taken. */
  const stuck = ({ world }: Play) => Object.assign(world, { commit: () => null });

  test('it does not come to rest', () => {
    begun().rest();
    const play = begun();
    stuck(play);
    expect(() => play.rest()).toThrow('it does not come to rest');
  });

  const until = (name: PhaseName, play: Play, luck = GOOD_LUCK) => {
    while (play.world.record.rotation?.phase.name !== name) play.happen({ ...work, luck });
    stuck(play);
  };

  test('the old key was not put back in time', () => {
    const play = begun();
    until('cut_over', play);
    play.world.pass(HOUR);
    expect(() => play.happen({ ...work, turns: 20 })).toThrow('the old key was not put back in time');
  });

  test('nothing is done about what the server refuses', () => {
    const play = begun();
    until('reverting', play, { ...GOOD_LUCK, proof: 'refused' });
    expect(() => play.happen({ ...work, turns: 20 })).toThrow('nothing is done about what the server refuses');
  });
});
