/** What can happen to a client, as arbitraries: a story is a kind of server, a start, and up to 80 incidents. */
import fc from 'fast-check';
import type { ClientPolicy } from '../../src/core/policy.ts';
import type { Luck } from './luck.ts';
import { HOUR, MINUTE } from './support.ts';
import type { Point } from './worker.ts';
import type { ServerMode, Signer } from './world.ts';

export type Incident =
  /** A number of turns with the same luck. */
  | { readonly do: 'work'; readonly luck: Luck; readonly diesAt: Point | null; readonly turns: number }
  /** Two workers take the same step; the first is overtaken at a point. */
  | { readonly do: 'race'; readonly luck: Luck; readonly rival: Luck; readonly at: Point }
  | { readonly do: 'look' }
  | { readonly do: 'pass'; readonly ms: number }
  | { readonly do: 'ask'; readonly times: number; readonly takeOver: boolean }
  /** A schedule asks, when the client is due. */
  | { readonly do: 'sweep' }
  | { readonly do: 'enroll' }
  /** A signer reports that it signs with a key. */
  | { readonly do: 'report'; readonly which: 'ours' | 'unknown' }
  | { readonly do: 'abandon' }
  | { readonly do: 'roll back' }
  | {
      readonly do: 'compromise';
      readonly what: 'in use' | 'active' | 'incoming' | 'retiring' | 'foreign' | 'standby';
      readonly keepStandby: boolean;
    }
  | { readonly do: 'policy'; readonly change: Partial<ClientPolicy> }
  /** From now on its signer reports like that, and upkeep hears it. */
  | { readonly do: 'signer'; readonly is: Signer }
  | { readonly do: 'foreign key' }
  | { readonly do: 'foreign key goes' }
  /** Somebody publishes a former key again. */
  | { readonly do: 'put back'; readonly underItsName: boolean }
  | { readonly do: 'client is switched'; readonly active: boolean };

export interface Story {
  readonly mode: ServerMode;
  readonly start: 'enrolled' | 'enrolled, at its own address' | 'held' | 'found' | 'found, no alg registered';
  readonly policy: Partial<ClientPolicy>;
  readonly incidents: readonly Incident[];
}

/** Mostly `usual`. */
function rarely<const T>(usual: T, ...unusual: readonly T[]): fc.Arbitrary<T> {
  return fc.oneof({ weight: 5, arbitrary: fc.constant(usual) }, { weight: 2, arbitrary: fc.constantFrom(...unusual) });
}

const luck: fc.Arbitrary<Luck> = fc.record({
  make: rarely<Luck['make']>('ok', 'ok', 'fails'),
  look: rarely<Luck['look']>('ok', 'fails'),
  sinks: rarely<Luck['sinks']>('ok', 0, 1),
  serving: rarely<Luck['serving']>('ok', 'fails', 'fails after writing'),
  patch: rarely<Luck['patch']>(
    'ok',
    'lost',
    'applied, answer lost',
    'late',
    'timed out',
    'late',
    'timed out',
    'refused',
    'credential',
    'forbidden',
    'throttled',
    'tampered',
    'not found',
  ),
  proof: rarely<Luck['proof']>('ok', 'unknown', 'throttled', 'refused', 'claims', 'cannot be opened'),
  random: fc.integer({ min: 0, max: 99 }).map((percent) => percent / 100),
});

const point = fc.constantFrom<Point>('planned', 'announced', 'acted');

const policyChange: fc.Arbitrary<Partial<ClientPolicy>> = fc.oneof(
  fc.record({ alg: fc.constantFrom<ClientPolicy['alg']>('ES256', 'RS256', 'keep') }),
  fc.record({ format: fc.constantFrom<ClientPolicy['format']>('jwks', 'pem', 'jwks_uri', 'keep') }),
  fc.record({ strategy: fc.constantFrom<ClientPolicy['strategy']>('overlap', 'cutover', 'auto') }),
  fc.record({ foreignKeys: fc.constantFrom<ClientPolicy['foreignKeys']>('keep', 'retire') }),
  fc.record({ adopt: fc.constantFrom<ClientPolicy['adopt']>('import', 'overlap', 'take_over') }),
  fc.record({ embedPem: fc.boolean() }),
  fc.record({ prove: fc.constantFrom<ClientPolicy['prove']>('required', 'read_back') }),
  fc.record({ requireReady: fc.constantFrom(0, 1, 2) }),
  fc.record({ standby: fc.boolean() }),
);

const work = fc.record({
  do: fc.constant('work' as const),
  luck,
  diesAt: fc.oneof({ weight: 6, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: point }),
  // Sometimes for so long that whatever fails uses up its attempts and its time.
  turns: fc.constantFrom(1, 1, 1, 1, 1, 2, 2, 4, 4, 6, 6, 25),
});

const pass = fc.record({
  do: fc.constant('pass' as const),
  ms: fc.oneof(fc.integer({ min: 0, max: 15_000 }), fc.integer({ min: 0, max: 2 * HOUR })),
});

const signer = fc.constantFrom<Signer>('silent', 'following', 'following', 'stuck', 'lying', 'unreadable');

const ask = fc.record({
  do: fc.constant('ask' as const),
  times: fc.constantFrom(1, 1, 1, 5),
  takeOver: fc.constantFrom(true, true, false),
});

const everyday = [
  { weight: 30, arbitrary: work },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('race' as const), luck, rival: luck, at: point }) },
  { weight: 4, arbitrary: pass },
  { weight: 1, arbitrary: fc.constant({ do: 'look' as const }) },
  {
    weight: 1,
    arbitrary: fc.constantFrom({ do: 'sweep' as const }, { do: 'sweep' as const }, { do: 'enroll' as const }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('report' as const), which: fc.constantFrom('ours', 'ours', 'unknown') }),
  },
  { weight: 1, arbitrary: fc.constant({ do: 'abandon' as const }) },
  { weight: 2, arbitrary: fc.constant({ do: 'roll back' as const }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('policy' as const), change: policyChange }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('foreign key' as const, 'foreign key goes' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('signer' as const), is: signer }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('put back' as const), underItsName: fc.boolean() }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('client is switched' as const),
      active: fc.constantFrom(true, true, false),
    }),
  },
] satisfies fc.WeightedArbitrary<Incident>[];

const usual = [...everyday, { weight: 4, arbitrary: ask }] satisfies fc.WeightedArbitrary<Incident>[];

const compromise = {
  weight: 3,
  arbitrary: fc.record({
    do: fc.constant('compromise' as const),
    what: fc.constantFrom('in use', 'active', 'incoming', 'retiring', 'foreign', 'standby'),
    keepStandby: fc.boolean(),
  }),
} satisfies fc.WeightedArbitrary<Incident>;

/** A compromise excuses much, so most stories do without. */
const incidents = fc.oneof(
  { weight: 3, arbitrary: fc.array(fc.oneof(...usual), { minLength: 1, maxLength: 80, size: 'max' }) },
  { weight: 1, arbitrary: fc.array(fc.oneof(...usual, compromise), { minLength: 1, maxLength: 80, size: 'max' }) },
);

const anything: fc.Arbitrary<Story> = fc.record({
  mode: fc.constantFrom<ServerMode>('kid', 'kid, uri wins', 'first'),
  start: fc.constantFrom<Story['start']>(
    'enrolled',
    'enrolled',
    'enrolled, at its own address',
    'held',
    'found',
    'found, no alg registered',
  ),
  policy: fc.record({
    alg: rarely<ClientPolicy['alg']>('ES256', 'RS256', 'keep'),
    format: rarely<ClientPolicy['format']>('jwks', 'pem', 'jwks_uri', 'jwks_uri', 'keep'),
    strategy: fc.constantFrom<ClientPolicy['strategy']>('overlap', 'cutover'),
    foreignKeys: rarely<ClientPolicy['foreignKeys']>('keep', 'retire'),
    adopt: rarely<ClientPolicy['adopt']>('import', 'overlap', 'overlap', 'take_over'),
    adoptTimeoutMs: fc.constantFrom(10 * MINUTE, 30 * MINUTE),
    proveWithinMs: fc.constantFrom(MINUTE, MINUTE, 5_000),
    standby: fc.boolean(),
  }),
  incidents,
});

/** Nobody takes such a client over, so that its application can go on with its own key to the end. */
const offer: fc.Arbitrary<Story> = fc.record({
  mode: fc.constantFrom<ServerMode>('kid', 'kid, uri wins', 'first'),
  start: fc.constantFrom<Story['start']>('found', 'found', 'found, no alg registered'),
  policy: fc.record({
    alg: fc.constant<ClientPolicy['alg']>('keep'),
    format: fc.constantFrom<ClientPolicy['format']>('jwks', 'keep'),
    strategy: fc.constant<ClientPolicy['strategy']>('overlap'),
    foreignKeys: rarely<ClientPolicy['foreignKeys']>('keep', 'retire'),
    adopt: fc.constant<ClientPolicy['adopt']>('overlap'),
    adoptTimeoutMs: fc.constantFrom(10 * MINUTE, 30 * MINUTE),
    proveWithinMs: fc.constant(MINUTE),
  }),
  incidents: fc
    .array(fc.oneof(...everyday), { minLength: 1, maxLength: 80, size: 'max' })
    .map((later): Incident[] => [{ do: 'sweep' }, ...later]),
});

export const story: fc.Arbitrary<Story> = fc.oneof({ weight: 5, arbitrary: anything }, { weight: 1, arbitrary: offer });
