import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { clientListReader } from '../../src/wacht/list.ts';
import { observedClient } from '../../src/wacht/observed.ts';

const row = (id: string) => ({
  id,
  client_id: `oc_${id}`,
  client_auth_method: 'private_key_jwt',
  token_endpoint_auth_signing_alg: 'ES256',
  jwks_uri: null,
  jwks: { keys: [{ kty: 'EC', x: 'ü"]}' }] },
  is_active: true,
  updated_at: '2026-11-05T12:00:00Z',
});

async function read(bytes: Uint8Array, cuts: readonly number[] = []) {
  const reader = clientListReader(async (clients) => clients);
  const places = [...cuts.map((cut) => cut % (bytes.length + 1)), 0].sort((a, b) => a - b);
  for (const [index, place] of places.entries()) await reader.take(bytes.subarray(place, places[index + 1]));
  return reader.finish();
}

const anything = fc.jsonValue();
const bodies = fc
  .record({ count: fc.nat(5), before: anything, after: anything, isWrapped: fc.boolean() })
  .map(({ count, before, after, isWrapped }) => {
    const clients = Array.from({ length: count }, (_, index) => row(`${index + 1}`));
    const body = { before, clients, after };
    return { clients, body: isWrapped ? { data: body, after } : body };
  });

test('a list is the same in whatever pieces it arrives', async () => {
  const cutting = fc.array(fc.nat(), { maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(bodies, cutting, fc.constantFrom(0, 1), async ({ clients, body }, cuts, indent) => {
      const list = await read(Buffer.from(JSON.stringify(body, null, indent)), cuts);
      expect(list.clients).toEqual(clients.map(observedClient));
      expect(list.unreadable.size).toBe(0);
    }),
    { numRuns: 500 },
  );
});

test('a row that cannot be read is named, and the others are read', async () => {
  const odd = { ...row('2'), client_id: '' };
  const { clients, unreadable } = await read(Buffer.from(JSON.stringify({ clients: [row('1'), odd, row('3')] })));
  expect(clients.map(({ id }) => id)).toEqual(['1', '3']);
  expect([...unreadable.keys()]).toEqual(['2']);
});

describe('what is no list', () => {
  test.each([
    ['nothing', '', /^the answer is (?:empty|cut off)$/],
    ['no list of that name', '{"other":[{}]}', /one list/],
    ['a list that does not end', '{"clients":[', /^the answer is cut off$/],
    ['an end that is missing', '{"clients":[]', /^the answer is cut off$/],
    ['a comma too many', '{"clients":[{},]}', /./],
    ['two lists', '{"clients":[],"clients":[]}', /one list/],
    ['no list at that name', '{"clients":{"0":{}}}', /./],
    ['something behind it', '{"clients":[]} {}', /./],
    ['a page', '<html><title>Gateway</title></html>', /^the answer is a page, and no JSON$/],
  ])('%s', async (_, text, message) => {
    for (const cuts of [[], [...text].map((_, index) => index)])
      await expect(read(Buffer.from(text), cuts)).rejects.toThrow(message);
  });

  test('bytes that are not UTF-8', async () => {
    const bytes = Buffer.from('{"clients":[],"a":"?"}');
    bytes[19] = 0xff;
    await expect(read(bytes)).rejects.toThrow('not UTF-8');
  });
});

test('rows are handed on before the list has ended, and only those that are wanted are held', async () => {
  const seen: string[] = [];
  const reader = clientListReader(async (clients) => {
    seen.push(...clients.map(({ id }) => id));
    return clients.filter(({ id }) => id === '2');
  });
  await reader.take(Buffer.from(`{"clients":[${JSON.stringify(row('1'))},${JSON.stringify(row('2'))}`));
  expect(seen).toEqual(['1', '2']);
  await reader.take(Buffer.from(`,${JSON.stringify(row('3'))}]}`));
  expect(reader.finish().clients.map(({ id }) => id)).toEqual(['2']);
});
