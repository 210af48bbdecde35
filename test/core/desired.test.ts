import { describe, expect, it } from 'vitest';
import { desiredDelivery, desiredDocument, desiredServed, dispensable } from '../../src/core/desired.ts';
import type { KeyDocument, ObservedClient, PublicJwk } from '../../src/core/document.ts';
import type { ClientPolicy } from '../../src/core/policy.ts';
import type { ClientRecord, Retirement, Rotation } from '../../src/core/record.ts';
import {
  adoptedRecord,
  client,
  key,
  managedRecord,
  material,
  POLICY,
  published,
  publishedPem,
  retirement,
  retiringRecord,
  rotating,
  rotation,
  SERVED_URI,
  servedKey,
} from './support.ts';

const FOREIGN = published('foreign-1');
const LEAKED = { compromised: { kid: null } };
const ALG = { token_endpoint_auth_signing_alg: 'ES256' };

function jwks(...keys: readonly PublicJwk[]): KeyDocument {
  return { jwks: { keys }, ...ALG };
}

const kidsOf = (document: KeyDocument | null) => document?.jwks?.keys.map(({ kid }) => kid);

describe('the desired document', () => {
  it('is the same bytes for the same record', () => {
    const record = rotating('overlap', 'delivered', { foreign: [{ kty: 'RSA', n: 'n', e: 'AQAB', 'x5t#S256': 'x' }] });
    expect(JSON.stringify(desiredDocument(record, POLICY))).toBe(
      '{"jwks":{"keys":[' +
        '{"kty":"EC","crv":"P-256","x":"x-a","y":"y-a","kid":"a","use":"sig","alg":"ES256",' +
        '"public_key_pem":"-----BEGIN PUBLIC KEY-----\\nYQ==\\n-----END PUBLIC KEY-----\\n"},' +
        '{"kty":"EC","crv":"P-256","x":"x-b","y":"y-b","kid":"b","use":"sig","alg":"ES256",' +
        '"public_key_pem":"-----BEGIN PUBLIC KEY-----\\nYg==\\n-----END PUBLIC KEY-----\\n"},' +
        '{"kty":"RSA","n":"n","e":"AQAB","x5t#S256":"x"}]},"token_endpoint_auth_signing_alg":"ES256"}',
    );
  });

  it('leaves public_key_pem out when the policy says so', () => {
    const document = desiredDocument(managedRecord(), { ...POLICY, embedPem: false });
    expect(document?.jwks?.keys[0]).toEqual({ ...material('a').jwk, kid: 'a', use: 'sig', alg: 'ES256' });
  });

  it.each<[Rotation['strategy'], Rotation['phase']['name'], string[]]>([
    ['overlap', 'requested', ['a']],
    ['overlap', 'stored', ['a']],
    ['overlap', 'delivered', ['a', 'b']],
    ['overlap', 'published', ['a', 'b']],
    ['overlap', 'proven', ['a', 'b']],
    ['overlap', 'reverting', ['a']],
    ['cutover', 'requested', ['a']],
    ['cutover', 'stored', ['a']],
    ['cutover', 'delivered', ['b']],
    ['cutover', 'cut_over', ['b']],
    ['cutover', 'proven', ['b']],
    ['cutover', 'reverting', ['a']],
  ])('of a rotation by %s that is %s holds %j', (strategy, phase, kids) => {
    expect(kidsOf(desiredDocument(rotating(strategy, phase), POLICY))).toEqual(kids);
  });

  it.each<[string, Retirement, string[]]>([
    ['in its overlap', retirement('overlap', 'waiting'), ['a', 'b']],
    ['withdrawn', retirement('overlap', 'withdrawing'), ['b']],
    ['replaced by a cutover', retirement('cutover', 'waiting'), ['b']],
    ['refused', retirement('overlap', 'refused'), ['b']],
  ])('with an old key that is %s', (_, old, kids) => {
    expect(kidsOf(desiredDocument(retiringRecord(old), POLICY))).toEqual(kids);
  });

  it('in the format of the rotation once its key is published, and in the old one until then', () => {
    const change = { format: 'pem' as const, alg: 'RS256' as const };
    const pem = { public_key_pem: material('b').pem, token_endpoint_auth_signing_alg: 'RS256' };
    expect(desiredDocument(rotating('cutover', 'stored', {}, change), POLICY)).toEqual(jwks(published('a')));
    expect(desiredDocument(rotating('cutover', 'delivered', {}, change), POLICY)).toEqual(pem);
    expect(desiredDocument(rotating('cutover', 'reverting', {}, change), POLICY)).toEqual(jwks(published('a')));
    const back = rotating('cutover', 'reverting', { format: 'pem' });
    expect(desiredDocument(back, POLICY)).toEqual({ public_key_pem: material('a').pem, ...ALG });
  });

  it('names the address of the set that we serve', () => {
    const record = rotating('overlap', 'published', {}, { format: 'jwks_uri' });
    expect(desiredDocument(record, POLICY)).toEqual({ jwks_uri: SERVED_URI, ...ALG });
    expect(desiredServed(record, POLICY)).toEqual([servedKey('a'), servedKey('b')]);
  });

  it('serves keys of others beside ours, verbatim', () => {
    const record = rotating('overlap', 'published', { foreign: [FOREIGN] }, { format: 'jwks_uri' });
    expect(desiredServed(record, POLICY)).toEqual([servedKey('a'), servedKey('b'), FOREIGN]);
  });

  it('keeps the served set in step while the server shows our address, whatever the format', () => {
    const observed = { client: client({ jwksUri: SERVED_URI }), at: 0 };
    expect(desiredServed(rotating('cutover', 'cut_over', { observed }), POLICY)).toEqual([servedKey('b')]);
    expect(desiredServed(rotating('cutover', 'reverting', { observed }), POLICY)).toEqual([servedKey('a')]);
    expect(desiredServed(rotating('cutover', 'reverting'), POLICY)).toBeNull();
    expect(desiredServed(rotating('cutover', 'cut_over', { observed }), { ...POLICY, jwksUri: null })).toBeNull();
  });
});

describe('keys of others', () => {
  const RETIRE: ClientPolicy = { ...POLICY, foreignKeys: 'retire' };
  const foreign = [FOREIGN, published('foreign-2')];
  const FIRST = { keys: [key('b', 'pre-active')], foreign };

  it.each<[string, ClientRecord, ClientPolicy, string[]]>([
    ['stay behind ours', managedWith(), POLICY, ['a', 'foreign-1', 'foreign-2']],
    [
      'stay first while customers still sign with them',
      rotating('overlap', 'published', FIRST),
      POLICY,
      ['foreign-1', 'foreign-2', 'b'],
    ],
    ['give way to ours in a cutover', rotating('cutover', 'cut_over', FIRST), POLICY, ['b', 'foreign-1', 'foreign-2']],
    [
      'stay through an overlap that retires them',
      rotating('overlap', 'published', { foreign }),
      RETIRE,
      ['a', 'b', 'foreign-1', 'foreign-2'],
    ],
    ['go when that overlap is over', retiringRecord(retirement('overlap', 'withdrawing'), { foreign }), RETIRE, ['b']],
    ['go with a cutover that retires them', rotating('cutover', 'delivered', { foreign }), RETIRE, ['b']],
    ['stay as long as they are all there is', rotating('cutover', 'stored', FIRST), RETIRE, ['foreign-1', 'foreign-2']],
    [
      'stay when the compromised key in use is ours',
      rotating('cutover', 'delivered', { foreign }, { compromised: { kid: null } }),
      POLICY,
      ['b', 'foreign-1', 'foreign-2'],
    ],
  ])('%s', (_, record, policy, kids) => {
    expect(kidsOf(desiredDocument(record, policy))).toEqual(kids);
  });

  function managedWith(): ClientRecord {
    return { ...managedRecord(), foreign };
  }
});

describe('the way back of a client that never had a key of ours', () => {
  const back = (before: Partial<ObservedClient>, now: Partial<ObservedClient> = {}) => {
    const adopted = adoptedRecord(client(before));
    const record: ClientRecord = {
      ...adopted,
      observed: { client: client({ keys: [published('b')], alg: 'ES256', ...now }), at: 0 },
      foreign: [],
      keys: [key('b', 'pre-active')],
      rotation: rotation('cutover', 'reverting', { before: adopted.observed.client }),
    };
    return desiredDocument(record, POLICY);
  };

  it('leads to the keys that stood before, verbatim', () => {
    const odd: PublicJwk = { kty: 'AKP', pub: 'zz', kid: 'odd' };
    expect(back({ keys: [odd, FOREIGN] })).toEqual(jwks(odd, FOREIGN));
  });

  it('leads to a single PEM, in that form', () => {
    expect(back({ keys: [publishedPem('foreign-1')], alg: 'RS512' })).toEqual({
      public_key_pem: material('foreign-1').pem,
      token_endpoint_auth_signing_alg: 'RS512',
    });
  });

  it('leads to a PEM among other keys as a set', () => {
    expect(back({ keys: [publishedPem('foreign-1'), FOREIGN] })).toEqual(jwks(publishedPem('foreign-1'), FOREIGN));
  });

  it('leads to the jwks_uri that stood before', () => {
    const jwksUri = 'https://customer.example.com/jwks';
    expect(back({ keys: [], jwksUri })).toEqual({ jwks_uri: jwksUri, ...ALG });
  });

  it("names the server's default alg where none was registered: null cannot be written back", () => {
    expect(back({ alg: null })?.token_endpoint_auth_signing_alg).toBe('RS256');
  });

  it('is nothing to ask for when there was no key at all', () => {
    expect(back({ keys: [] })).toBeNull();
  });
});

describe('the way back brings a key of somebody else', () => {
  const foreign = [published('foreign-2')];
  const before = client({ keys: [published('a'), FOREIGN] });
  const CUTOVER = { strategy: 'cutover' as const, foreignKeys: 'retire' as const };

  it.each<[string, Partial<ClientPolicy>, Rotation['format'], string[]]>([
    ['back that a cutover let go', CUTOVER, 'jwks', ['a', 'foreign-1', 'foreign-2']],
    ['back that a single PEM had no room for', { strategy: 'cutover' }, 'pem', ['a', 'foreign-1', 'foreign-2']],
    ['not back that somebody took away after a cutover', { strategy: 'cutover' }, 'jwks', ['a', 'foreign-2']],
    ['not back that somebody took away in an overlap', {}, 'jwks', ['a', 'foreign-2']],
    ['nor in one that was to let it go later', { foreignKeys: 'retire' }, 'jwks', ['a', 'foreign-2']],
  ])('%s', (_, change, format, kids) => {
    const policy = { ...POLICY, ...change };
    const strategy = policy.strategy === 'overlap' ? 'overlap' : 'cutover';
    const record = rotating(strategy, 'reverting', { foreign, format: 'jwks' }, { before, format });
    expect(kidsOf(desiredDocument(record, policy))).toEqual(kids);
  });
});

describe('what signers hold', () => {
  it.each<[Rotation['phase']['name'], object]>([
    ['requested', { current: 'a', next: null, previous: null }],
    ['stored', { current: 'a', next: 'b', previous: null }],
    ['published', { current: 'a', next: 'b', previous: null }],
    ['proven', { current: 'b', next: null, previous: 'a' }],
    ['reverting', { current: 'a', next: 'b', previous: null }],
  ])('in the phase %s', (phase, delivery) => {
    expect(desiredDelivery(rotating('overlap', phase))).toEqual(delivery);
  });

  it.each<[Retirement, string | null]>([
    [retirement('overlap', 'waiting'), 'a'],
    [retirement('overlap', 'withdrawing'), 'a'],
    [retirement('overlap', 'withdrawn'), 'a'],
    [retirement('overlap', 'refused'), null],
    [retirement('cutover', 'waiting'), 'a'],
    [retirement('cutover', 'refused'), null],
    [{ kind: 'discard', kid: 'a', rotation: 'r0' }, null],
  ])('while an old key is on its way out: %j', (old, previous) => {
    expect(desiredDelivery(retiringRecord(old))).toEqual({ current: 'b', next: null, previous });
  });

  it.each<[string, ClientRecord, readonly string[]]>([
    ['no key in use for a rotation', rotating('cutover', 'stored'), []],
    ['an old key', rotating('cutover', 'proven'), ['a']],
    ['the key in use for a compromise', rotating('cutover', 'stored', {}, LEAKED), ['a']],
    ['no key in use while no other is there to replace it', rotating('cutover', 'requested', {}, LEAKED), []],
    ['and never the new one', rotating('cutover', 'proven', {}, LEAKED), ['a']],
    ['no key in use once a compromise is over', retiringRecord(retirement('cutover', 'waiting')), ['a']],
  ])('when it cannot be opened, they do without %s', (_, record, kids) => {
    expect(dispensable(record, desiredDelivery(record))).toEqual(kids);
  });

  it('while the server may still take a key that was thrown away for another', () => {
    const retiring: readonly Retirement[] = [{ kind: 'discard', kid: 'c', rotation: 'r1' }];
    const held = { current: 'a', next: 'b', previous: 'c' };
    expect(desiredDelivery(rotating('cutover', 'cut_over', { retiring }))).toEqual(held);
    expect(desiredDelivery(rotating('cutover', 'proven', { retiring }))).toEqual({
      current: 'b',
      next: null,
      previous: 'a',
    });
  });
});
