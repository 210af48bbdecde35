/** A row of a list and a client that stands alone are read by the same rules. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { z } from 'zod';
import type { ObservedClient } from '../../src/core/document.ts';
import { publishedKey } from '../../src/keys/key-id.ts';
import { clientListReader } from '../../src/wacht/list.ts';
import { observedClient } from '../../src/wacht/observed.ts';

const odd = fc.constantFrom<unknown>(undefined, null, '', 'text', 0, 7, true, false, [], {}, { keys: 7 });
const jwk = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kty: fc.constantFrom('EC', 'PEM'), x: fc.constantFrom<unknown>('x', null, [null]) }),
  },
  odd,
);
const jwks = fc.oneof(
  { weight: 4, arbitrary: fc.record({ keys: fc.oneof(fc.array(jwk, { maxLength: 3 }), odd) }) },
  odd,
);
const mostly = (value: unknown) => fc.oneof({ weight: 8, arbitrary: fc.constant(value) }, odd);
const rows = fc.record({
  id: mostly('13'),
  client_id: mostly('oc_1'),
  client_auth_method: mostly('private_key_jwt'),
  token_endpoint_auth_signing_alg: mostly('ES256'),
  jwks_uri: mostly(null),
  jwks,
  public_key_pem: mostly('PEM'),
  is_active: mostly(true),
  updated_at: mostly('2026-11-05T12:00:00Z'),
  access_token_ttl_seconds: mostly(3600),
  grant_types: fc.constant(['authorization_code']),
});

/** Says in the slow and plain way what a row must be, and what is made of it. */
const Text = z.string().nullish();
const Plain = z.object({
  id: z.union([z.string().min(1), z.int()]),
  client_id: z.string().min(1),
  client_auth_method: z.string(),
  token_endpoint_auth_signing_alg: Text,
  jwks_uri: Text,
  jwks: z.object({ keys: z.array(z.looseObject({ kty: z.string() })).nullish() }).nullish(),
  public_key_pem: Text,
  is_active: z.boolean(),
  updated_at: z.string(),
  access_token_ttl_seconds: z.unknown().optional(),
});

function expected(row: unknown): ObservedClient | null {
  const { success, data } = Plain.safeParse(row);
  if (!success) return null;
  const { access_token_ttl_seconds: life } = data;
  const keys = data.jwks?.keys ?? [];
  const shown = keys.length === 0 && data.public_key_pem ? [{ kty: 'PEM', public_key_pem: data.public_key_pem }] : keys;
  return {
    id: String(data.id),
    clientId: data.client_id,
    authMethod: data.client_auth_method,
    alg: data.token_endpoint_auth_signing_alg || null,
    jwksUri: data.jwks_uri || null,
    keys: shown.map((key) => {
      const members = Object.entries(key).filter(([, value]) => value !== null);
      return publishedKey({ ...Object.fromEntries(members), kty: key.kty });
    }),
    active: data.is_active,
    updatedAt: data.updated_at,
    ...(typeof life === 'number' && life > 0 && { tokenSeconds: life }),
  };
}

function attempt<T>(read: () => T): T | null {
  try {
    return read();
  } catch {
    return null;
  }
}

async function readList(clients: readonly unknown[]) {
  const reader = clientListReader(async (some) => some);
  await reader.take(Buffer.from(JSON.stringify({ clients })));
  return reader.finish();
}

test('a row is read as documented or not at all, alone and in a list', async () => {
  const seen = { read: 0, refused: 0 };
  await fc.assert(
    fc.asyncProperty(rows, async (made) => {
      const row: unknown = JSON.parse(JSON.stringify(made));
      const client = attempt(() => observedClient(row));
      expect(client).toEqual(expected(row));
      const list = await readList([row]).catch(() => null);
      if (list === null) expect(made.id === '13').toBe(false);
      else expect(list.clients).toEqual(client === null ? [] : [client]);
      if (client === null) seen.refused += 1;
      else seen.read += 1;
    }),
    { numRuns: 2_000 },
  );
  // Otherwise the property says nothing.
  expect(Math.min(seen.read, seen.refused)).toBeGreaterThan(100);
});
