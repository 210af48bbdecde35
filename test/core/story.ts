/** What can happen to a client, as arbitraries: a story is a kind of server, a start, and up to 80 incidents. */
import fc from 'fast-check';
import type { ClientPolicy } from '../../src/core/policy.ts';
import { HOUR } from './support.ts';
import type { Luck, Point } from './worker.ts';
import type { ServerMode } from './world.ts';

export type Incident =
  /** A number of turns with the same luck. */
  | { readonly do: 'work'; readonly luck: Luck; readonly diesAt: Point | null; readonly turns: number }
  /** Two workers take the same step; the first is overtaken at a point. */
  | { readonly do: 'race'; readonly luck: Luck; readonly rival: Luck; readonly at: Point }
  | { readonly do: 'look' }
  | { readonly do: 'pass'; readonly ms: number }
  | { readonly do: 'ask'; readonly times: number }
  | { readonly do: 'compromise'; readonly what: 'in use' | 'active' | 'incoming' | 'retiring' | 'foreign' }
  | { readonly do: 'policy'; readonly change: Partial<ClientPolicy> }
  | { readonly do: 'foreign key' }
  | { readonly do: 'foreign key goes' };

export interface Story {
  readonly mode: ServerMode;
  readonly start: 'imported' | 'foreign' | 'foreign, no alg registered';
  readonly policy: Partial<ClientPolicy>;
  readonly incidents: readonly Incident[];
}

/** Mostly `usual`. */
function rarely<const T>(usual: T, ...unusual: readonly T[]): fc.Arbitrary<T> {
  return fc.oneof({ weight: 5, arbitrary: fc.constant(usual) }, { weight: 2, arbitrary: fc.constantFrom(...unusual) });
}

const luck: fc.Arbitrary<Luck> = fc.record({
  list: rarely<Luck['list']>('ok', 'fails'),
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
    'throttled',
    'tampered',
    'not found',
  ),
  proof: rarely<Luck['proof']>('ok', 'unknown', 'throttled', 'refused', 'claims'),
  random: fc.integer({ min: 0, max: 99 }).map((percent) => percent / 100),
});

const point = fc.constantFrom<Point>('planned', 'announced', 'acted');

const policyChange: fc.Arbitrary<Partial<ClientPolicy>> = fc.oneof(
  fc.record({ alg: fc.constantFrom<ClientPolicy['alg']>('ES256', 'RS256') }),
  fc.record({ format: fc.constantFrom<ClientPolicy['format']>('jwks', 'pem', 'jwks_uri') }),
  fc.record({ strategy: fc.constantFrom<ClientPolicy['strategy']>('overlap', 'cutover', 'auto') }),
  fc.record({ foreignKeys: fc.constantFrom<ClientPolicy['foreignKeys']>('keep', 'retire') }),
  fc.record({ embedPem: fc.boolean() }),
  fc.record({ prove: fc.constantFrom<ClientPolicy['prove']>('required', 'read_back') }),
);

const usual = [
  {
    weight: 30,
    arbitrary: fc.record({
      do: fc.constant('work' as const),
      luck,
      diesAt: fc.oneof({ weight: 6, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: point }),
      turns: fc.constantFrom(1, 1, 1, 2, 4, 6),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('race' as const), luck, rival: luck, at: point }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('pass' as const),
      ms: fc.oneof(fc.integer({ min: 0, max: 15_000 }), fc.integer({ min: 0, max: 2 * HOUR })),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ do: 'look' as const }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('ask' as const), times: fc.constantFrom(1, 1, 1, 5) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('policy' as const), change: policyChange }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('foreign key' as const, 'foreign key goes' as const) }) },
] satisfies fc.WeightedArbitrary<Incident>[];

const compromise = {
  weight: 3,
  arbitrary: fc.record({
    do: fc.constant('compromise' as const),
    what: fc.constantFrom('in use', 'active', 'incoming', 'retiring', 'foreign'),
  }),
} satisfies fc.WeightedArbitrary<Incident>;

/** A compromise excuses much, so most stories do without. */
const incidents = fc.oneof(
  { weight: 3, arbitrary: fc.array(fc.oneof(...usual), { minLength: 1, maxLength: 80, size: 'max' }) },
  { weight: 1, arbitrary: fc.array(fc.oneof(...usual, compromise), { minLength: 1, maxLength: 80, size: 'max' }) },
);

export const story: fc.Arbitrary<Story> = fc.record({
  mode: fc.constantFrom<ServerMode>('kid', 'kid, uri wins', 'first'),
  start: fc.constantFrom<Story['start']>('imported', 'imported', 'foreign', 'foreign, no alg registered'),
  policy: fc.record({
    alg: rarely<ClientPolicy['alg']>('ES256', 'RS256'),
    format: rarely<ClientPolicy['format']>('jwks', 'pem', 'jwks_uri', 'jwks_uri'),
    strategy: fc.constantFrom<ClientPolicy['strategy']>('overlap', 'cutover'),
    foreignKeys: rarely<ClientPolicy['foreignKeys']>('keep', 'retire'),
  }),
  incidents,
});
