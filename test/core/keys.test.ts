import { expect, it } from 'vitest';
import { bury, findKey, isCompromised, isKnown, keyOf, publishedAs, remember, withKey } from '../../src/core/keys.ts';
import {
  enrolledRecord,
  entryOf,
  foundRecord,
  idOf,
  key,
  material,
  published,
  publishedPem,
  START,
} from './support.ts';

it('a record that points at a key which it does not hold is a bug, and says so', () => {
  expect(findKey(enrolledRecord(), 'who')).toBeUndefined();
  expect(() => keyOf(enrolledRecord(), 'who')).toThrow(/points at key who/);
  expect(() => withKey(enrolledRecord(), 'who', {})).toThrow(/points at key who/);
});

it('a key of ours is known in every form and under every name', () => {
  const two = entryOf({ ...published('x').jwk, public_key_pem: material('a').pem });
  for (const shown of [published('a'), published('a', 'ES256', 'alias'), publishedPem('a'), two]) {
    expect(isKnown(enrolledRecord(), shown)).toBe(true);
  }
  expect(isKnown(enrolledRecord(), published('x', 'ES256', 'a'))).toBe(false);
  expect(isKnown(enrolledRecord(), entryOf({ kty: 'AKP', kid: 'a' }))).toBe(false);
});

it('a compromised key is known as one, whether it is ours, was ours, or never was', () => {
  const calm = enrolledRecord();
  expect(isCompromised(calm, published('a'))).toBe(false);
  expect(isCompromised(withKey(calm, 'a', { state: 'compromised' }), publishedPem('a'))).toBe(true);
  const former = (compromised: boolean) => remember(calm, [{ id: idOf('x'), kid: 'x', at: START, compromised }]);
  expect(isCompromised(former(true), published('x', 'ES256', 'alias'))).toBe(true);
  expect(isCompromised(former(false), published('x'))).toBe(false);
});

it('a key that is destroyed leaves the record, and is remembered by its id', () => {
  const record = { ...foundRecord(), keys: [key('a', 'compromised'), key('b', 'active')] };
  expect(bury(record, 'a', START + 1)).toMatchObject({
    keys: [{ kid: 'b' }],
    former: [{ id: idOf('a'), kid: 'a', at: START + 1, compromised: true }],
  });
});

it('is published with its standard members, kid, use and alg, and its PEM when asked', () => {
  const { jwk, pem } = material('b');
  expect(publishedAs(key('b', 'active'), false)).toEqual({
    jwk: { ...jwk, kid: 'b', use: 'sig', alg: 'ES256' },
    ids: [idOf('b')],
    pemId: null,
  });
  expect(publishedAs(key('b', 'active'), true)).toMatchObject({ jwk: { public_key_pem: pem }, pemId: idOf('b') });
});
