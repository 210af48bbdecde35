/** What a policy asks for and a client cannot have: said before a key is made. */
import { describe, expect, it } from 'vitest';
import { chosenAlg } from '../../src/core/obstacle.ts';
import { plan } from '../../src/core/plan.ts';
import type { ClientPolicy } from '../../src/core/policy.ts';
import type { ClientRecord } from '../../src/core/record.ts';
import {
  client,
  entryOf,
  foundRecord,
  POLICY,
  published,
  rotating,
  rotation,
  SERVED_URI,
  START,
  seeing,
  signersHold,
  THEIR_URI,
  withServer,
} from './support.ts';

const RETIRE = { foreignKeys: 'retire' as const };
const LEAKED = { compromised: { kid: null } };
const one = [published('a'), published('foreign-1')];
const two = [...one, published('foreign-2')];

/** A client without a key of ours that is being taken over. */
function first(seen: Parameters<typeof client>[0], change: Parameters<typeof rotation>[2] = {}): ClientRecord {
  return { ...foundRecord(client(seen)), rotation: rotation('overlap', 'requested', change) };
}

describe('before a key is made', () => {
  it.each<[string, ClientRecord, ClientPolicy, RegExp | null]>([
    [
      'an overlap cannot change the alg',
      rotating('overlap', 'requested', {}, { alg: 'RS256' }),
      POLICY,
      /from ES256 to RS256: the server verifies one alg per client.* Set strategy: auto/,
    ],
    [
      'nor when the keys stand in a served set, and the server shows none',
      seeing(rotating('overlap', 'requested', {}, { alg: 'RS256' }), { keys: [], jwksUri: SERVED_URI }),
      POLICY,
      /from ES256 to RS256/,
    ],
    ['a cutover can', rotating('cutover', 'requested', {}, { alg: 'RS256' }), POLICY, null],
    [
      'an overlap cannot change the alg of foreign keys, as far as theirs can be told',
      first({ alg: null, keys: [entryOf({ kty: 'OKP', crv: 'Ed25519', x: 'x-o' })] }),
      POLICY,
      /from EdDSA to ES256/,
    ],
    ['a client without any key has no alg to keep', first({ keys: [] }, { alg: 'RS256' }), POLICY, null],
    [
      'a single PEM has no room for two foreign keys',
      seeing(rotating('cutover', 'requested', {}, { format: 'pem' }), { keys: two }),
      POLICY,
      /format pem holds one key, and foreign keys are published \(2\)\. Set foreign_keys: retire/,
    ],
    [
      'nor for one beside ours: another application may sign with it',
      seeing(rotating('cutover', 'requested', {}, { format: 'pem' }), { keys: one }),
      POLICY,
      /foreign keys are published \(1\)/,
    ],
    [
      'unless they are to go',
      seeing(rotating('cutover', 'requested', {}, { format: 'pem', ...RETIRE }), { keys: two }),
      POLICY,
      null,
    ],
    [
      'or one leaked, which cannot wait for that',
      seeing(rotating('cutover', 'requested', {}, { format: 'pem', ...LEAKED }), { keys: two }),
      POLICY,
      null,
    ],
    ['a foreign key that is alone is replaced', first({}, { format: 'pem' }), POLICY, null],
    [
      'a set of ours would drop foreign keys',
      seeing(rotating('overlap', 'requested', {}, { format: 'jwks_uri' }), { keys: one }),
      POLICY,
      /serves keys of rekeyd alone, and foreign keys are published \(1\)\. Rotate with format: jwks and foreign_keys: retire first/,
    ],
    [
      'also for a client that is taken over',
      first({}, { format: 'jwks_uri' }),
      POLICY,
      /foreign keys are published \(1\)/,
    ],
    [
      'also where they are to go: the old key of an application would go at once',
      seeing(rotating('overlap', 'requested', {}, { format: 'jwks_uri', ...RETIRE }), { keys: two }),
      POLICY,
      /foreign keys are published \(2\)/,
    ],
    [
      'or a key may have leaked, which cannot wait for that',
      seeing(rotating('cutover', 'requested', {}, { format: 'jwks_uri', ...LEAKED }), { keys: one }),
      POLICY,
      null,
    ],
    [
      'what the server shows beside an address of ours counts for nothing',
      withServer(
        seeing(rotating('overlap', 'requested', {}, { format: 'jwks_uri' }), { keys: one, jwksUri: SERVED_URI }),
        {
          format: 'jwks_uri',
        },
      ),
      POLICY,
      null,
    ],
    [
      'a set needs a place to be served from',
      rotating('overlap', 'requested', {}, { format: 'jwks_uri' }),
      { ...POLICY, jwksUri: null },
      /needs a place to serve the set from\. Set publish\.path and publish\.base_url/,
    ],
    [
      'nor does a client that shows none any more keep an address of its own',
      withServer(rotating('cutover', 'requested', {}, { format: 'jwks_uri' }), { format: 'jwks_uri' }),
      { ...POLICY, format: 'keep' },
      null,
    ],
    ['which the config may name', rotating('overlap', 'requested', {}, { format: 'jwks_uri' }), POLICY, null],
    [
      'a client that signs in without keys has none to rotate',
      seeing(rotating('overlap', 'requested'), { authMethod: 'client_secret_basic' }),
      POLICY,
      /authenticates with client_secret_basic: only private_key_jwt has keys\. Change its client_auth_method/,
    ],
    [
      'one that is switched off, or gone, cannot be proven',
      seeing(rotating('cutover', 'requested', {}, LEAKED), { active: false }),
      POLICY,
      /not active, or the server no longer lists it/,
    ],
  ])('%s', (_, record, policy, why) => {
    const action = plan(record, policy, START);
    expect(action).toMatchObject(why === null ? { do: 'generate' } : { do: 'fail', why: expect.stringMatching(why) });
  });

  it('signers are brought up to date, so that a rotation that cannot reach them leaves no key behind', () => {
    const record = rotating('overlap', 'requested', { signers: { ...signersHold(null), delivered: null } });
    const delivery = { current: 'a', next: null, previous: null };
    expect(plan(record, POLICY, START)).toEqual({ do: 'deliver', delivery, owner: 'rotation' });
  });

  it('but not after a compromise: the key to be replaced may be what cannot be handed over', () => {
    const unknown = { signers: { ...signersHold(null), delivered: null } };
    expect(plan(rotating('cutover', 'requested', unknown, LEAKED), POLICY, START)).toMatchObject({ do: 'generate' });
  });
});

it('a foreign set elsewhere has an alg to keep, though no keys are shown', () => {
  const record = first({ keys: [], jwksUri: THEIR_URI, alg: 'RS256' });
  expect(plan(record, POLICY, START)).toMatchObject({ do: 'fail', why: expect.stringContaining('from RS256') });
});

describe('the alg that a client has', () => {
  it.each<[string, Parameters<typeof client>[0], string | null]>([
    ['is the registered one', { alg: 'PS384' }, 'PS384'],
    ['any text may be registered', { alg: 'constructor' }, null],
    ['else what its first key says', { alg: null, keys: [entryOf({ kty: 'RSA', n: 'n-x', alg: 'RS512' })] }, 'RS512'],
    ['else what fits its curve', { alg: null, keys: [entryOf({ kty: 'EC', crv: 'P-384', x: 'x-x' })] }, 'ES384'],
    ['P-521 has a name of its own', { alg: null, keys: [entryOf({ kty: 'EC', crv: 'P-521', x: 'x-x' })] }, 'ES512'],
    ["else the server's default", { alg: null, keys: [] }, 'RS256'],
  ])('%s', (_, seen, alg) => {
    expect(chosenAlg(foundRecord(client(seen)), { alg: 'keep' })).toBe(alg);
  });
});
