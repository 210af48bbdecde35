/** What findings say of a server, and which strategy that makes. */
import { describe, expect, it } from 'vitest';
import { start } from '../../src/core/begin.ts';
import { type AppFacts, NOTHING_KNOWN, seenAlg, takesSeveral } from '../../src/core/findings.ts';
import type { Algorithm } from '../../src/core/keys.ts';
import type { ClientPolicy } from '../../src/core/policy.ts';
import { refusesOverlap } from '../../src/core/proving.ts';
import { BY_KID, found, knowing, seen, WACHT } from './servers.ts';
import { asked, enrolledRecord, POLICY, REF, rotating, START, tries } from './support.ts';

describe('a server takes several keys', () => {
  it.each<[string, AppFacts, Parameters<typeof takesSeveral>[1], boolean]>([
    ['not while nothing is known', NOTHING_KNOWN, undefined, false],
    ['when two keys sign in side by side', knowing(BY_KID), undefined, true],
    ['when it tries all of them', knowing({ ...BY_KID, picks: 'any' }), undefined, true],
    ['not when the first one counts', knowing(WACHT), undefined, false],
    ['not when it could not be told', knowing({ ...BY_KID, picks: 'unknown' }), undefined, false],
    ['not in a form that it refuses', knowing(BY_KID), { format: 'pem', embedPem: true }, false],
    ['also at an address', knowing(BY_KID), { format: 'jwks_uri', embedPem: true }, true],
    [
      'not in plain JWKs where it wants a PEM',
      knowing({ ...BY_KID, refused: ['jwk'] }),
      { format: 'jwks', embedPem: false },
      false,
    ],
    [
      'not once a rotation has seen otherwise',
      knowing(BY_KID, { refusedOverlap: { at: START + 1, client: REF } }),
      undefined,
      false,
    ],
    [
      'again, when a later probe says so',
      { ...knowing(BY_KID, { refusedOverlap: { at: START, client: REF } }), findings: found(BY_KID, START + 1) },
      undefined,
      true,
    ],
  ])('%s', (_, facts, publishing, expected) => {
    expect(takesSeveral(facts, publishing)).toBe(expected);
  });
});

describe('an alg is known to sign in', () => {
  it.each<[string, AppFacts, Algorithm, ReturnType<typeof seenAlg>]>([
    ['not while nothing is known', NOTHING_KNOWN, 'ES256', 'unknown'],
    ['when a probe saw it', knowing(WACHT), 'ES384', 'accepted'],
    ['not when a probe saw it refused', knowing(WACHT), 'ES512', 'refused'],
    [
      'when a client of the app signs in with it',
      { ...NOTHING_KNOWN, proven: seen('PS256', START) },
      'PS256',
      'accepted',
    ],
    ['for that alg alone', { ...NOTHING_KNOWN, proven: seen('PS256', START) }, 'PS384', 'unknown'],
    [
      'when a client does so after a probe saw it refused',
      knowing(WACHT, { proven: seen('ES512', START + 1) }),
      'ES512',
      'accepted',
    ],
    [
      'not when a probe saw it refused after that',
      knowing(WACHT, { proven: seen('ES512', START - 1) }),
      'ES512',
      'refused',
    ],
  ])('%s', (_, facts, alg, expected) => {
    expect(seenAlg(facts, alg)).toBe(expected);
  });
});

describe('strategy auto', () => {
  const auto = (facts: AppFacts, change: Partial<ClientPolicy> = {}): ClientPolicy => ({
    ...POLICY,
    strategy: 'auto',
    facts,
    ...change,
  });
  it.each<[string, ClientPolicy, Parameters<typeof asked>[1], 'overlap' | 'cutover']>([
    ['is a cutover while nothing is known', auto(NOTHING_KNOWN), null, 'cutover'],
    ['is an overlap where several keys are accepted', auto(knowing(BY_KID)), null, 'overlap'],
    ['is a cutover where one is', auto(knowing(WACHT)), null, 'cutover'],
    ['is a cutover where the alg changes', auto(knowing(BY_KID), { alg: 'EdDSA' }), null, 'cutover'],
    ['is a cutover after a compromise', auto(knowing(BY_KID)), { kid: null }, 'cutover'],
    ['is a cutover for a single PEM', auto(knowing({ ...BY_KID, refused: [] }), { format: 'pem' }), null, 'cutover'],
  ])('%s', (_, policy, compromised, expected) => {
    expect(start(enrolledRecord(), asked('r1', compromised), policy, START).record.rotation?.strategy).toBe(expected);
  });
});

describe('a refusal beside the old key', () => {
  const refused = { verdict: 'refused', status: 400, message: 'no', claims: false } as const;
  it.each<[string, Parameters<typeof rotating>, typeof refused | { verdict: 'accepted' }, boolean]>([
    ['may be a cache at first', ['overlap', 'published'], refused, false],
    ['is believed the third time', ['overlap', 'published', {}, { tries: tries({ refused: 2 }) }], refused, true],
    [
      'after a cutover tells nothing of two keys',
      ['cutover', 'cut_over', {}, { tries: tries({ refused: 2 }) }],
      refused,
      false,
    ],
    [
      'is none when it is accepted',
      ['overlap', 'published', {}, { tries: tries({ refused: 2 }) }],
      { verdict: 'accepted' },
      false,
    ],
  ])('%s', (_, where, verdict, expected) => {
    expect(refusesOverlap(rotating(...where), 'b', verdict)).toBe(expected);
  });
});
