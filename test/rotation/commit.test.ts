import { expect, it } from 'vitest';
import type { ClientRecord } from '../../src/core/record.ts';
import { commitOf } from '../../src/rotation/commit.ts';
import { client, managedRecord, POLICY, published, SERVED_URI, START, servedKey } from '../core/support.ts';

const EXPECTED = { version: 1, epoch: 1 };

const openOf = (record: ClientRecord) =>
  commitOf({ record, entries: [] }, POLICY, { expected: EXPECTED, durable: false }).open;

/** A client that has come to rest on a set that we serve. */
const served: ClientRecord = {
  ...managedRecord(),
  format: 'jwks_uri',
  observed: { client: client({ keys: [published('a')], jwksUri: SERVED_URI }), at: START },
  published: { jwks_uri: SERVED_URI, token_endpoint_auth_signing_alg: 'ES256' },
  served: [servedKey('a')],
};

it('lists a client as unfinished until what is served is known to be right', () => {
  expect(openOf(served)).toBe(false);
  // A worker that stood still for long may have put an older set there.
  expect(openOf({ ...served, served: null })).toBe(true);
  expect(openOf({ ...served, served: null, halted: 'a person has to look' })).toBe(false);
});

it('lists a client as unfinished while something else is published than we want', () => {
  const elsewhere = client({ keys: [published('a')], jwksUri: 'https://elsewhere.example.com/jwks' });
  expect(openOf({ ...served, observed: { client: elsewhere, at: START } })).toBe(true);
});
