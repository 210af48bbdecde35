import { expect, test } from 'vitest';
import { parseReference } from '../../src/core/client.ts';
import type { ObservedClient } from '../../src/core/document.ts';
import { appLists } from '../../src/wacht/lists.ts';
import type { ClientList } from '../../src/wacht/observed.ts';

const A = parseReference('d/app/a');
const B = parseReference('d/app/b');
const OTHER = parseReference('d/other/a');

function observed(id: string, alg: string): ObservedClient {
  return {
    id,
    clientId: `oc_${id}`,
    authMethod: 'private_key_jwt',
    alg,
    jwksUri: null,
    keys: [],
    active: true,
    updatedAt: '',
  };
}

/** A list call that is answered when the test says so. */
function scene() {
  const calls: { app: string; answer(alg: string): void; fail(): void }[] = [];
  const listClients = (app: string) =>
    new Promise<ClientList>((resolve, reject) => {
      const answer = (alg: string) =>
        resolve({ clients: [observed('a', alg)], unreadable: new Map([['odd', 'alg: odd']]) });
      calls.push({ app, answer, fail: () => reject(new Error('list failed')) });
    });
  const lists = appLists({ listClients });
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  return { calls, lists, settle };
}

test('who asks while a list is read waits for one next read, and never gets the old answer', async () => {
  const { calls, lists, settle } = scene();
  const early = lists.find(A);
  await settle();
  const late = [lists.find(A), lists.find(B), lists.find(A)];
  await settle();
  expect(calls.length).toBe(1);
  calls[0]?.answer('old');
  expect((await early)?.alg).toBe('old');
  await settle();
  expect(calls.length).toBe(2);
  calls[1]?.answer('new');
  expect(await Promise.all(late)).toEqual([observed('a', 'new'), null, observed('a', 'new')]);
});

test('a list that was read is not kept', async () => {
  const { calls, lists, settle } = scene();
  const first = lists.find(A);
  await settle();
  calls[0]?.answer('old');
  await first;
  const second = lists.find(A);
  await settle();
  calls[1]?.answer('new');
  expect((await second)?.alg).toBe('new');
});

test('a read that fails throws for all who share it, and the next one is another', async () => {
  const { calls, lists, settle } = scene();
  const early = lists.find(A);
  await settle();
  const late = [lists.find(A), lists.find(B)];
  calls[0]?.fail();
  await expect(early).rejects.toThrow('list failed');
  await settle();
  calls[1]?.fail();
  for (const ask of late) await expect(ask).rejects.toThrow('list failed');
  const again = lists.find(A);
  await settle();
  calls[2]?.answer('one');
  expect((await again)?.alg).toBe('one');
});

test('apps are read apart from each other', async () => {
  const { calls, lists, settle } = scene();
  const asked = [lists.find(A), lists.find(OTHER)];
  await settle();
  expect(calls.map((call) => call.app)).toEqual(['app', 'other']);
  for (const call of calls) call.answer(call.app);
  expect((await Promise.all(asked)).map((client) => client?.alg)).toEqual(['app', 'other']);
});

test('a client whose row cannot be read is not one that is gone', async () => {
  const { calls, lists, settle } = scene();
  const asked = lists.find(parseReference('d/app/odd'));
  await settle();
  calls[0]?.answer('one');
  await expect(asked).rejects.toMatchObject({ code: 'api_failed', reply: { class: 'unknown' } });
});
