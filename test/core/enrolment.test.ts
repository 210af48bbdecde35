import { describe, expect, it } from 'vitest';
import { desiredDocument, foreignKeys } from '../../src/core/desired.ts';
import type { PublishedKey } from '../../src/core/document.ts';
import { enrolled, found, imported, observed, standingOf } from '../../src/core/enrolment.ts';
import { isKnown, remember } from '../../src/core/keys.ts';
import { plan } from '../../src/core/plan.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import { request } from '../../src/core/request.ts';
import { FRESH_MS } from '../../src/core/server.ts';
import {
  asked,
  client,
  enrolledRecord,
  entryOf,
  foundRecord,
  heldRecord,
  idOf,
  inFlight,
  jwks,
  material,
  OPERATOR,
  POLICY,
  published,
  publishedPem,
  REF,
  rotating,
  SERVED_URI,
  START,
  shown,
  THEIR_URI,
  takenOver,
  typesOf,
  withServer,
} from './support.ts';

describe('a client that is seen for the first time', () => {
  it('is found: all of its keys are foreign', () => {
    const change = found(REF, client(), OPERATOR, START);
    expect(change.record).toMatchObject({ v: 2, enrolment: 'found', keys: [], former: [], retirements: [] });
    expect(change.record.server).toMatchObject({ format: null, confirmedAt: null, inFlight: null, conflicts: 0 });
    expect(foreignKeys(change.record)).toEqual([published('foreign-1')]);
    expect(change.entries).toMatchObject([
      { type: 'client.found', actor: 'operator', data: { alg: 'ES256', keys: 1 } },
    ]);
  });

  it('has a record that is plain JSON', () => {
    const { record } = found(REF, client(), OPERATOR, START);
    expect(JSON.parse(JSON.stringify(record))).toEqual(record);
  });
});

describe('what is seen of a client', () => {
  it('tells foreign keys from ours by the key, not by its text', () => {
    const other = entryOf({ ...published('a').jwk, kid: 'other', use: 'enc', x5t: 'added' });
    const keys = [published('a'), published('x'), publishedPem('a'), other];
    const change = observed(enrolledRecord(), client({ keys }), POLICY, START + 1);
    expect(foreignKeys(change.record)).toEqual([published('x')]);
    expect(change.record.server.observed.at).toBe(START + 1);
    expect(change.entries).toMatchObject([{ data: { differences: ['the foreign key x was added'] } }]);
  });

  it('reports a drift once', () => {
    const record = withServer(enrolledRecord(), { confirmedAt: START });
    const first = observed(record, client({ keys: [] }), POLICY, START);
    expect(typesOf(first)).toEqual(['client.drifted']);
    expect(typesOf(observed(first.record, client({ keys: [] }), POLICY, START))).toEqual([]);
  });

  it('reports a drift within a rotation that has sent nothing yet, and not what a rotation has sent', () => {
    const confirmed = { ...enrolledRecord().server, confirmedAt: START };
    const edited = client({ keys: [] });
    const before = rotating('cutover', 'delivered', { server: confirmed });
    const sent = rotating('cutover', 'cut_over', { server: confirmed }, { before: shown(['a']) });
    const types = (record: ClientRecord) => typesOf(observed(record, edited, POLICY, START));
    expect([types(before), types(sent)]).toEqual([['client.drifted'], []]);
  });

  it('is drift, and not put right, where the server never confirmed a document of ours', () => {
    const change = observed(enrolledRecord(), client({ keys: [] }), POLICY, START);
    expect(typesOf(change)).toEqual(['client.drifted']);
    expect(plan(change.record, POLICY, START)).toEqual({ do: 'done' });
  });

  it('does not take a missing client for one without keys', () => {
    const { record } = observed(enrolledRecord(), null, POLICY, START);
    expect(record.server.observed.client).toMatchObject({ active: false, keys: [published('a')] });
  });

  it('follows the client_id, which assertions name', () => {
    expect(observed(enrolledRecord(), client({ clientId: 'new' }), POLICY, START).record.clientId).toBe('new');
  });

  it.each(['delivered', 'published', 'proven', 'reverting'] as const)(
    'never changes what a rollback restores (%s)',
    (phase) => {
      const record = rotating('overlap', phase);
      const seen = client({ keys: [published('b')], alg: 'ES384' });
      expect(observed(record, seen, POLICY, START + 2 * FRESH_MS).record.rotation).toEqual(record.rotation);
    },
  );

  it('shows what came of a lost PATCH only some time after its deadline', () => {
    const record = withServer(enrolledRecord(), { inFlight: inFlight(jwks(), START) });
    expect(observed(record, client(), POLICY, START + FRESH_MS - 1).record.server.inFlight).not.toBeNull();
    expect(observed(record, client(), POLICY, START + FRESH_MS).record.server.inFlight).toBeNull();
  });
});

describe('importing the key that a client signs with', () => {
  const { kid: _, ...own } = material('own');
  const take = (record: ClientRecord) => imported(record, own, OPERATOR, START);

  it.each<[string, readonly PublishedKey[], string, string]>([
    ['the kid it is published under', [published('own', 'ES256', 'kept'), published('x')], 'kept', 'jwks'],
    ['its thumbprint when it is published without one', [entryOf(material('own').jwk)], 'own', 'jwks'],
    ['its thumbprint when that kid is no text', [entryOf({ ...material('own').jwk, kid: 7 })], 'own', 'jwks'],
    ['its thumbprint when it is published as a PEM', [publishedPem('own')], 'own', 'pem'],
  ])('names it by %s', (_, keys, kid, format) => {
    const { record, entries } = take(foundRecord(client({ keys })));
    expect(record.keys).toMatchObject([{ kid, id: idOf('own'), thumbprint: 'own', state: 'active' }]);
    expect(record.server).toMatchObject({ format, confirmedAt: null });
    expect(foreignKeys(record)).toEqual(keys.slice(1));
    expect(entries).toMatchObject([
      { type: 'key.imported', data: { kid, thumbprint: 'own' } },
      { type: 'client.held', data: { kid } },
    ]);
    expect(plan(record, POLICY, START)).toMatchObject({ do: 'deliver', delivery: { current: kid } });
  });

  it('finds it in a PEM that stands beside another key', () => {
    const entry = entryOf({ ...published('x').jwk, public_key_pem: material('own').pem });
    expect(take(foundRecord(client({ keys: [entry] }))).record.keys).toMatchObject([{ kid: 'x', id: idOf('own') }]);
  });

  it('makes a found client a held one, and leaves an enrolled one as it is', () => {
    const seen = client({ keys: [published('own')] });
    expect(take(foundRecord(seen)).record.enrolment).toBe('held');
    const change = take({ ...foundRecord(seen), enrolment: 'enrolled' });
    expect(change.record.enrolment).toBe('enrolled');
    expect(typesOf(change)).toEqual(['key.imported']);
  });

  it('believes a client whose keys stand elsewhere', () => {
    const { record } = take(foundRecord(client({ keys: [], jwksUri: THEIR_URI })));
    expect(record).toMatchObject({ server: { format: 'jwks_uri' }, keys: [{ kid: 'own' }] });
  });

  it('brings a former key back that was not compromised', () => {
    const seen = foundRecord(client({ keys: [published('own')] }));
    const record = remember(seen, [{ id: idOf('own'), kid: 'own', at: START, compromised: false }]);
    expect(take(record).record.former).toEqual([]);
  });

  const seen = client({ keys: [published('own')] });
  it.each<[string, ClientRecord]>([
    ['nobody signs in with', foundRecord()],
    ['would replace a managed one', heldRecord()],
    ['comes in the middle of a rotation', takenOver(seen)],
    [
      'was reported as compromised',
      remember(foundRecord(seen), [{ id: idOf('own'), kid: 'own', at: START, compromised: true }]),
    ],
  ])('refuses a key that %s', (_, record) => {
    expect(() => take(record)).toThrow(expect.objectContaining({ code: 'key_invalid' }));
  });

  it.each([
    ['is not active', { active: false }],
    ['has a secret', { authMethod: 'client_secret_basic' }],
  ])('refuses the key of a client that %s', (_, members) => {
    const record = foundRecord(client({ keys: [published('own')], ...members }));
    expect(() => take(record)).toThrow(expect.objectContaining({ code: 'not_eligible' }));
  });

  it.each([
    ['accepted', 'accepted'],
    [null, 'none'],
  ] as const)('keeps whether somebody saw it sign in (%s)', (proof, told) => {
    const { record, entries } = imported(foundRecord(seen), own, OPERATOR, START, proof);
    expect(record.keys).toMatchObject([{ proof }]);
    expect(entries[0]).toMatchObject({ type: 'key.imported', data: { proof: told } });
  });
});

describe('a key that is imported once more', () => {
  const former = { id: idOf('old'), kid: 'old', at: START, compromised: false };
  const record = enrolledRecord();
  it.each<[string, ClientRecord, string, 'active' | 'replaced' | null]>([
    ['is the active one', record, 'a', 'active'],
    ['was replaced since', remember(record, [former]), 'old', 'replaced'],
    ['comes with the rotation under way', rotating('overlap', 'proven'), 'b', 'replaced'],
    ['was never seen', record, 'x', null],
    ['was reported as compromised', remember(record, [{ ...former, compromised: true }]), 'old', null],
    ['is that of a client whose keys are lost', remember(foundRecord(), [former]), 'old', null],
  ])('%s', (_, known, key, standing) => {
    expect(standingOf(known, { id: idOf(key) })).toBe(standing);
  });
});

describe('enrolling', () => {
  it.each(['found', 'held'] as const)('a %s client is told, with who said so', (enrolment) => {
    const change = enrolled({ ...heldRecord(), enrolment }, { ...OPERATOR, actor: 'signer' });
    expect(change.record.enrolment).toBe('enrolled');
    expect(change.entries).toMatchObject([
      { type: 'client.enrolled', actor: 'signer', data: { kid: 'a', from: enrolment } },
    ]);
  });

  it('is refused while there is no key of ours that the application could take', () => {
    expect(() => enrolled(foundRecord(), OPERATOR)).toThrow(
      expect.objectContaining({ code: 'not_enrolled', message: expect.stringContaining('rekeyd keys import') }),
    );
  });

  it('is refused while its first rotation is under way, without the advice to import: that is refused then, too', () => {
    const { record } = request(foundRecord(), asked('r1', null, true), POLICY, START);
    expect(() => enrolled(record, OPERATOR)).toThrow(
      expect.objectContaining({
        code: 'not_enrolled',
        message: expect.stringMatching(/^(?!.*import).*rotation r1.* is enrolled when the new key is in use/),
      }),
    );
    expect(() => imported(record, material('b'), OPERATOR, START)).toThrow(/already has a managed key/);
  });

  it('twice changes nothing', () => {
    const record = enrolledRecord();
    expect(enrolled(record, OPERATOR)).toEqual({ record, entries: [] });
  });
});

describe('a client that is found or held', () => {
  it.each<[string, ClientRecord]>([
    ['found', foundRecord()],
    ['held', heldRecord()],
  ])('and %s has nothing done to it, whatever its server shows', (_, record) => {
    const seen = client({ keys: [published('x')], alg: 'RS256', jwksUri: SERVED_URI });
    const later = observed(record, seen, POLICY, START + 1).record;
    expect(plan(later, POLICY, START + 2)).toEqual({ do: 'done' });
    expect(desiredDocument(later, POLICY)).not.toBeNull();
  });
});

describe('a former key', () => {
  const former = (count: number, compromised: boolean) =>
    Array.from({ length: count }, (_, at) => ({ id: idOf(`${compromised}-${at}`), kid: `k${at}`, at, compromised }));

  it('is known when the server shows it', () => {
    const record = remember(foundRecord(), [{ id: idOf('gone'), kid: 'gone', at: START, compromised: false }]);
    expect(isKnown(record, published('gone', 'ES256', 'another-name'))).toBe(true);
    expect(isKnown(record, publishedPem('gone'))).toBe(true);
    expect(isKnown(record, published('other', 'ES256', 'gone'))).toBe(false);
  });

  it('is remembered for ten keys, and for good when it was compromised', () => {
    const record = remember(remember(foundRecord(), former(12, true)), former(12, false));
    expect(record.former.filter(({ compromised }) => compromised)).toHaveLength(12);
    expect(record.former.filter(({ compromised }) => !compromised).map(({ at }) => at)).toEqual([
      2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
    ]);
  });

  it('is remembered once, as it was told last', () => {
    const [one] = former(1, false);
    if (one === undefined) throw new Error('there should be one');
    const record = remember(remember(foundRecord(), [one]), [{ ...one, compromised: true }]);
    expect(record.former).toEqual([{ ...one, compromised: true }]);
  });
});
