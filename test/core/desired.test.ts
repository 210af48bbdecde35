import { describe, expect, it } from 'vitest';
import { desiredDocument, desiredServed, servesOther } from '../../src/core/desired.ts';
import { bodyOf, type ObservedClient } from '../../src/core/document.ts';
import { remember } from '../../src/core/keys.ts';
import type { ClientPolicy } from '../../src/core/policy.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import type { Retirement } from '../../src/core/retirement.ts';
import type { Rotation } from '../../src/core/rotation.ts';
import {
  address,
  client,
  discard,
  enrolledRecord,
  entryOf,
  foundRecord,
  idOf,
  jwks,
  key,
  kidsOf,
  material,
  type PhaseName,
  POLICY,
  pem,
  published,
  publishedPem,
  retirement,
  retiringRecord,
  rotating,
  rotation,
  SERVED_URI,
  START,
  seeing,
  servedKey,
  shown,
  THEIR_URI,
  unreadable,
  withServer,
} from './support.ts';

const FOREIGN = published('foreign-1');

describe('the desired document', () => {
  it('is the same bytes for the same record', () => {
    const foreign = entryOf({ kty: 'RSA', n: 'n', e: 'AQAB', 'x5t#S256': 'x' });
    const document = desiredDocument(seeing(rotating('overlap', 'delivered'), { keys: [foreign] }), POLICY);
    expect(document === null ? null : JSON.stringify(bodyOf(document))).toBe(
      '{"jwks":{"keys":[' +
        '{"kty":"EC","crv":"P-256","x":"x-a","y":"y-a","kid":"a","use":"sig","alg":"ES256",' +
        '"public_key_pem":"-----BEGIN PUBLIC KEY-----\\nYQ==\\n-----END PUBLIC KEY-----\\n"},' +
        '{"kty":"EC","crv":"P-256","x":"x-b","y":"y-b","kid":"b","use":"sig","alg":"ES256",' +
        '"public_key_pem":"-----BEGIN PUBLIC KEY-----\\nYg==\\n-----END PUBLIC KEY-----\\n"},' +
        '{"kty":"RSA","n":"n","e":"AQAB","x5t#S256":"x"}]},"token_endpoint_auth_signing_alg":"ES256"}',
    );
  });

  it('leaves public_key_pem out when the policy says so', () => {
    const jwk = { ...material('a').jwk, kid: 'a', use: 'sig', alg: 'ES256' };
    const document = desiredDocument(enrolledRecord(), { ...POLICY, embedPem: false });
    expect(document).toEqual(jwks({ jwk, ids: [idOf('a')], pemId: null }));
  });

  it.each<[Rotation['strategy'], PhaseName, string[]]>([
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
    ['in its overlap', retirement('overlap'), ['a', 'b']],
    ['to be withdrawn', retirement('withdrawing'), ['b']],
    ['withdrawn', retirement('withdrawn'), ['b']],
    ['refused', retirement('refused'), ['b']],
    ['thrown away', discard('a', 'withdrawing'), ['b']],
  ])('with an old key that is %s', (_, old, kids) => {
    expect(kidsOf(desiredDocument(retiringRecord(old), POLICY))).toEqual(kids);
  });

  it('in the format of the rotation once its key is published, and in the old one until then', () => {
    const change = { format: 'pem' as const, alg: 'RS256' as const };
    const at = (phase: PhaseName) => desiredDocument(rotating('cutover', phase, {}, change), POLICY);
    expect(at('stored')).toEqual(jwks(published('a')));
    expect(at('delivered')).toEqual(pem('b', 'RS256'));
    expect(at('reverting')).toEqual(jwks(published('a')));
    const back = withServer(rotating('cutover', 'reverting'), { format: 'pem' });
    expect(desiredDocument(back, POLICY)).toEqual(pem('a'));
  });
});

describe('the set that we serve', () => {
  const moving = (phase: PhaseName) => rotating('overlap', phase, {}, { format: 'jwks_uri' });
  const beside = { jwksUri: SERVED_URI };

  it('is named by its address', () => {
    expect(desiredDocument(moving('published'), POLICY)).toEqual(address(SERVED_URI));
    expect(desiredServed(moving('published'), POLICY)).toEqual([servedKey('a'), servedKey('b')]);
  });

  it('holds foreign keys beside ours, verbatim, until the server goes by it', () => {
    const keys = [published('a'), FOREIGN];
    const record = seeing(moving('published'), { keys });
    expect(desiredServed(record, POLICY)).toEqual([servedKey('a'), servedKey('b'), FOREIGN.jwk]);
    const there = seeing(withServer(enrolledRecord(), { format: 'jwks_uri' }), { keys, ...beside });
    expect(desiredServed(there, POLICY)).toEqual([servedKey('a')]);
  });

  it('is kept in step while the server shows our address, whatever the format', () => {
    const at = (phase: PhaseName, seen: Partial<ObservedClient>) => seeing(rotating('cutover', phase), seen);
    expect(desiredServed(at('cut_over', beside), POLICY)).toEqual([servedKey('b')]);
    expect(desiredServed(at('reverting', beside), POLICY)).toEqual([servedKey('a')]);
    expect(desiredServed(at('reverting', {}), POLICY)).toBeNull();
    expect(desiredServed(at('cut_over', beside), { ...POLICY, jwksUri: null })).toBeNull();
  });

  it('is written again when what stands there is not known', () => {
    const at = (served: ClientRecord['server']['served']) =>
      withServer(seeing(enrolledRecord(), beside), { format: 'jwks_uri', served });
    expect(servesOther(at([servedKey('a')]), POLICY)).toBe(false);
    expect(servesOther(at([servedKey('x')]), POLICY)).toBe(true);
    expect(servesOther(at(null), POLICY)).toBe(true);
    expect(servesOther(enrolledRecord(), POLICY)).toBe(false);
  });
});

describe('foreign keys', () => {
  const RETIRE: ClientPolicy = { ...POLICY, foreignKeys: 'retire' };
  const RETIRING = { foreignKeys: 'retire' as const };
  const keys = [FOREIGN, published('foreign-2')];
  const first = (strategy: Rotation['strategy'], phase: PhaseName) =>
    seeing(rotating(strategy, phase, { keys: [key('b', 'pre-active')] }), { keys });
  const withForeign = (record: ClientRecord) => seeing(record, { keys });

  it.each<[string, ClientRecord, ClientPolicy, string[]]>([
    ['stay behind ours', withForeign(enrolledRecord()), POLICY, ['a', 'foreign-1', 'foreign-2']],
    [
      'stay first while customers still sign with them',
      first('overlap', 'published'),
      POLICY,
      ['foreign-1', 'foreign-2', 'b'],
    ],
    ['give way to ours in a cutover', first('cutover', 'cut_over'), POLICY, ['b', 'foreign-1', 'foreign-2']],
    [
      'stay through an overlap that retires them',
      withForeign(rotating('overlap', 'published', {}, RETIRING)),
      RETIRE,
      ['a', 'b', 'foreign-1', 'foreign-2'],
    ],
    [
      'go when that overlap is over',
      withForeign(retiringRecord(retirement('withdrawing', { foreignKeys: 'retire' }))),
      POLICY,
      ['b'],
    ],
    [
      'stay when no rotation takes them away, whatever the policy says',
      withForeign(retiringRecord(retirement('withdrawing'))),
      RETIRE,
      ['b', 'foreign-1', 'foreign-2'],
    ],
    ['go with a cutover that retires them', withForeign(rotating('cutover', 'delivered', {}, RETIRING)), RETIRE, ['b']],
    [
      'also when the policy keeps them by then: what was sent stays as it was sent',
      withForeign(rotating('cutover', 'cut_over', {}, RETIRING)),
      POLICY,
      ['b'],
    ],
    [
      'stay in a cutover that keeps them, whatever the policy says by then',
      withForeign(rotating('cutover', 'cut_over')),
      RETIRE,
      ['b', 'foreign-1', 'foreign-2'],
    ],
    ['stay as long as they are all there is', first('cutover', 'stored'), RETIRE, ['foreign-1', 'foreign-2']],
    [
      'stay when the compromised key in use is ours',
      withForeign(rotating('cutover', 'delivered', {}, { compromised: { kid: null } })),
      POLICY,
      ['b', 'foreign-1', 'foreign-2'],
    ],
    [
      'go when they hold a former key of ours, under whatever name',
      seeing(remember(enrolledRecord(), [{ id: idOf('gone'), kid: 'gone', at: START, compromised: false }]), {
        keys: [published('gone', 'ES256', 'renamed'), FOREIGN],
      }),
      POLICY,
      ['a', 'foreign-1'],
    ],
    [
      'that nobody can read stay, verbatim',
      seeing(enrolledRecord(), { keys: [published('a'), unreadable('odd')] }),
      POLICY,
      ['a', 'odd'],
    ],
  ])('%s', (_, record, policy, kids) => {
    expect(kidsOf(desiredDocument(record, policy))).toEqual(kids);
  });
});

describe('a rollback of a client that never had a key of ours', () => {
  const back = (before: Partial<ObservedClient>, now: Partial<ObservedClient> = {}) => {
    const seen = client(before);
    const { alg, jwksUri, keys } = seen;
    const record: ClientRecord = {
      ...seeing(foundRecord(seen), { keys: [published('b')], alg: 'ES256', ...now }),
      keys: [key('b', 'pre-active')],
      rotation: rotation('cutover', 'reverting', { before: { alg, jwksUri, keys, sentAt: START } }),
    };
    return desiredDocument(record, POLICY);
  };

  it('leads to the keys that stood before, verbatim', () => {
    expect(back({ keys: [unreadable('odd'), FOREIGN] })).toEqual(jwks(unreadable('odd'), FOREIGN));
  });

  it('leads to a single PEM, in that form', () => {
    expect(back({ keys: [publishedPem('foreign-1')], alg: 'RS512' })).toEqual(pem('foreign-1', 'RS512'));
  });

  it('leads to a PEM among other keys as a set', () => {
    expect(back({ keys: [publishedPem('foreign-1'), FOREIGN] })).toEqual(jwks(publishedPem('foreign-1'), FOREIGN));
  });

  it('leads to the jwks_uri that stood before', () => {
    expect(back({ keys: [], jwksUri: THEIR_URI })).toEqual(address(THEIR_URI));
  });

  it("names the server's default alg where none was registered: null cannot be written back", () => {
    expect(back({ alg: null })?.alg).toBe('RS256');
  });

  it('is nothing to ask for when there was no key at all', () => {
    expect(back({ keys: [] })).toBeNull();
  });
});

describe('a rollback to an address', () => {
  const SET = { ...POLICY, format: 'jwks_uri' as const };
  const reverting = (format: Rotation['format'] | null, before: string | null, to: Rotation['format']) =>
    withServer(rotating('cutover', 'reverting', {}, { format: to, before: shown(['a'], { jwksUri: before }) }), {
      format,
    });

  it.each<[string, ClientRecord, ReturnType<typeof address>]>([
    ['of the client puts that back', reverting('jwks_uri', THEIR_URI, 'jwks_uri'), address(THEIR_URI)],
    ['also when the rotation led to another format', reverting('jwks_uri', THEIR_URI, 'jwks'), address(THEIR_URI)],
    ['puts back one that stood beside foreign keys', reverting(null, THEIR_URI, 'jwks_uri'), address(THEIR_URI)],
    ['but not one that stood beside keys of ours', reverting('jwks', THEIR_URI, 'jwks_uri'), jwks(published('a'))],
    ['leaves one alone that was not in force', reverting('jwks', THEIR_URI, 'jwks'), jwks(published('a'))],
    ['of none sends the keys', reverting('jwks', null, 'jwks_uri'), jwks(published('a'))],
    ['of ours names it', reverting('jwks_uri', SERVED_URI, 'jwks_uri'), address(SERVED_URI)],
  ])('%s', (_, record, document) => {
    expect(desiredDocument(record, SET)).toEqual(document);
  });

  it('of none goes on serving the keys from before: the server cannot be made to forget our address', () => {
    const record = seeing(reverting('jwks', null, 'jwks_uri'), { jwksUri: SERVED_URI });
    expect(desiredServed(record, SET)).toEqual([servedKey('a')]);
  });
});

describe('a rollback brings a foreign key', () => {
  const before = shown(['a', 'foreign-1']);
  const RETIRING = { foreignKeys: 'retire' as const };

  it.each<[string, Rotation['strategy'], Parameters<typeof rotation>[2], string[]]>([
    ['back that a cutover took away', 'cutover', RETIRING, ['a', 'foreign-1', 'foreign-2']],
    ['back that a single PEM had no room for', 'cutover', { format: 'pem' }, ['a', 'foreign-1', 'foreign-2']],
    ['not back that somebody took away after a cutover', 'cutover', {}, ['a', 'foreign-2']],
    ['not back that somebody took away in an overlap', 'overlap', {}, ['a', 'foreign-2']],
    ['nor in one that was to take it away later', 'overlap', RETIRING, ['a', 'foreign-2']],
  ])('%s', (_, strategy, change, kids) => {
    const record = rotating(strategy, 'reverting', {}, { before, ...change });
    const seen = seeing(record, { keys: [published('b'), published('foreign-2')] });
    // The policy of today does not say what was taken away.
    for (const foreignKeys of ['keep', 'retire'] as const) {
      expect(kidsOf(desiredDocument(seen, { ...POLICY, foreignKeys }))).toEqual(kids);
    }
  });

  it('not back that was compromised', () => {
    const record = rotating('cutover', 'reverting', {}, { before, ...RETIRING });
    const leaked = remember(record, [{ id: idOf('foreign-1'), kid: 'foreign-1', at: START, compromised: true }]);
    expect(kidsOf(desiredDocument(leaked, POLICY))).toEqual(['a']);
  });

  it('not back that stood beside an address: that set was not in force', () => {
    const record = rotating(
      'cutover',
      'reverting',
      {},
      { format: 'jwks_uri', before: { ...before, jwksUri: SERVED_URI }, ...RETIRING },
    );
    const there = withServer(seeing(record, { keys: before.keys, jwksUri: SERVED_URI }), { format: 'jwks_uri' });
    expect(desiredServed(there, { ...POLICY, format: 'jwks_uri' })).toEqual([servedKey('a')]);
  });

  it('back even when it was compromised, where nothing else is left: a document cannot be empty', () => {
    const found = foundRecord(client({ keys: [published('b')] }));
    const record: ClientRecord = {
      ...remember(found, [{ id: idOf('foreign-1'), kid: 'foreign-1', at: START, compromised: true }]),
      keys: [key('b', 'pre-active')],
      rotation: rotation('cutover', 'reverting', { before: shown(['foreign-1']) }),
    };
    expect(kidsOf(desiredDocument(record, POLICY))).toEqual(['foreign-1']);
  });
});
