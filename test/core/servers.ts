/** What is known of servers, for tests of the core. */
import { type AppFacts, type Finding, type Findings, NOTHING_KNOWN, type Selection } from '../../src/core/findings.ts';
import { ALGORITHMS, type Algorithm } from '../../src/core/keys.ts';
import { REF, START } from './support.ts';

const yes = (evidence = 'seen'): Finding => ({ result: 'accepted', evidence });
const no = (evidence = 'seen'): Finding => ({ result: 'refused', evidence });

interface Server {
  readonly picks: Selection;
  readonly algs: readonly Algorithm[];
  readonly refused?: readonly (keyof Findings['forms'])[];
}

/** A server that follows RFC 7517. */
export const BY_KID: Server = { picks: 'by_kid', algs: ALGORITHMS, refused: ['pem'] };
/** As Wacht was seen to be. */
export const WACHT: Server = {
  picks: 'first',
  algs: ['RS256', 'RS384', 'RS512', 'ES256', 'ES384'],
  refused: ['jwk', 'jwks_uri'],
};

export function found({ picks, algs, refused = [] }: Server, at = START): Findings {
  const form = (name: keyof Findings['forms']) => (refused.includes(name) ? no(`${name} refused`) : yes());
  return {
    v: 1,
    at,
    issuer: 'https://auth.example.com',
    picks: { result: picks, evidence: 'of [A, B], so and so' },
    pemMember: { result: 'ignored', evidence: 'seen' },
    forms: { jwk_with_pem: form('jwk_with_pem'), jwk: form('jwk'), pem: form('pem'), jwks_uri: form('jwks_uri') },
    algs: Object.fromEntries(
      ALGORITHMS.map((alg) => [alg, algs.includes(alg) ? yes() : no(`a key for ${alg} is refused`)]),
    ) as Findings['algs'],
    fit: { keys: 32, evidence: 'seen' },
    effectMs: 1,
    removalMs: 1,
  };
}

export function knowing(server: Server, more: Partial<AppFacts> = {}): AppFacts {
  return { ...NOTHING_KNOWN, findings: found(server), ...more };
}

/** A client of the app signed in with that alg. */
export function seen(alg: Algorithm, at: number): AppFacts['proven'] {
  return { [alg]: { at, client: REF } };
}
