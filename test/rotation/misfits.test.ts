/** What is said of policies before their rotations fail. */
import { expect, test } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import { type AppFacts, type Findings, NOTHING_KNOWN } from '../../src/core/findings.ts';
import { ALGORITHMS } from '../../src/core/keys.ts';
import { misfits } from '../../src/rotation/misfits.ts';

const SEEN = { result: 'accepted', evidence: 'seen' } as const;

/** A server that goes by kid and verifies everything but ES512. */
function found(change: Partial<Findings> = {}): AppFacts {
  const findings: Findings = {
    v: 1,
    at: 0,
    issuer: 'https://auth.example.com',
    picks: { result: 'by_kid', evidence: 'seen' },
    pemMember: { result: 'ignored', evidence: 'seen' },
    forms: { jwk_with_pem: SEEN, jwk: SEEN, pem: { result: 'refused', evidence: 'a PEM is refused' }, jwks_uri: SEEN },
    algs: Object.fromEntries(
      ALGORITHMS.map((alg) => [alg, alg === 'ES512' ? { result: 'refused', evidence: 'no' } : SEEN]),
    ) as Findings['algs'],
    fit: { keys: 32, evidence: 'seen' },
    effectMs: 10,
    removalMs: 10,
    ...change,
  };
  return { ...NOTHING_KNOWN, findings };
}

async function told(policy: object, facts: AppFacts) {
  const app = { slug: 'app', issuer: 'https://auth.example.com' };
  const file = {
    encryption: { keks: [{ id: 'k', key: 'env:KEK' }] },
    deployments: [{ id: '1', api_key: 'env:API_KEY', apps: [app, { slug: 'other', policy: 'other' }] }],
    policies: { default: policy, other: {} },
  };
  const env = { KEK: Buffer.alloc(32, 7).toString('base64url'), API_KEY: 'key' };
  const config = await parseConfig(JSON.stringify(file), { file: '/rekeyd.yaml', env });
  return misfits(config, (place) => (place === '1/app' ? facts : NOTHING_KNOWN));
}

test.each<[string, object, AppFacts, readonly (readonly ['refused' | 'doubtful', RegExp])[]]>([
  ['a policy that keeps what clients have', {}, NOTHING_KNOWN, []],
  [
    'an alg of which nothing is known',
    { alg: 'ES384' },
    NOTHING_KNOWN,
    [['doubtful', /nobody was seen to sign in with ES384 at 1\/app/]],
  ],
  [
    'one that a client signs in with',
    { alg: 'ES384' },
    { ...NOTHING_KNOWN, proven: { ES384: { at: 1, client: '1/app/2' } } },
    [],
  ],
  ['one that a probe saw', { alg: 'ES384' }, found(), []],
  ['one that it saw refused', { alg: 'ES512' }, found(), [['refused', /1\/app does not verify ES512/]]],
  ['a form that it saw refused', { format: 'pem' }, found(), [['refused', /1\/app does not accept a key as PEM/]]],
  ['an overlap', { strategy: 'overlap' }, found(), []],
  [
    'an overlap where one key counts, and an alg that is refused',
    { strategy: 'overlap', alg: 'ES512' },
    found({ picks: { result: 'last', evidence: 'so and so' } }),
    [
      ['refused', /ES512/],
      ['refused', /1\/app takes one key at a time/],
    ],
  ],
  [
    'changes that take longer than a key is left to spread',
    { propagation: '10s' },
    found({ effectMs: 20_000 }),
    [['doubtful', /only 20 s after its PATCH at 1\/app: make propagation/]],
  ],
  [
    'or than a cutover may take',
    { prove_within: '10s' },
    found({ effectMs: 20_000 }),
    [['doubtful', /cutovers are rolled back before that\. Make prove_within longer/]],
  ],
])('%s', async (_, policy, facts, expected) => {
  const said = await told(policy, facts);
  expect(said.map(({ kind }) => kind)).toEqual(expected.map(([kind]) => kind));
  for (const [index, [, message]] of expected.entries()) {
    expect(said[index]).toMatchObject({ app: '1/app', policy: 'default', problem: expect.stringMatching(message) });
  }
});
