/** What a server was seen not to do is refused before a key is made; after a compromise nothing is tried out. */
import { describe, expect, it } from 'vitest';
import { start } from '../../src/core/begin.ts';
import { isEligible } from '../../src/core/due.ts';
import { type AppFacts, NOTHING_KNOWN } from '../../src/core/findings.ts';
import type { Algorithm } from '../../src/core/keys.ts';
import { obstacle } from '../../src/core/obstacle.ts';
import type { ClientPolicy } from '../../src/core/policy.ts';
import { request } from '../../src/core/request.ts';
import { BY_KID, knowing, seen, WACHT } from './servers.ts';
import {
  asked,
  client,
  DAY,
  enrolledRecord,
  foundRecord,
  HOUR,
  POLICY,
  rotating,
  rotation,
  START,
  withServer,
} from './support.ts';

describe('before a key is made, what the server does not do is refused', () => {
  const RS256 = client({ alg: 'RS256' });
  it.each<[string, Parameters<typeof rotation>[2] & { strategy?: 'overlap' | 'cutover' }, AppFacts, RegExp | null]>([
    [
      'a change to an alg that nobody signs in with',
      { alg: 'ES384' },
      NOTHING_KNOWN,
      /nobody was seen to sign in with ES384 at 185019846023\/mcp-auth.*rekeyd probe 185019846023\/mcp-auth.*--try-alg/,
    ],
    ['unless somebody wants it tried', { alg: 'ES384', tryAlg: true }, NOTHING_KNOWN, null],
    ['or a probe saw it', { alg: 'ES384' }, knowing(WACHT), null],
    [
      'or a client of the app signs in with it',
      { alg: 'PS256' },
      knowing(BY_KID, { proven: seen('PS256', START) }),
      null,
    ],
    ['the alg that a client has is kept, whoever was seen', { alg: 'ES256' }, NOTHING_KNOWN, null],
    [
      'but not when a probe saw it refused',
      { alg: 'ES256' },
      knowing({ ...WACHT, algs: ['RS256'] }),
      /does not verify ES256: the probe of 2026-01-01T00:00:00\.000Z found a key for ES256 is refused.*Name another alg/,
    ],
    [
      'an alg that a probe saw refused, also when somebody wants it tried',
      { alg: 'ES512', tryAlg: true },
      knowing(WACHT),
      /does not verify ES512.*run `rekeyd probe/,
    ],
    [
      'an overlap where one key counts',
      { strategy: 'overlap' },
      knowing(WACHT),
      /takes one key at a time.*\[A, B\].*strategy: auto/,
    ],
    [
      'an overlap is believed where it could not be told',
      { strategy: 'overlap' },
      knowing({ ...WACHT, picks: 'unknown' }),
      null,
    ],
    [
      'a jwks_uri that nobody signs in by',
      { format: 'jwks_uri' },
      knowing(WACHT),
      /does not accept keys at a jwks_uri.*jwks_uri refused.*Write format: jwks/,
    ],
    ['a PEM that nobody signs in by', { format: 'pem' }, knowing(BY_KID), /does not accept a key as PEM/],
    ['after a compromise nothing of that', { alg: 'ES512', compromised: { kid: null } }, knowing(WACHT), null],
  ])('%s', (_, { strategy = 'cutover', ...change }, facts, expected) => {
    const record = rotating(strategy, 'requested', {}, change);
    if (record.rotation === null) throw new Error('there is no rotation');
    const why = obstacle(record, record.rotation, { ...POLICY, facts });
    if (expected === null) expect(why).toBeNull();
    else expect(why).toMatch(expected);
  });

  it('a form that the client has is kept: how it reaches the server is for the client to tell', () => {
    const record = withServer(rotating('cutover', 'requested', {}, { format: 'jwks_uri' }), { format: 'jwks_uri' });
    if (record.rotation === null) throw new Error('there is no rotation');
    expect(obstacle(record, record.rotation, { ...POLICY, facts: knowing(WACHT) })).toBeNull();
  });

  it('plain JWKs, where only those with a PEM sign in', () => {
    const record = rotating('cutover', 'requested');
    if (record.rotation === null) throw new Error('there is no rotation');
    const why = obstacle(record, record.rotation, { ...POLICY, embedPem: false, facts: knowing(WACHT) });
    expect(why).toMatch(/does not accept keys as plain JWK.*Write embed_pem: true/);
  });

  it('the alg of a foreign key that nobody signs in with any more', () => {
    const facts = knowing({ ...WACHT, algs: ['ES256'] });
    const record = { ...foundRecord(RS256), rotation: rotation('cutover', 'requested', { alg: 'RS256' }) };
    expect(obstacle(record, record.rotation, { ...POLICY, facts })).toMatch(/does not verify RS256/);
  });
});

describe('after a compromise nothing is tried out', () => {
  it.each<[string, Partial<ClientPolicy>, { alg: Algorithm; format: string }]>([
    ['the alg stays that the client has', { alg: 'ES384', facts: NOTHING_KNOWN }, { alg: 'ES256', format: 'jwks' }],
    [
      'unless the other one is known to sign in',
      { alg: 'ES384', facts: knowing(WACHT) },
      { alg: 'ES384', format: 'jwks' },
    ],
    ['so does the format', { format: 'jwks_uri', facts: knowing(WACHT) }, { alg: 'ES256', format: 'jwks' }],
    [
      'where the other one was refused',
      { format: 'jwks_uri', facts: NOTHING_KNOWN },
      { alg: 'ES256', format: 'jwks_uri' },
    ],
  ])('%s', (_, change, expected) => {
    const record = withServer(enrolledRecord(), { format: 'jwks' });
    const begun = start(record, asked('r1', { kid: null }), { ...POLICY, ...change }, START);
    expect(begun.record.rotation).toMatchObject({ ...expected, strategy: 'cutover' });
  });
});

describe('the disposable client of a probe', () => {
  const probe = client({ probe: 'somebody' });

  it('is no client to rotate keys for', () => {
    expect(isEligible(client())).toBe(true);
    expect(isEligible(probe)).toBe(false);
  });

  it.each([
    ['asked for', null],
    ['reported as compromised', { kid: null }],
  ])('is not rotated when it is %s', (_, compromised) => {
    expect(() => request(foundRecord(probe), asked('r1', compromised, true), POLICY, START + HOUR + DAY)).toThrow(
      /is a disposable client that a probe made/,
    );
  });
});
