/** What is rotated while applications sign in, and how often: in full, and in short for `npm test`. */
import type { Algorithm } from '../../src/core/keys.ts';

export interface Amount {
  /** One after the other, each with clients of its own. */
  readonly turns: number;
  /** Of a turn, at the same time. */
  readonly clients: number;
  /** Rotations of each client, one after the other. */
  readonly each: number;
}

export interface Kind {
  /** Slug of its app, and name of its policy. */
  readonly name: string;
  readonly strategy: 'overlap' | 'cutover';
  readonly format: 'jwks' | 'jwks_uri';
  /** What clients sign with before; the first client with the first, and so on. */
  readonly algs: readonly Algorithm[];
  /** What they are changed to; null: they keep it. */
  readonly to: Algorithm | null;
  readonly full: Amount;
  readonly short: Amount;
}

const ALGS: readonly Algorithm[] = ['ES256', 'RS256', 'PS256', 'EdDSA'];

/** RSA pairs take long to make. */
function isSlow(alg: Algorithm): boolean {
  return alg.startsWith('RS') || alg.startsWith('PS');
}

function staying(strategy: Kind['strategy'], alg: Algorithm, full: number): Kind {
  const once = { turns: 1, clients: 1 };
  const counts = { full: { ...once, each: full }, short: { ...once, each: isSlow(alg) ? 1 : 2 } };
  return { name: `${strategy}-${alg.toLowerCase()}`, strategy, format: 'jwks', algs: [alg], to: null, ...counts };
}

/** A change of alg is a cutover. Each client makes it once. */
function migrating(from: Algorithm, to: Algorithm): Kind {
  const name = `cutover-${from.toLowerCase()}-to-${to.toLowerCase()}`;
  const counts = { full: { turns: 15, clients: 1, each: 1 }, short: { turns: 1, clients: 1, each: 1 } };
  return { name, strategy: 'cutover', format: 'jwks', algs: [from], to, ...counts };
}

/** oidc-provider keeps a set for a minute, so each rotation takes two. */
const SERVED: Kind = {
  name: 'overlap-jwks-uri',
  strategy: 'overlap',
  format: 'jwks_uri',
  algs: ALGS,
  to: null,
  full: { turns: 1, clients: 24, each: 2 },
  short: { turns: 1, clients: 4, each: 2 },
};

/** Kinds of a lane run one after the other, lanes at the same time. */
export const LANES: readonly (readonly Kind[])[] = [
  [
    staying('overlap', 'ES256', 45),
    staying('overlap', 'RS256', 32),
    staying('overlap', 'PS256', 32),
    staying('overlap', 'EdDSA', 45),
  ],
  [SERVED],
  [
    staying('cutover', 'ES256', 40),
    staying('cutover', 'RS256', 30),
    staying('cutover', 'PS256', 30),
    staying('cutover', 'EdDSA', 40),
    ...ALGS.map((alg, at) => migrating(alg, ALGS[(at + 1) % ALGS.length] ?? alg)),
  ],
];
